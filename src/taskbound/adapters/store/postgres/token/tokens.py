"""Tokens and the keys that sign them, in rows that several daemons write.

1. Whoever issues a token locks the keys against change, and many do so at once; who changes one waits for
   them.
2. A lock on no row is none: while there is no key, a key is only ever added, and of two that are added at
   once as the same the database refuses the second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.sql.token.tokens import KEYS, SqlTokens, read_key

if TYPE_CHECKING:
    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.core.token import IssuingKey

__all__ = ["PostgresTokens"]

_LOCK: Final = f"{KEYS} ORDER BY made, kid FOR SHARE"
_LOCK_ALONE: Final = f"{KEYS} ORDER BY made, kid FOR NO KEY UPDATE"


class PostgresTokens(SqlTokens):
    """Reads them through one connection, and writes them in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def lock_keys(self, *, moves: bool = False) -> tuple[IssuingKey, ...]:
        """Every key (rules 1 and 2)."""
        return self._locks.locked(read_key, _LOCK_ALONE if moves else _LOCK)
