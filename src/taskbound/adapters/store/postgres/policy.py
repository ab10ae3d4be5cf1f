"""Bundles of policies, in rows; which one is in force stands in a row that several daemons lock.

1. A namespace without a bundle of its own has no row, and what has no row can't be locked: the first
   who needs the lock makes it.
2. Who moves it locks it for themselves, before they write anything: a transaction has its number, which
   is that of its records, from its first write. So they stand in the log behind all that was decided
   under the old bundle, and two who move at once follow each other instead of waiting for one another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.sql.policy import SqlPolicy, read_force

if TYPE_CHECKING:
    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.core.policy import InForce


_LOCK: Final = "SELECT epoch, digest FROM bundles_in_force WHERE namespace = ? FOR SHARE"
_LOCK_ALONE: Final = "SELECT epoch, digest FROM bundles_in_force WHERE namespace = ? FOR UPDATE"
_MAKE: Final = (
    "INSERT INTO bundles_in_force (namespace, epoch, digest) VALUES (?, 0, '') ON CONFLICT DO NOTHING"
)


class PostgresPolicy(SqlPolicy):
    """Reads bundles through one connection, and writes them in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def lock_in_force(self, namespace: str, *, moves: bool = False) -> InForce:
        """What is in force (rules 1 and 2)."""
        lock = _LOCK_ALONE if moves else _LOCK
        found = self._locks.locked(read_force, lock, (namespace,))
        if not found:
            self._locks.later(_MAKE, (namespace,))
            found = self._locks.locked(read_force, lock, (namespace,))
        return found[0]
