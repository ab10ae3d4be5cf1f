"""Runs the demo's steps, prints them in at most 80 columns, and reports what each proved.

1. Every text is escaped on output, and texts of agents and servers are one line.
2. Broken lines are indented, so that no foreign text reaches the margin where labels stand.
3. With `--json` nothing of this is printed.
4. A proof is a sentence and its checked result; a false one ends the step.
5. A failed step ends the demo, because later steps depend on it.
6. Any error in a step makes it a failed step with its message.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Final

import msgspec
from rich.console import Console
from rich.text import Text

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.surfaces.cli.screen import Words, shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import TextIO


WIDEST: Final = 80
_TITLE: Final = "taskbound demo: a real MCP client, two real servers, each decision as it happens"
_MARGIN: Final = 13
_NARROWEST: Final = 40
_STYLES: Final = {
    "permit": "bold green",
    "repeat": "bold green",
    "refuse": "bold red",
    "withheld": "bold yellow",
    "hold": "bold yellow",
    "FAILED": "bold white on red",
    "proves": "cyan",
    "tries": "bold",
}


class Page:
    """Standard output of the demo."""

    def __init__(self, *, silent: bool, out: TextIO | None = None) -> None:
        self._silent = silent
        self._console = Console(
            file=out or sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True
        )

    def title(self) -> None:
        self._print(Text(_TITLE, "bold"))

    def step(self, number: int, title: str) -> None:
        self._print(Text())
        head = f"{number}  " if number else "   "
        self._print(Text(head, "bold cyan").append(shown(Words(title)), "bold"))

    def line(self, label: str, text: str) -> None:
        room = max(self._width() - _MARGIN, _NARROWEST)
        lines = textwrap.wrap(shown(Words(text)), room, break_on_hyphens=False) or [""]
        margin = Text(f"   {label:<{_MARGIN - 4}} ", _STYLES.get(label, "dim"))
        self._print(margin.append(lines[0], ""))
        for one in lines[1:]:
            self._print(Text(f"{'':<{_MARGIN}}{one}"))

    def closing(self, text: str, *, ok: bool) -> None:
        self._print(Text())
        self._print(Text(shown(Words(text)), "bold green" if ok else "bold red"))

    def _width(self) -> int:
        return min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)

    def _print(self, text: Text) -> None:
        if not self._silent:
            text.rstrip()
            self._console.print(text, soft_wrap=True)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line as it is printed, before it is wrapped."""

    label: str
    text: str


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the agent, and its answer."""

    tool: str
    arguments: str
    """As they were sent, JSON text."""
    decision: str
    """`permit`, `refuse`, `hold` (people are asked), `duplicate` (a stored answer is given again) or
    `malformed` (no action)."""
    code: str
    reasons: tuple[str, ...]
    grant: str
    """The grant that paid; empty unless it was permitted."""
    policies: tuple[str, ...]
    action: str
    """The action's id; empty when the bytes could not be read, so that there was none."""
    state: str
    """Of the action, after the call."""
    told: str
    """What the agent was answered, as text."""


class StepReport(msgspec.Struct, frozen=True, kw_only=True):
    """One step."""

    number: int
    title: str
    ok: bool
    seconds: float
    tries: tuple[Tried, ...]
    lines: tuple[Line, ...]
    """All that was printed, in order."""
    proofs: tuple[str, ...]
    """Sentences that the demo has seen to hold."""
    failure: str = ""
    """Which sentence did not hold, or what went wrong."""


class DemoReport(msgspec.Struct, frozen=True, kw_only=True, tag="demo", tag_field="is"):
    """The whole demo."""

    ok: bool
    version: str
    seconds: float
    kept: str
    """The directory that was kept, or nothing."""
    steps: tuple[StepReport, ...]

    @property
    def summary(self) -> str:
        if not self.ok:
            return "Not all of it held; what failed is named above. `--keep DIR` shows more."
        tries = sum(len(one.tries) for one in self.steps)
        proofs = sum(len(one.proofs) for one in self.steps)
        left = f"kept in {self.kept}" if self.kept else "removed"
        return f"All of it held: {tries} tries, {proofs} proofs, {self.seconds:.0f} seconds; all is {left}."


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
        self.lines.append(Line(label=label, text=text))
        self._page.line(label, text)

    def trying(self, tool: str, words: str) -> None:
        """Announce a call of the agent before it is made."""
        self.says("tries", f"{tool} {words}")

    def tried(self, one: Tried) -> Tried:
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
        self.require(sentence, holds=holds)
        self.proofs.append(sentence)
        self.says("proves", sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the story."""

    title: str
    play: Callable[[Scene], Awaitable[None]]


async def play(steps: Sequence[Step], page: Page, *, first: int = 0) -> tuple[StepReport, ...]:
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
    except Exception as error:  # noqa: BLE001 -- the edge of a step: rule 6
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
