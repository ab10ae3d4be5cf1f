"""Selectors and keys of agents, and issuers of identities, in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.identity.selector import selector_id

if TYPE_CHECKING:
    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.core.clock import Instant
    from taskbound.core.identity.agent_key import AgentKey
    from taskbound.core.identity.oidc import IdentityIssuer
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

    def agent_keys(self, namespace: str, agent: str = "") -> tuple[AgentKey, ...]:
        """Every key of the agent, or of all."""
        found = [one for one in self._tables.live().agent_keys.values() if one.namespace == namespace]
        mine = [one for one in found if agent in {"", one.agent}]
        return tuple(sorted(mine, key=lambda one: (one.agent, one.made, one.kid)))

    def agent_key(self, namespace: str, kid: str) -> AgentKey | None:
        """The key of this id."""
        return self._tables.live().agent_keys.get((namespace, kid))

    def put_agent_key(self, key: AgentKey) -> None:
        """Write a new key."""
        standing = any(one.ended is None for one in self.agent_keys(key.namespace, key.agent))
        if self.agent_key(key.namespace, key.kid) is not None or standing:
            self._tables.conflict(f"key `{key.kid}`")
        self._tables.agent_keys.put((key.namespace, key.kid), key)

    def end_agent_key(self, namespace: str, kid: str, at: Instant) -> None:
        """Have the key count no more."""
        found = self.agent_key(namespace, kid)
        if found is not None and found.ended is None:
            self._tables.agent_keys.put((namespace, kid), replace(found, ended=at))

    def identity_issuers(self, namespace: str) -> tuple[IdentityIssuer, ...]:
        """Every issuer of identities, by name."""
        found = [one for one in self._tables.live().identity_issuers.values() if one.namespace == namespace]
        return tuple(sorted(found, key=lambda one: one.name))

    def put_identity_issuer(self, issuer: IdentityIssuer) -> None:
        """Write a new issuer."""
        for one in self.identity_issuers(issuer.namespace):
            if one.name == issuer.name or (one.issuer, one.use) == (issuer.issuer, issuer.use):
                self._tables.conflict(f"issuer `{issuer.name}`")
        self._tables.identity_issuers.put((issuer.namespace, issuer.name), issuer)

    def drop_identity_issuer(self, namespace: str, name: str) -> None:
        """Forget the issuer."""
        self._tables.live().identity_issuers.put((namespace, name), None)
