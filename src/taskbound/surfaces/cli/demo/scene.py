"""Runs the demo's steps; a claim is printed as proven only if it was checked.

1. A proof is a sentence and its checked result; a false one ends the step.
2. A failed step ends the demo, because later steps depend on it; these are reported as not run.
3. Any error in a step makes it a failed step with its message, never an end without a report.
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
    """A sentence that the demo should prove does not hold; caught by `play` only."""


class Scene:
    """One running step: its output, attempts and proofs."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.lines: list[Line] = []
        self.tries: list[Tried] = []
        self.proofs: list[str] = []

    def says(self, label: str, text: str) -> None:
        """Print a label and a sentence; foreign parts of it are escaped."""
        self.lines.append(Line(label=label, text=text))
        self._page.line(label, text)

    def trying(self, tool: str, words: str) -> None:
        """Announce a call of the agent before it is made."""
        self.says("tries", f"{tool} {words}")

    def tried(self, one: Tried) -> Tried:
        """Print the decision about a call and its reasons."""
        self.tries.append(one)
        code = f" [{one.code}]" if one.code else ""
        label = _LABELS.get(one.decision, one.decision)
        self.says(label, f"{'; '.join(one.reasons) or 'no reason was given'}{code}")
        return one

    def require(self, sentence: str, *, holds: bool) -> None:
        """Raise StepFailedError unless this holds; print nothing."""
        if not holds:
            raise StepFailedError(f"this does not hold: {sentence}")

    def proves(self, sentence: str, *, holds: bool) -> None:
        """Print this as proven, or raise StepFailedError if it doesn't hold (rule 1)."""
        self.require(sentence, holds=holds)
        self.proofs.append(sentence)
        self.says("proves", sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the story."""

    title: str
    play: Callable[[Scene], Awaitable[None]]


async def play(steps: Sequence[Step], page: Page, *, first: int = 0) -> tuple[StepReport, ...]:
    """Run the steps up to the first that fails, and return their reports (rule 2)."""
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
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
