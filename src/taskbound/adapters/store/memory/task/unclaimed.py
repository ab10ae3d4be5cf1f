"""Notes of tasks that nobody has anything of yet, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.core.clock import Instant
    from taskbound.core.task.unclaimed import Unclaimed

__all__ = ["MemoryUnclaimed"]


class MemoryUnclaimed:
    """Reads and writes them."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def due(self, now: Instant, *, limit: int = 100) -> tuple[Unclaimed, ...]:
        """Those whose time has come: oldest first."""
        found = [one for one in self._tables.live().unclaimed.values() if one.until <= now]
        return tuple(sorted(found, key=lambda one: (one.until, one.namespace, one.task))[:limit])

    def note(self, namespace: str, task: str) -> Unclaimed | None:
        """The note of this task."""
        return self._tables.live().unclaimed.get((namespace, task))

    def put(self, note: Unclaimed) -> None:
        """Note a task."""
        if self.note(note.namespace, note.task) is not None:
            self._tables.conflict(f"the note of task `{note.task}`")
        self._tables.live().unclaimed.put((note.namespace, note.task), note)

    def drop(self, namespace: str, task: str) -> None:
        """Forget the note."""
        self._tables.live().unclaimed.put((namespace, task), None)
