"""Playing the demo's steps: each says what it sees, and nothing is said to be proven that does not hold.

1. A proof is a sentence and whether it holds, given together. One that doesn't ends its step.
2. A step that failed ends the demo: those behind it build on it. They are named as not played.
3. Whatever goes wrong in a step is a failed step with its words, never an end without a report.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.surfaces.cli.demo.report import Line, StepReport, Tried

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from taskbound.surfaces.cli.demo.page import Page


_LONGEST: Final = 45.0
"""Seconds that a step may take before it counts as stuck."""
_LABELS: Final = {"duplicate": "repeat", "malformed": "refuse"}


class StepFailedError(Exception):
    """A sentence that the demo is to prove does not hold; only `play` meets it."""


class Scene:
    """One step while it is played: what was printed, tried and proven in it."""

    def __init__(self, page: Page) -> None:
        """Begin with nothing."""
        self._page = page
        self.lines: list[Line] = []
        self.tries: list[Tried] = []
        self.proofs: list[str] = []

    def says(self, label: str, text: str) -> None:
        """Print a label of ours and what it is about; texts of others in it are escaped."""
        self.lines.append(Line(label=label, text=text))
        self._page.line(label, text)

    def trying(self, tool: str, words: str) -> None:
        """The agent is about to call a tool: print it before anything happens."""
        self.says("tries", f"{tool} {words}")

    def tried(self, one: Tried) -> Tried:
        """The call was answered: print the decision and its reasons."""
        self.tries.append(one)
        code = f" [{one.code}]" if one.code else ""
        label = _LABELS.get(one.decision, one.decision)
        self.says(label, f"{'; '.join(one.reasons) or 'no reason was given'}{code}")
        return one

    def require(self, sentence: str, *, holds: bool) -> None:
        """Go on only when this holds, without a word.

        Raises:
            StepFailedError: It doesn't.
        """
        if not holds:
            raise StepFailedError(f"this does not hold: {sentence}")

    def proves(self, sentence: str, *, holds: bool) -> None:
        """Print what was seen to hold (rule 1).

        Raises:
            StepFailedError: It doesn't.
        """
        self.require(sentence, holds=holds)
        self.proofs.append(sentence)
        self.says("proves", sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the story."""

    title: str
    play: Callable[[Scene], Awaitable[None]]


async def play(steps: Sequence[Step], page: Page, *, first: int = 0) -> tuple[StepReport, ...]:
    """What came of each step, in order, up to the first that failed (rule 2).

    Args:
        steps: What to play.
        page: Where to print.
        first: The first step's number.
    """
    reports: list[StepReport] = []
    for number, step in enumerate(steps, start=first):
        report = await _play_one(number, step, page)
        reports.append(report)
        if not report.ok:
            for later, one in enumerate(steps[len(reports) :], start=number + 1):
                page.line("skipped", f"{later}  {one.title}")
            break
    return tuple(reports)


async def _play_one(number: int, step: Step, page: Page) -> StepReport:
    scene = Scene(page)
    page.step(number, step.title)
    began = time.monotonic()
    failure = ""
    try:
        async with asyncio.timeout(_LONGEST):
            await step.play(scene)
    except StepFailedError as error:
        failure = str(error)
    except TimeoutError as error:
        failure = str(error) or f"the step was not done after {_LONGEST:.0f} seconds"
    except TaskboundError as error:
        failure = f"{error.message} [{error.code}]"
    except Exception as error:  # noqa: BLE001 -- the edge of a step: rule 3
        failure = f"this should not have happened: {_words(error)}"
    if failure:
        scene.says("FAILED", failure)
    return StepReport(
        number=number,
        title=step.title,
        ok=not failure,
        seconds=round(time.monotonic() - began, 3),
        tries=tuple(scene.tries),
        lines=tuple(scene.lines),
        proofs=tuple(scene.proofs),
        failure=failure,
    )


def _words(error: BaseException) -> str:
    """The error in words, down to the first that a group of them holds."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
