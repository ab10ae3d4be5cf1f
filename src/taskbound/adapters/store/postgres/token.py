"""Tokens, clients and claims in PostgreSQL, in rows that several daemons lock.

Of `authorization`:

1. What is done with a token of a client locks the client's admission against change, in the order of names,
   and many do so at once: who ends it waits for them, or they wait and see it.

Of `claim`:

1. All of one turn are one statement, in the order of their keys: two turns that share some wait for each
   other and never in a circle.
2. One that another transaction is about to use is waited for: it was used only if that one commits. So is
   one that is about to be forgotten.
3. How far windows were forgotten is read by a statement of its own, after what was inserted: its snapshot
   has what was committed by whoever was waited for. It takes no lock, as it needs none for that.

Of `shared`:

1. Whoever changes a service's claims has locked its tally's row before, and reads after that by statements of
   their own, whose snapshots have what was committed by whoever was waited for.

Of `tokens`:

1. Whoever issues a token locks the keys against change, and many do so at once; who changes one waits for
   them.
2. A lock on no row is none: while there is no key, a key is only ever added, and of two that are added at
   once as the same the database refuses the second.
3. What is done with a token locks its row against change, in the order of names, and many do so at once: who
   revokes it waits for them, or they wait and see it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.adapters.store.postgres.server.link import write_texts, write_wholes
from taskbound.adapters.store.sql.schema.authorization import token_admissions
from taskbound.adapters.store.sql.token.authorization import SqlAuthorizations, read_admission
from taskbound.adapters.store.sql.token.tokens import (
    COLUMNS,
    KEYS,
    SqlClaims,
    SqlSharedClaims,
    SqlTokens,
    read_key,
    read_swept,
    read_token,
)
from taskbound.core.token import Use

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.adapters.store.sql.rows import Value
    from taskbound.core.clock import Instant
    from taskbound.core.token import Claim, IssuingKey, Token
    from taskbound.core.token.authorization.request import Admission


_LOCK: Final = (
    f"SELECT {', '.join(one.name for one in token_admissions.columns)} FROM token_admissions"  # noqa: S608 - our own words
    " WHERE namespace = $1 AND id = ANY($2::text[]) ORDER BY id FOR SHARE"
)


class PostgresAuthorizations(SqlAuthorizations):
    """Reads through one connection, and writes in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def lock_admissions(self, namespace: str, admissions: Collection[str]) -> Mapping[str, Admission]:
        """By id: those of these that exist (rule 1)."""
        names = write_texts(sorted(admissions))
        return {one.id: one for one in self._locks.locked(read_admission, _LOCK, (namespace, names))}


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
    """Uses them in a transaction."""

    __slots__ = ("_turns",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._turns = link

    def use(self, claims: Sequence[Claim]) -> tuple[Use, ...]:
        """Which use of each this is (rules 1 to 3)."""
        if not claims:
            return ()
        ordered = sorted(claims, key=_key)
        values = (
            write_texts([one.namespace for one in ordered]),
            write_texts([one.kind.value for one in ordered]),
            write_texts([one.digest for one in ordered]),
            write_wholes([one.until for one in ordered]),
        )
        fresh = set(self._turns.locked(_row, _USE, values))
        forgotten = self._forgotten({key[:2] for key in fresh})
        uses: list[Use] = []
        for one in claims:
            key = _key(one)
            late = one.until <= forgotten.get(key[:2], 0)
            uses.append(Use.AGAIN if key not in fresh else Use.LATE if late else Use.FIRST)
            fresh.discard(key)
        return tuple(uses)

    def _forgotten(self, kinds: set[tuple[str, str]]) -> dict[tuple[str, str], Instant]:
        """How far windows of these were forgotten (rule 3)."""
        if not kinds:
            return {}
        values = (write_texts([one for one, _ in kinds]), write_texts([one for _, one in kinds]))
        found = self._turns.locked(read_swept, _FORGOTTEN, values)
        return {(namespace, kind): until for namespace, kind, until in found}

    def _swept(self, text: str, values: Sequence[Value]) -> tuple[tuple[str, str, Instant], ...]:
        """The rows that a statement takes away."""
        return self._turns.locked(read_swept, text, values)


def _key(claim: Claim) -> tuple[str, str, str]:
    return claim.namespace, claim.kind.value, claim.digest


def _row(namespace: str, kind: str, digest: str) -> tuple[str, str, str]:
    return namespace, kind, digest


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


_TOKENS_LOCK: Final = f"{KEYS} ORDER BY made, kid FOR SHARE"
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
        return self._locks.locked(read_key, _LOCK_ALONE if moves else _TOKENS_LOCK)
