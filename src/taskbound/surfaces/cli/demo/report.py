"""What the demo did, as values: each step, each try in it, and what proved it."""

from __future__ import annotations

import msgspec

__all__ = ["DemoReport", "StepReport", "Tried"]


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the agent's, and how it was answered."""

    tool: str
    arguments: str
    """As they were sent, JSON text."""
    decision: str
    """By the daemon: `permit`, `refuse`, `duplicate` (a stored answer given again) or `malformed` (no action)."""
    code: str
    reasons: tuple[str, ...]
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
    shown: tuple[str, ...]
    """What was said beside the tries, each with its label."""
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
