"""The kill switch, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.revocation import KillSwitch

if TYPE_CHECKING:
    from taskbound.adapters.store.memory.rows import Tables

__all__ = ["MemoryRevocation"]


class MemoryRevocation:
    """Reads the kill switch of a snapshot, and changes it in a transaction."""

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
