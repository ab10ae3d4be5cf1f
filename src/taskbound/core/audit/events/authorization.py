"""Clients that people use: registered, and removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = ["ClientAdded", "ClientRemoved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAdded:
    """Somebody said to which addresses the codes of a client go."""

    kind: ClassVar[str] = "client-added"
    client: str
    shown: str
    """What it is called on the page of consent."""
    redirects: tuple[str, ...]
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRemoved:
    """No code goes to the client any more."""

    kind: ClassVar[str] = "client-removed"
    client: str
    by: str
    proof: str
