"""Targets, in rows that several daemons lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.sql.target import SqlTargets, read_target

if TYPE_CHECKING:
    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.ports.target import StoredTarget


_LOCK: Final = (
    "SELECT namespace, name, file, identity, state, sealed, number, trouble, begun, tested, version"
    " FROM targets WHERE namespace = $1 AND name = $2 FOR NO KEY UPDATE"
)


class PostgresTargets(SqlTargets):
    """Reads them through one connection, and writes them in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def lock_target(self, namespace: str, name: str) -> StoredTarget | None:
        """The target, whose row nobody else writes until this transaction is over."""
        found = self._locks.locked(read_target, _LOCK, (namespace, name))
        return found[0] if found else None
