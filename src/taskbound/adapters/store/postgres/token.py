"""Tokens, clients and claims in PostgreSQL.

1. Uses take share locks in name order: ending a token, key or admission waits for the use. One statement
   inserts a turn's claims in key order, so turns never deadlock.
2. A claim that another transaction holds is waited for and counts as used only if that commits. Without
   a key row to lock, a unique index refuses the second of two additions.
3. What was forgotten, and a service's claims, are read by a separate statement after the insert or the
   tally lock: its snapshot includes every transaction that was waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.postgres.server.link import write_texts, write_wholes
from taskbound.adapters.store.sql.schema.token import token_admissions
from taskbound.adapters.store.sql.token.authorization import ADMISSION_ROW, SqlAuthorizations
from taskbound.adapters.store.sql.token.tokens import (
    COLUMNS,
    SqlClaims,
    SqlTokens,
    read_swept,
    read_token,
)
from taskbound.core.token import Use

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.core.clock import Instant
    from taskbound.core.token import Claim, Token
    from taskbound.core.token.authorization.request import Admission


_LOCK: Final = (
    f"SELECT {', '.join(one.name for one in token_admissions.columns)} FROM token_admissions"  # noqa: S608 - our own words
    " WHERE namespace = $1 AND id = ANY($2::text[]) ORDER BY id FOR SHARE"
)


class PostgresAuthorizations(SqlAuthorizations):
    """OAuth clients and admissions in PostgreSQL."""

    __slots__ = ()
    _link: PostgresLink

    def lock_admissions(self, namespace: str, admissions: Collection[str]) -> Mapping[str, Admission]:
        """Returns, by id, those of these admissions that exist, share-locked."""
        names = write_texts(sorted(admissions))
        return {one.id: one for one in self._link.locked(ADMISSION_ROW.read, _LOCK, (namespace, names))}


_USE: Final = (
    "INSERT INTO claims (namespace, kind, digest, until)"
    " SELECT * FROM unnest(?::text[], ?::text[], ?::text[], ?::bigint[])"
    " ON CONFLICT (namespace, kind, digest) DO NOTHING RETURNING namespace, kind, digest"
)
_FORGOTTEN: Final = (
    "SELECT namespace, kind, until FROM claims_forgotten"
    " WHERE (namespace, kind) IN (SELECT * FROM unnest(?::text[], ?::text[]))"
)


class PostgresClaims(SqlClaims):
    """Claims in PostgreSQL."""

    __slots__ = ()
    _link: PostgresLink

    def use(self, claims: Sequence[Claim]) -> tuple[Use, ...]:
        if not claims:
            return ()
        ordered = sorted(claims, key=_key)
        values = (
            write_texts([one.namespace for one in ordered]),
            write_texts([one.kind.value for one in ordered]),
            write_texts([one.digest for one in ordered]),
            write_wholes([one.until for one in ordered]),
        )
        fresh = set(self._link.locked(_row, _USE, values))
        forgotten = self._forgotten({key[:2] for key in fresh})
        uses: list[Use] = []
        for one in claims:
            key = _key(one)
            late = one.until <= forgotten.get(key[:2], 0)
            uses.append(Use.AGAIN if key not in fresh else Use.LATE if late else Use.FIRST)
            fresh.discard(key)
        return tuple(uses)

    def _forgotten(self, kinds: set[tuple[str, str]]) -> dict[tuple[str, str], Instant]:
        if not kinds:
            return {}
        values = (write_texts([one for one, _ in kinds]), write_texts([one for _, one in kinds]))
        found = self._link.locked(read_swept, _FORGOTTEN, values)
        return {(namespace, kind): until for namespace, kind, until in found}


def _key(claim: Claim) -> tuple[str, str, str]:
    return claim.namespace, claim.kind.value, claim.digest


def _row(namespace: str, kind: str, digest: str) -> tuple[str, str, str]:
    return namespace, kind, digest


_LOCK_TOKENS: Final = (
    f"SELECT {COLUMNS} FROM tokens WHERE namespace = $1 AND id = ANY($2::text[])"  # noqa: S608 - our own words
    " ORDER BY id FOR SHARE"
)


class PostgresTokens(SqlTokens):
    """Tokens in PostgreSQL."""

    __slots__ = ()
    _link: PostgresLink

    def lock_tokens(self, namespace: str, tokens: Collection[str]) -> Mapping[str, Token]:
        """Returns, by id, those of these tokens that exist, share-locked."""
        names = write_texts(sorted(tokens))
        return {one.id: one for one in self._link.locked(read_token, _LOCK_TOKENS, (namespace, names))}
