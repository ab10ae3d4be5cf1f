"""Selectors of agents, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.identity.selector import selector_id

if TYPE_CHECKING:
    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.core.identity.proof import WorkloadKind
    from taskbound.core.identity.selector import Selector

__all__ = ["MemoryWorkloads"]


class MemoryWorkloads:
    """Reads what proves agents from a snapshot, and writes it in a transaction."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def selectors(self, namespace: str) -> tuple[Selector, ...]:
        """Every selector, by agent and id."""
        found = [one for one in self._tables.live().selectors.values() if one.namespace == namespace]
        return tuple(sorted(found, key=lambda one: (one.agent, selector_id(one))))

    def selectors_of(self, namespace: str, kind: WorkloadKind, issuer: str) -> tuple[Selector, ...]:
        """Those for credentials of this kind by this issuer."""
        return tuple(one for one in self.selectors(namespace) if (one.kind, one.issuer) == (kind, issuer))

    def put_selector(self, selector: Selector) -> None:
        """Write a selector."""
        key = (selector.namespace, selector_id(selector))
        if self._tables.live().selectors.get(key) is not None:
            self._tables.conflict(f"selector `{key[1]}`")
        self._tables.selectors.put(key, selector)

    def drop_selector(self, namespace: str, selector: str) -> None:
        """Forget the selector of this id."""
        self._tables.live().selectors.put((namespace, selector), None)
