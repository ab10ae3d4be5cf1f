"""What was used once, in rows that several daemons write.

1. All of one turn are one statement, in the order of their keys: two turns that share some wait for each
   other and never in a circle.
2. One that another transaction is about to use is waited for: it was used only if that one commits. So is
   one that is about to be forgotten.
3. How far windows were forgotten is read by a statement of its own, after what was inserted: its snapshot
   has what was committed by whoever was waited for. It takes no lock, as it needs none for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.postgres.server.link import write_texts, write_wholes
from taskbound.adapters.store.sql.token.claim import SqlClaims, read_swept
from taskbound.core.token import Use

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.adapters.store.sql.rows.link import Value
    from taskbound.core.clock import Instant
    from taskbound.core.token import Claim


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
