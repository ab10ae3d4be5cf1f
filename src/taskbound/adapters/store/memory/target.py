"""Targets, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.core.clock import Instant
    from taskbound.ports.target import StoredTarget

__all__ = ["MemoryTargets"]

_ONLY: Final = 1
"""The key of the one row that holds the mark."""


class MemoryTargets:
    """Reads targets of a snapshot, and writes them in a transaction."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def target(self, namespace: str, name: str) -> StoredTarget | None:
        """The target of this name."""
        return self._tables.live().targets.get((namespace, name))

    def targets(self, namespace: str) -> tuple[StoredTarget, ...]:
        """Every target, by name."""
        return tuple(one for one in self.all_targets() if one.namespace == namespace)

    def all_targets(self) -> tuple[StoredTarget, ...]:
        """Those of every namespace, by namespace and name."""
        found = self._tables.live().targets.values()
        return tuple(sorted(found, key=lambda one: (one.namespace, one.name)))

    def mark(self) -> str:
        """What tells this installation's names apart; empty before there is one."""
        return self._tables.live().installation.get(_ONLY) or ""

    def has_epoch(self, epoch: int, since: Instant) -> bool:
        """Whether the log has the record of this epoch."""
        return self._tables.live().epochs.get((epoch, since)) is not None

    def lock_target(self, namespace: str, name: str) -> StoredTarget | None:
        """The target; the transaction holds the one lock there is."""
        return self.target(namespace, name)

    def put_target(self, target: StoredTarget, *, expect: int) -> None:
        """Write it over the row of this version; 0 for one that must not exist."""
        now = self.target(target.namespace, target.name)
        if (now.version if now else 0) != expect:
            self._tables.conflict(f"target `{target.name}`")
        self._tables.targets.put((target.namespace, target.name), target)

    def drop_target(self, namespace: str, name: str) -> None:
        """Take it away."""
        self._tables.live().targets.put((namespace, name), None)

    def put_mark(self, mark: str) -> None:
        """Keep the mark, where there is none."""
        if self.mark():
            self._tables.conflict("the installation's mark")
        self._tables.installation.put(_ONLY, mark)

    def put_epoch(self, epoch: int, since: Instant) -> None:
        """Keep that its record is written, where that is not kept."""
        if self.has_epoch(epoch, since):
            self._tables.conflict(f"the epoch {epoch}")
        self._tables.epochs.put((epoch, since), value=True)
