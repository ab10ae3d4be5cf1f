"""What was answered under a key, in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.core.clock import Instant
    from taskbound.core.identity.answered import Answered

__all__ = ["MemoryAnswered"]


class MemoryAnswered:
    """Keeps them in a transaction; one transaction is after the other."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def begin(self, row: Answered, *, now: Instant) -> Answered | None:
        """Keep a key without an answer; or what is kept under it."""
        rows = self._tables.live().answered
        known = rows.get(_key(row))
        if known is not None and known.until >= now:
            return known
        rows.put(_key(row), row)
        return None

    def finish(self, row: Answered) -> None:
        """Keep the answer of one that was begun."""
        rows = self._tables.live().answered
        known = rows.get(_key(row))
        if known is not None and known.request == row.request:
            rows.put(_key(row), replace(known, answer=row.answer))

    def forget(self, row: Answered) -> None:
        """Forget one that has no answer."""
        rows = self._tables.live().answered
        known = rows.get(_key(row))
        if known is not None and known.request == row.request and not known.answer:
            rows.put(_key(row), None)

    def sweep(self, before: Instant, *, limit: int) -> int:
        """Forget those whose time was over before this."""
        rows = self._tables.live().answered
        over = sorted((one for one in rows.values() if one.until < before), key=lambda one: one.until)[:limit]
        for one in over:
            rows.put(_key(one), None)
        return len(over)


def _key(row: Answered) -> tuple[str, str, str]:
    return row.namespace, row.principal, row.key
