"""The demo's results: each step, each attempt in it, and what proved it."""

from __future__ import annotations

import msgspec


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
        """Return the last line."""
        if not self.ok:
            return "Not all of it held; what failed is named above. `--keep DIR` shows more."
        tries = sum(len(one.tries) for one in self.steps)
        proofs = sum(len(one.proofs) for one in self.steps)
        left = f"kept in {self.kept}" if self.kept else "removed"
        return f"All of it held: {tries} tries, {proofs} proofs, {self.seconds:.0f} seconds; all is {left}."
