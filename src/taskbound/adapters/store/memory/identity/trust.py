"""Trust domains, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.core.identity.trust import Trust

__all__ = ["MemoryTrusts"]


class MemoryTrusts:
    """Reads trust domains of a snapshot, and writes them in a transaction."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def trust(self, namespace: str, domain: str) -> Trust | None:
        """The trust domain of this name."""
        return self._tables.live().trusts.get((namespace, domain))

    def trusts(self, namespace: str) -> tuple[Trust, ...]:
        """Every trust domain of a namespace, by name."""
        return tuple(one for one in self.all_trusts() if one.namespace == namespace)

    def all_trusts(self) -> tuple[Trust, ...]:
        """Every trust domain of every namespace, by both."""
        found = self._tables.live().trusts.values()
        return tuple(sorted(found, key=lambda one: (one.namespace, one.domain)))

    def put_trust(self, trust: Trust, *, expect: int) -> None:
        """Write the trust domain."""
        now = self.trust(trust.namespace, trust.domain)
        if (now.version if now else 0) != expect:
            self._tables.conflict(f"trust domain `{trust.domain}`")
        self._tables.trusts.put((trust.namespace, trust.domain), trust)

    def drop_trust(self, namespace: str, domain: str) -> None:
        """Forget the trust domain."""
        self._tables.live().trusts.put((namespace, domain), None)
