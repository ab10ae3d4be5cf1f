"""Notes of tasks that nobody has anything of yet, in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.task.unclaimed import Unclaimed


class UnclaimedReads(Protocol):
    """Reads them."""

    def due(self, now: Instant, *, limit: int = 100) -> tuple[Unclaimed, ...]:
        """Those of any namespace whose time has come: oldest first, answered by an index."""

    def note(self, namespace: str, task: str) -> Unclaimed | None:
        """The note of this task; None when somebody claimed it, or it was never noted."""


class UnclaimedWrites(UnclaimedReads, Protocol):
    """Writes them. Who reads or drops one to decide on it holds a lock of the task's row."""

    def put(self, note: Unclaimed) -> None:
        """Note a task that is written in the same transaction. MUST raise `ConflictError` if it is noted."""

    def drop(self, namespace: str, task: str) -> None:
        """Forget the note; nothing happens when there is none."""
