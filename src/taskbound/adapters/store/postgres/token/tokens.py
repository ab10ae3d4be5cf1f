"""Tokens and the keys that sign them, in rows that several daemons write.

1. Whoever issues a token locks the keys against change, and many do so at once; who changes one waits for
   them.
2. A lock on no row is none: while there is no key, a key is only ever added, and of two that are added at
   once as the same the database refuses the second.
3. What is done with a token locks its row against change, in the order of names, and many do so at once: who
   revokes it waits for them, or they wait and see it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.postgres.server.link import write_texts
from taskbound.adapters.store.sql.token.tokens import COLUMNS, KEYS, SqlTokens, read_key, read_token

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.core.token import IssuingKey, Token


_LOCK: Final = f"{KEYS} ORDER BY made, kid FOR SHARE"
_LOCK_ALONE: Final = f"{KEYS} ORDER BY made, kid FOR NO KEY UPDATE"
_LOCK_TOKENS: Final = (
    f"SELECT {COLUMNS} FROM tokens WHERE namespace = $1 AND id = ANY($2::text[])"  # noqa: S608 - our own words
    " ORDER BY id FOR SHARE"
)


class PostgresTokens(SqlTokens):
    """Reads them through one connection, and writes them in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def lock_tokens(self, namespace: str, tokens: Collection[str]) -> Mapping[str, Token]:
        """By id: those of these that exist (rule 3)."""
        names = write_texts(sorted(tokens))
        return {one.id: one for one in self._locks.locked(read_token, _LOCK_TOKENS, (namespace, names))}

    def lock_keys(self, *, moves: bool = False) -> tuple[IssuingKey, ...]:
        """Every key (rules 1 and 2)."""
        return self._locks.locked(read_key, _LOCK_ALONE if moves else _LOCK)
