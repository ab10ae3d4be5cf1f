"""Persons, groups and agents, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.identity import AgentState
from taskbound.core.identity.person_key import Namespace

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.core.identity import Agent, Group, Person
    from taskbound.core.identity.issuer import Issuer
    from taskbound.core.identity.person_key import PersonKey

__all__ = ["MemoryIdentities"]


class MemoryIdentities:
    """Reads persons and agents of a snapshot, and writes them in a transaction."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def person(self, namespace: str, name: str) -> Person | None:
        """The person of this name."""
        return self._tables.live().persons.get((namespace, name))

    def persons(self, namespace: str) -> Mapping[str, Person]:
        """Every person, by name in order."""
        found = [one for one in self._tables.live().persons.values() if one.namespace == namespace]
        return {one.name: one for one in sorted(found, key=lambda one: one.name)}

    def groups(self, namespace: str) -> tuple[Group, ...]:
        """Every group, by name."""
        found = [one for one in self._tables.live().groups.values() if one.namespace == namespace]
        return tuple(sorted(found, key=lambda one: one.name))

    def person_key(self, namespace: str, key: str) -> PersonKey | None:
        """The key of this id, in whatever state."""
        return self._tables.live().person_keys.get((namespace, key))

    def person_keys(self, namespace: str) -> tuple[PersonKey, ...]:
        """Every key, in whatever state, by id."""
        found = [one for one in self._tables.live().person_keys.values() if one.namespace == namespace]
        return tuple(sorted(found, key=lambda one: one.id))

    def namespace(self, name: str) -> Namespace:
        """What is said of a namespace."""
        return self._tables.live().namespaces.get(name) or Namespace(name=name)

    def issuers(self, namespace: str) -> tuple[Issuer, ...]:
        """Every issuer of evidence, by name."""
        found = [one for one in self._tables.live().issuers.values() if one.namespace == namespace]
        return tuple(sorted(found, key=lambda one: one.name))

    def agent(self, namespace: str, name: str) -> Agent | None:
        """The agent of this name."""
        return self._tables.live().agents.get((namespace, name))

    def agents(self, namespace: str) -> tuple[Agent, ...]:
        """Every agent, by name."""
        found = [one for one in self._tables.live().agents.values() if one.namespace == namespace]
        return tuple(sorted(found, key=lambda one: one.name))

    def namespaces(self) -> tuple[str, ...]:
        """Every namespace that has an agent, in order."""
        return tuple(sorted({one.namespace for one in self._tables.live().agents.values()}))

    def monitors(self) -> Mapping[str, str]:
        """The first namespace of each active agent's monitor."""
        agents = self._tables.live().agents.values()
        pairs = {(one.namespace, one.monitor) for one in agents if one.state is AgentState.ACTIVE}
        return {address: space for space, address in sorted(pairs, reverse=True)}

    def lock_agents(self, namespace: str, names: Collection[str]) -> Mapping[str, int]:
        """The version of each agent that exists."""
        found = {name: self.agent(namespace, name) for name in names}
        return {name: one.version for name, one in found.items() if one is not None}

    def lock_persons(self, namespace: str, names: Collection[str]) -> Mapping[str, Person]:
        """By name: those of these who are known; one transaction is after the other."""
        found = {name: self.person(namespace, name) for name in names}
        return {name: one for name, one in found.items() if one is not None}

    def lock_grantors(self, namespace: str) -> tuple[Mapping[str, Person], tuple[Group, ...]]:
        """Every person and every group."""
        return self.persons(namespace), self.groups(namespace)

    def lock_person_keys(self, namespace: str) -> tuple[PersonKey, ...]:
        """Every key."""
        return self.person_keys(namespace)

    def lock_issuers(self, namespace: str) -> tuple[Issuer, ...]:
        """Every issuer of evidence."""
        return self.issuers(namespace)

    def put_issuer(self, issuer: Issuer, *, expect: int) -> None:
        """Write the issuer."""
        now = self._tables.live().issuers.get((issuer.namespace, issuer.name))
        others = [one for one in self.issuers(issuer.namespace) if one.name != issuer.name]
        if (now.version if now else 0) != expect or issuer.issuer in {one.issuer for one in others}:
            self._tables.conflict(f"issuer `{issuer.name}`")
        self._tables.issuers.put((issuer.namespace, issuer.name), issuer)

    def drop_issuer(self, namespace: str, name: str) -> None:
        """Forget the issuer."""
        self._tables.live().issuers.put((namespace, name), None)

    def put_person_key(self, key: PersonKey, *, expect: int) -> None:
        """Write the key."""
        now = self.person_key(key.namespace, key.id)
        if (now.version if now else 0) != expect:
            self._tables.conflict(f"key `{key.id}`")
        self._tables.person_keys.put((key.namespace, key.id), key)

    def put_namespace(self, namespace: Namespace, *, expect: int) -> None:
        """Write what is said of the namespace."""
        if self.namespace(namespace.name).version != expect:
            self._tables.conflict(f"namespace `{namespace.name}`")
        self._tables.namespaces.put(namespace.name, namespace)

    def put_person(self, person: Person, *, expect: int) -> None:
        """Write the person."""
        now = self.person(person.namespace, person.name)
        if (now.version if now else 0) != expect:
            self._tables.conflict(f"person `{person.name}`")
        self._tables.persons.put((person.namespace, person.name), person)

    def put_group(self, group: Group, *, expect: int) -> None:
        """Write the group."""
        known = {one.name: one for one in self.groups(group.namespace)}.get(group.name)
        if (known.version if known else 0) != expect:
            self._tables.conflict(f"group `{group.name}`")
        self._tables.groups.put((group.namespace, group.name), group)

    def put_agent(self, agent: Agent, *, expect: int) -> None:
        """Write the agent."""
        now = self.agent(agent.namespace, agent.name)
        if (now.version if now else 0) != expect:
            self._tables.conflict(f"agent `{agent.name}`")
        self._tables.agents.put((agent.namespace, agent.name), agent)
