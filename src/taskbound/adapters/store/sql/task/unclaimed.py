"""Notes of tasks that nobody has anything of yet, in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant
from taskbound.core.task.unclaimed import Unclaimed

if TYPE_CHECKING:
    from taskbound.adapters.store.sql.rows.link import Link


_DUE: Final = (
    "SELECT namespace, task, until FROM unclaimed_tasks WHERE until <= ?"
    " ORDER BY until, namespace, task LIMIT ?"
)
_NOTE: Final = "SELECT namespace, task, until FROM unclaimed_tasks WHERE namespace = ? AND task = ?"
_PUT: Final = "INSERT INTO unclaimed_tasks (namespace, task, until) VALUES (?, ?, ?)"
_DROP: Final = "DELETE FROM unclaimed_tasks WHERE namespace = ? AND task = ?"


class SqlUnclaimed:
    """Reads and writes them through one connection."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        """Go through this link."""
        self._link = link

    def due(self, now: Instant, *, limit: int = 100) -> tuple[Unclaimed, ...]:
        """Those whose time has come: oldest first."""
        return self._link.all(_read, _DUE, (now, limit))

    def note(self, namespace: str, task: str) -> Unclaimed | None:
        """The note of this task."""
        return self._link.one(_read, _NOTE, (namespace, task))

    def put(self, note: Unclaimed) -> None:
        """Note a task."""
        self._link.change(_PUT, (note.namespace, note.task, note.until))

    def drop(self, namespace: str, task: str) -> None:
        """Forget the note."""
        self._link.change(_DROP, (namespace, task))


def _read(namespace: str, task: str, until: int) -> Unclaimed:
    return Unclaimed(namespace=namespace, task=task, until=Instant(until))
