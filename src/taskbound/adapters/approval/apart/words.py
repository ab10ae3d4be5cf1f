"""Messages between the daemon and the look-up process."""

from __future__ import annotations

import msgspec


class LookupRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One look-up."""

    probe: str
    value: str


class LookupBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All look-ups of a call, and folders that must not be entered."""

    looks: tuple[LookupRequest, ...]
    closed: tuple[str, ...]


class LookupResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The result of one look-up."""

    found: dict[str, str] = {}
    error: str = ""
    outside: bool = False
    """Whether the error is that it is not where a person declared it."""
