"""A system that gives what has no name: whoever has a token may come in, and may end it, and nobody else can.

It is as bare as an authorization server is behind its protocol, and has none. Its tokens have the form of
minted secrets, so that whoever lays one down somewhere is found out (`tests.canary`).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from taskbound.core.clock import Instant
from taskbound.core.credential import SECRET_BYTES, spell_secret
from taskbound.ports.target import (
    ExpiresAt,
    Gone,
    Minted,
    MintOrder,
    RenewalUnsupportedError,
    Shown,
    TargetRefusedError,
    TargetUnavailableError,
)

LASTS: Final = 3_600
"""Seconds that its tokens live, whatever is asked for."""


@dataclass
class Shop:
    """The system, and what speaks to it (`ports.target.Target`, `Keeps`)."""

    live: set[str] = field(default_factory=set)
    given: list[str] = field(default_factory=list)
    lasts: int = LASTS
    keeps: bool = True
    """Whether it says what ends what it gives."""
    usable: bool = True
    away: bool = False
    shows: bool = True
    """Whether it can be seen that something is over."""
    asked: list[str] = field(default_factory=list)
    """What was ended, each time."""

    def mint(self, order: MintOrder, kind: Any, *, patience: float) -> Minted:  # noqa: ARG002 - the port's
        token = spell_secret(secrets.token_bytes(SECRET_BYTES))
        self.live.add(token)
        self.given.append(token)
        return Minted(open={}, secret={"SHOP_TOKEN": token}, kept=token if self.keeps else "")

    def use(self, minted: Minted, *, patience: float) -> None:  # noqa: ARG002 - the port's
        if not self.usable or minted.secret["SHOP_TOKEN"] not in self.live:
            raise TargetRefusedError("the shop lets nobody in with it")

    def renew(self, name: str, ends: Instant, *, patience: float) -> None:  # noqa: ARG002 - the port's
        raise RenewalUnsupportedError("the shop moves no end")

    def end_kept(self, kept: str, *, ends: Instant, patience: float) -> Gone | ExpiresAt:  # noqa: ARG002 - the port's
        if self.away:
            raise TargetUnavailableError("the shop is closed")
        self.asked.append(kept)
        self.live.discard(kept)
        return Gone(cut=0) if self.shows else ExpiresAt(until=ends)

    def revoke(self, name: str, *, ends: Instant, patience: float) -> Gone | ExpiresAt:  # noqa: ARG002 - the port's
        return ExpiresAt(until=ends)

    def look(self, name: str, *, patience: float) -> Shown:  # noqa: ARG002 - the port's
        raise TargetRefusedError("the shop knows no names")

    def sweep(self, prefix: str, *, patience: float) -> Iterator[str]:  # noqa: ARG002 - the port's
        return iter(())
