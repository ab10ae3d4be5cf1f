"""The kill switch, in a row that several daemons lock, and the entries of the feed.

1. A namespace whose switch was never touched has no row, and what has no row can't be
   locked: the first who needs the lock makes it.
2. Who changes it locks it for themselves, before they write anything: a transaction has its number, which
   is that of its records, from its first write (as `policy`, rule 2).
3. Entries of one transaction are written by one statement, however many records get their places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.postgres.server.link import write_texts, write_wholes
from taskbound.adapters.store.sql.revocation import SqlRevocation, read_switch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.core.revocation import KillSwitch
    from taskbound.core.revocation.feed import Entry


_LOCK: Final = "SELECT stopped, epoch, reason FROM kill_switches WHERE namespace = ? FOR SHARE"
_LOCK_ALONE: Final = "SELECT stopped, epoch, reason FROM kill_switches WHERE namespace = ? FOR UPDATE"
_MAKE: Final = (
    "INSERT INTO kill_switches (namespace, stopped, epoch, reason) VALUES (?, 0, 0, '')"
    " ON CONFLICT DO NOTHING"
)
_ENTER: Final = """
    INSERT INTO revocations (place, at, namespace, about, id, turn)
    SELECT n.place, n.at, n.namespace, n.about, n.id, n.turn
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[])
        AS n (place, at, namespace, about, id, turn)
    ON CONFLICT DO NOTHING
"""


class PostgresRevocation(SqlRevocation):
    """Reads the kill switch through one connection, and changes it in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def lock_kill_switch(self, namespace: str, *, moves: bool = False) -> KillSwitch:
        """How it stands (rules 1 and 2)."""
        lock = _LOCK_ALONE if moves else _LOCK
        found = self._locks.locked(read_switch, lock, (namespace,))
        if not found:
            self._locks.later(_MAKE, (namespace,))
            found = self._locks.locked(read_switch, lock, (namespace,))
        return found[0]

    def put_entries(self, entries: Sequence[Entry]) -> None:
        """Keep entries of records that this transaction gives their places (rule 3)."""
        if not entries:
            return
        values = (
            write_wholes(one.place for one in entries),
            write_wholes(one.at for one in entries),
            write_texts(one.thing.namespace for one in entries),
            write_texts(one.thing.about.value for one in entries),
            write_texts(one.thing.id for one in entries),
            write_texts(one.turn.value for one in entries),
        )
        self._locks.later(_ENTER, values, rows=len(entries), what="what a record ended")
