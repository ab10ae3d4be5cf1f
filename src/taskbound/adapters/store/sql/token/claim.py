"""What was used once, in rows: who inserts one has used it first, and a conflict is a replay.

1. How far windows were forgotten is written by the transaction that forgets, and read by the one that uses
   after it has inserted: whoever could insert what was forgotten sees that it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant
from taskbound.core.token import Use

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.adapters.store.sql.rows.link import Link, Value
    from taskbound.core.token import Claim


_USE: Final = (
    "INSERT INTO claims (namespace, kind, digest, until) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (namespace, kind, digest) DO NOTHING"
)
_FORGOTTEN: Final = "SELECT until FROM claims_forgotten WHERE namespace = ? AND kind = ?"
_SWEEP: Final = (
    "DELETE FROM claims WHERE (namespace, kind, digest) IN"
    " (SELECT namespace, kind, digest FROM claims WHERE until < ? ORDER BY until LIMIT ?)"
    " RETURNING namespace, kind, until"
)
_FORGET: Final = (
    "INSERT INTO claims_forgotten (namespace, kind, until) VALUES (?, ?, ?)"
    " ON CONFLICT (namespace, kind) DO UPDATE SET until = excluded.until"
    " WHERE claims_forgotten.until < excluded.until"
)


class SqlClaims:
    """Uses them in a transaction."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        """Go through this link."""
        self._link = link

    def use(self, claims: Sequence[Claim]) -> tuple[Use, ...]:
        """Which use of each this is."""
        return tuple(self._use(one) for one in claims)

    def sweep(self, before: Instant, *, limit: int) -> int:
        """Forget those whose window ended before this."""
        over = self._swept(_SWEEP, (before, limit))
        last: dict[tuple[str, str], Instant] = {}
        for namespace, kind, until in over:
            last[namespace, kind] = max(until, last.get((namespace, kind), until))
        self._link.change_many(_FORGET, [(*of, until) for of, until in sorted(last.items())])  # 1
        return len(over)

    def _use(self, one: Claim) -> Use:
        key = (one.namespace, one.kind.value)
        if self._link.change(_USE, (*key, one.digest, one.until)) != 1:
            return Use.AGAIN
        return Use.LATE if one.until <= self._link.whole(_FORGOTTEN, key) else Use.FIRST  # 1

    def _swept(self, text: str, values: Sequence[Value]) -> tuple[tuple[str, str, Instant], ...]:
        """The rows that a statement takes away."""
        return self._link.all(read_swept, text, values)


def read_swept(namespace: str, kind: str, until: int) -> tuple[str, str, Instant]:
    """Of which kind a row was that was taken away, and when its window ended."""
    return namespace, kind, Instant(until)
