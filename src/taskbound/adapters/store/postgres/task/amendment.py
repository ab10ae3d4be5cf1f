"""Amendments that people are asked about, in rows that several daemons lock.

1. Whoever applies an amendment holds its row until its commit: a denial, an expiry or another answer waits,
   and then meets a row that is in another state.
2. Locks are taken in the order of ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.postgres.server.link import write_texts
from taskbound.adapters.store.sql.approval import read_answer
from taskbound.adapters.store.sql.rows.columns import read_texts
from taskbound.adapters.store.sql.task.amendment import COLUMNS, SqlAmendments, read_amendment

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.core.approval import Answer
    from taskbound.ports.task import StoredAmendment


_LOCK: Final = f"SELECT {COLUMNS} FROM amendments a WHERE a.namespace = $1"  # noqa: S608  # our own columns
_LOCK_ONE: Final = f"{_LOCK} AND a.id = $2 FOR NO KEY UPDATE"
_LOCK_OPEN: Final = f"""{_LOCK} AND a.task = ANY($2::text[]) AND a.state = 'pending'
    ORDER BY a.id FOR NO KEY UPDATE OF a
"""
_ANSWERS: Final = """
    SELECT amendment, kind, person, person_key, at, received, statement, signature FROM amendment_answers
    WHERE namespace = $1 AND amendment = ANY($2::text[]) ORDER BY received, person, kind
"""


class PostgresAmendments(SqlAmendments):
    """Reads amendments through one connection, and writes them in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def lock_amendment(self, namespace: str, amendment: str) -> StoredAmendment | None:
        """The amendment of this id, locked (rule 1)."""
        return self._first(self._locks.locked(read_amendment, _LOCK_ONE, (namespace, amendment)))

    def lock_open(self, namespace: str, tasks: Collection[str]) -> tuple[StoredAmendment, ...]:
        """All open ones of these tasks, locked by id (rule 2)."""
        values = (namespace, write_texts(sorted(tasks)))
        return self._whole(self._locks.locked(read_amendment, _LOCK_OPEN, values))

    def _answers(self, namespace: str, ids: str) -> Iterable[tuple[str, Answer]]:
        """What was said to amendments that are locked: whoever adds an answer locks them first."""
        return self._locks.locked(read_answer, _ANSWERS, (namespace, write_texts(read_texts(ids))))
