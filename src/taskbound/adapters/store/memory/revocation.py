"""The kill switch and the entries of the feed, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.revocation import KillSwitch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.core.clock import Instant
    from taskbound.core.revocation.feed import Entry

__all__ = ["MemoryRevocation"]


class MemoryRevocation:
    """Reads the kill switch and entries of a snapshot, and changes them in a transaction."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def kill_switch(self, namespace: str) -> KillSwitch:
        """How it stands; in an untouched namespace it is off, epoch 0."""
        return self._tables.live().switches.get(namespace) or KillSwitch()

    def lock_kill_switch(self, namespace: str, *, moves: bool = False) -> KillSwitch:  # noqa: ARG002 - one lock
        """How it stands; the transaction holds the one lock there is."""
        return self.kill_switch(namespace)

    def put_kill_switch(self, namespace: str, switch: KillSwitch, *, expect: int) -> None:
        """Write it."""
        if self.kill_switch(namespace).epoch != expect:
            self._tables.conflict("the kill switch")
        self._tables.switches.put(namespace, switch)

    def entries(self, since: Instant) -> tuple[Entry, ...]:
        """Those of all namespaces that were said at this instant or later, in the order of their places."""
        found = [one for one in self._tables.live().revocations.values() if one.at >= since]
        return tuple(sorted(found, key=lambda one: one.place))

    def put_entries(self, entries: Sequence[Entry]) -> None:
        """Keep entries of records that this transaction gives their places."""
        rows = self._tables.live().revocations
        for one in entries:
            if rows.get(one.place) is not None:
                self._tables.conflict("what a record ended")
            rows.put(one.place, one)

    def forget_entries(self, before: Instant, *, limit: int) -> int:
        """Forget those that were said before this instant, so many at most; how many were."""
        rows = self._tables.live().revocations
        old = [one.place for one in rows.values() if one.at < before][:limit]
        for place in old:
            rows.put(place, None)
        return len(old)
