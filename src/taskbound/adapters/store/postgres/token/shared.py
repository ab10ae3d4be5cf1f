"""Claims that are kept for services, in rows that several daemons write.

1. Whoever changes a service's claims has locked its tally's row before, and reads after that by statements of
   their own, whose snapshots have what was committed by whoever was waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from taskbound.adapters.store.sql.token.shared import SqlSharedClaims

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.adapters.store.sql.rows.link import Value


T = TypeVar("T")


class PostgresSharedClaims(SqlSharedClaims):
    """Reads them through one connection, and writes them in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def _locked(self, read: Callable[..., T], text: str, values: Sequence[Value]) -> tuple[T, ...]:
        """Rows that nobody changes until the end (rule 1)."""
        lock = " FOR UPDATE" if text.startswith("SELECT") else ""
        return self._locks.locked(read, text + lock, values)
