"""The kill switch, in a row that several daemons lock, and the entries of the feed.

1. A namespace whose switch was never touched has no row, and what has no row can't be
   locked: the first who needs the lock makes it.
2. Who changes it locks it for themselves, before they write anything: a transaction has its number, which
   is that of its records, from its first write (as `policy`, rule 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.sql.revocation import SqlRevocation, read_switch

if TYPE_CHECKING:
    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.core.revocation import KillSwitch

__all__ = ["PostgresRevocation"]

_LOCK: Final = "SELECT stopped, epoch, reason FROM kill_switches WHERE namespace = ? FOR SHARE"
_LOCK_ALONE: Final = "SELECT stopped, epoch, reason FROM kill_switches WHERE namespace = ? FOR UPDATE"
_MAKE: Final = (
    "INSERT INTO kill_switches (namespace, stopped, epoch, reason) VALUES (?, 0, 0, '')"
    " ON CONFLICT DO NOTHING"
)


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
