"""Scopes that are suggested from what was done, or from what is meant."""

from __future__ import annotations

import msgspec

from taskbound.wire.frame import Message


class IntendedCall(Message, frozen=True):
    """A call that is meant to be made."""

    tool: str
    arguments: msgspec.Raw
    """An object."""


class SuggestScope(Message, frozen=True, tag="scope:suggest", tag_field="op"):
    """Ask for the narrowest scope that covers what was permitted in past tasks, or what is meant."""

    tasks: tuple[str, ...] = ()
    agent: str = ""
    """Whose ceiling bounds it, and whose tasks are looked at when neither tasks nor calls are named."""
    since: int = 0
    """From which instant on, of an agent's tasks."""
    calls: tuple[IntendedCall, ...] = ()


class WideningRow(Message, frozen=True):
    """What is permitted beyond what was seen, and by which rule."""

    grant: str
    path: str
    what: str
    why: str
    broad: bool


class Suggested(Message, frozen=True, tag="suggested", tag_field="is"):
    """A scope for the calls that were seen."""

    scope: msgspec.Raw
    words: tuple[str, ...]
    widenings: tuple[WideningRow, ...]
    calls: int
    agent: str
    """Whose ceiling it was held against; empty when against none."""
    within: bool
    """Whether it is within that ceiling; false when there is none."""
    outside: tuple[str, ...]
    """Why it is not shown to be within, in words."""
    unread: int = 0
    """How many past actions could not be read and were left out."""
