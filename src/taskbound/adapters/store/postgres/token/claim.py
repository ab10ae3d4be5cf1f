"""What was used once, in rows that several daemons write.

1. All of one turn are one statement, in the order of their keys: two turns that share some wait for each
   other and never in a circle.
2. One that another transaction is about to use is waited for: it was used only if that one commits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.postgres.server.link import write_texts, write_wholes
from taskbound.adapters.store.sql.token.claim import SqlClaims
from taskbound.core.token import Use

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.core.token import Claim

__all__ = ["PostgresClaims"]

_USE: Final = (
    "INSERT INTO claims (namespace, kind, digest, until)"
    " SELECT * FROM unnest(?::text[], ?::text[], ?::text[], ?::bigint[])"
    " ON CONFLICT (namespace, kind, digest) DO NOTHING RETURNING namespace, kind, digest"
)


class PostgresClaims(SqlClaims):
    """Uses them in a transaction."""

    __slots__ = ("_turns",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._turns = link

    def use(self, claims: Sequence[Claim]) -> tuple[Use, ...]:
        """Which use of each this is (rules 1 and 2)."""
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
        uses: list[Use] = []
        for one in claims:
            uses.append(Use.FIRST if _key(one) in fresh else Use.AGAIN)
            fresh.discard(_key(one))
        return tuple(uses)


def _key(claim: Claim) -> tuple[str, str, str]:
    return claim.namespace, claim.kind.value, claim.digest


def _row(namespace: str, kind: str, digest: str) -> tuple[str, str, str]:
    return namespace, kind, digest
