"""What the daemon and the process that looks say to each other."""

from __future__ import annotations

import msgspec


class AskedLook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing to look at."""

    probe: str
    value: str


class AskedLooks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is to be looked at for one call, and folders that are not entered."""

    looks: tuple[AskedLook, ...]
    closed: tuple[str, ...]


class Looked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was found behind one argument, or why it can't be said."""

    found: dict[str, str] = {}
    error: str = ""
    outside: bool = False
    """Whether the error is that it is not where a person declared it."""
