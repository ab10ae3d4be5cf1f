"""What was used once, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.token import Use

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.core.clock import Instant
    from taskbound.core.token import Claim

__all__ = ["MemoryClaims"]


class MemoryClaims:
    """Uses them in a transaction; one transaction is after the other."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def use(self, claims: Sequence[Claim]) -> tuple[Use, ...]:
        """Which use of each this is."""
        tables = self._tables.live()
        rows = tables.claims
        uses: list[Use] = []
        for one in claims:
            key = (one.namespace, one.kind, one.digest)
            used = rows.get(key) is not None
            forgotten = tables.claims_forgotten.get((one.namespace, one.kind))
            late = forgotten is not None and one.until <= forgotten
            if not used:
                rows.put(key, one)
            uses.append(Use.AGAIN if used else Use.LATE if late else Use.FIRST)
        return tuple(uses)

    def sweep(self, before: Instant, *, limit: int) -> int:
        """Forget those whose window ended before this."""
        tables = self._tables.live()
        rows, forgotten = tables.claims, tables.claims_forgotten
        over = sorted((one for one in rows.values() if one.until < before), key=lambda one: one.until)[:limit]
        for one in over:
            rows.put((one.namespace, one.kind, one.digest), None)
            of = (one.namespace, one.kind)
            forgotten.put(of, max(one.until, forgotten.get(of) or one.until))
        return len(over)
