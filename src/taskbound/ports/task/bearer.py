"""Bearers of tasks in the store: of each task at most one, and of it the digest alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from taskbound.core.clock import Instant

__all__ = ["BearerReads", "BearerWrites", "StoredBearer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBearer:
    """What is kept of a bearer."""

    namespace: str
    task: str
    digest: str
    """Its SHA-256, in hexadecimal."""
    made: Instant


class BearerReads(Protocol):
    """Reads them."""

    def bearer(self, namespace: str, task: str) -> StoredBearer | None:
        """That of this task, whatever became of the task."""


class BearerWrites(BearerReads, Protocol):
    """Writes them."""

    def put_bearer(self, bearer: StoredBearer) -> None:
        """Keep this one, and MUST keep no other of its task."""
