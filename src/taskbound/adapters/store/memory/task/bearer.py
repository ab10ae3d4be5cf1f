"""Bearers of tasks, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.ports.task import StoredBearer

__all__ = ["MemoryBearers"]


class MemoryBearers:
    """Reads bearers of a snapshot, and writes them in a transaction."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def bearer(self, namespace: str, task: str) -> StoredBearer | None:
        """That of this task."""
        return self._tables.live().bearers.get((namespace, task))

    def put_bearer(self, bearer: StoredBearer) -> None:
        """Keep this one in place of the one before."""
        self._tables.live().bearers.put((bearer.namespace, bearer.task), bearer)
