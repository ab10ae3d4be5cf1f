"""What was used once, in rows: who inserts one has used it first, and a conflict is a replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.token import Use

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.adapters.store.sql.rows.link import Link
    from taskbound.core.clock import Instant
    from taskbound.core.token import Claim

__all__ = ["SqlClaims"]

_USE: Final = (
    "INSERT INTO claims (namespace, kind, digest, until) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (namespace, kind, digest) DO NOTHING"
)
_SWEEP: Final = (
    "DELETE FROM claims WHERE (namespace, kind, digest) IN"
    " (SELECT namespace, kind, digest FROM claims WHERE until < ? ORDER BY until LIMIT ?)"
)


class SqlClaims:
    """Uses them in a transaction."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        """Go through this link."""
        self._link = link

    def use(self, claims: Sequence[Claim]) -> tuple[Use, ...]:
        """Which use of each this is."""
        return tuple(
            Use.FIRST
            if self._link.change(_USE, (one.namespace, one.kind.value, one.digest, one.until)) == 1
            else Use.AGAIN
            for one in claims
        )

    def sweep(self, before: Instant, *, limit: int) -> int:
        """Forget those whose window ended before this."""
        return self._link.change(_SWEEP, (before, limit))
