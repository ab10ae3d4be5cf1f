"""Persons, groups and agents, in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from taskbound.adapters.store.sql.rows.columns import (
    json_texts,
    read_grantable,
    read_scope,
    read_texts,
    write_grantable,
)
from taskbound.adapters.store.sql.rows.known import look_up
from taskbound.adapters.store.sql.rows.statement import Statement, Versioned, given
from taskbound.adapters.store.sql.schema import agents, person_groups, persons
from taskbound.core.clock import Instant
from taskbound.core.identity import Agent, AgentState, Group, Person, PersonState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.adapters.store.sql.rows.link import Link

__all__ = ["GROUPS", "PERSONS", "SqlIdentities", "read_group", "read_person", "read_version"]

_SPACE, _NAME = given("namespace"), given("name")
_PERSON: Final = Statement(select(persons).where(persons.c.namespace == _SPACE, persons.c.name == _NAME))
PERSONS: Final = Statement(select(persons).where(persons.c.namespace == _SPACE).order_by(persons.c.name))
GROUPS: Final = Statement(
    select(person_groups).where(person_groups.c.namespace == _SPACE).order_by(person_groups.c.name)
)
_AGENT: Final = Statement(select(agents).where(agents.c.namespace == _SPACE, agents.c.name == _NAME))
_AGENTS: Final = Statement(select(agents).where(agents.c.namespace == _SPACE).order_by(agents.c.name))
_PUT_PERSON: Final = Versioned(persons, "person")
_PUT_GROUP: Final = Versioned(person_groups, "group")
_PUT_AGENT: Final = Versioned(agents, "agent")

_NAMESPACES: Final = "SELECT DISTINCT namespace FROM agents ORDER BY namespace"
_VERSIONS: Final = (
    "SELECT name, version FROM agents WHERE namespace = ? AND name IN (SELECT value FROM json_each(?))"
)


class SqlIdentities:
    """Reads persons and agents through one connection, and writes them in a transaction."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        """Go through this link."""
        self._link = link

    def person(self, namespace: str, name: str) -> Person | None:
        """The person of this name."""
        return self._link.one(read_person, _PERSON.text, _PERSON.values(namespace=namespace, name=name))

    def persons(self, namespace: str) -> Mapping[str, Person]:
        """Every person, by name in order."""
        found = self._link.all(read_person, PERSONS.text, PERSONS.values(namespace=namespace))
        return {one.name: one for one in found}

    def groups(self, namespace: str) -> tuple[Group, ...]:
        """Every group, by name."""
        return self._link.all(read_group, GROUPS.text, GROUPS.values(namespace=namespace))

    def agent(self, namespace: str, name: str) -> Agent | None:
        """The agent of this name."""
        return self._link.one(_agent, _AGENT.text, _AGENT.values(namespace=namespace, name=name))

    def agents(self, namespace: str) -> tuple[Agent, ...]:
        """Every agent, by name."""
        return self._link.all(_agent, _AGENTS.text, _AGENTS.values(namespace=namespace))

    def namespaces(self) -> tuple[str, ...]:
        """Every namespace that has an agent, in order."""
        return self._link.all(str, _NAMESPACES)

    def lock_agents(self, namespace: str, names: Collection[str]) -> Mapping[str, int]:
        """The version of each agent that exists."""
        known = self._link.known

        def read(missing: Collection[str]) -> Mapping[str, int]:
            return dict(self._link.all(read_version, _VERSIONS, (namespace, json_texts(tuple(missing)))))

        return read(names) if known is None else look_up(known.agents, namespace, names, read)

    def lock_grantors(self, namespace: str) -> tuple[Mapping[str, Person], tuple[Group, ...]]:
        """Every person and every group."""
        return self.persons(namespace), self.groups(namespace)

    def put_person(self, person: Person, *, expect: int) -> None:
        """Write the person."""
        _PUT_PERSON.put(
            self._link,
            expect,
            namespace=person.namespace,
            name=person.name,
            uid=person.uid,
            state=person.state.value,
            version=person.version,
            grantable=write_grantable(person.grantable),
        )

    def put_group(self, group: Group, *, expect: int) -> None:
        """Write the group."""
        _PUT_GROUP.put(
            self._link,
            expect,
            namespace=group.namespace,
            name=group.name,
            members=json_texts(group.members),
            version=group.version,
            grantable=write_grantable(group.grantable),
        )

    def put_agent(self, agent: Agent, *, expect: int) -> None:
        """Write the agent."""
        _PUT_AGENT.put(
            self._link,
            expect,
            namespace=agent.namespace,
            name=agent.name,
            state=agent.state.value,
            owner=agent.owner,
            approvers=json_texts(agent.approvers),
            monitor=agent.monitor,
            ceiling=agent.ceiling.canonical,
            challenge=agent.challenge,
            acknowledged=agent.acknowledged,
            version=agent.version,
        )


def read_version(name: str, version: int) -> tuple[str, int]:
    """Name and version of an agent, from its columns."""
    return name, version


def read_person(  # the columns of a row, in order
    namespace: str, name: str, uid: int, state: str, version: int, grantable: bytes | None
) -> Person:
    """A person, from its columns."""
    return Person(
        namespace=namespace,
        name=name,
        uid=uid,
        state=PersonState(state),
        version=version,
        grantable=read_grantable(grantable),
    )


def read_group(namespace: str, name: str, members: str, version: int, grantable: bytes | None) -> Group:
    """A group, from its columns."""
    return Group(
        namespace=namespace,
        name=name,
        members=read_texts(members),
        version=version,
        grantable=read_grantable(grantable),
    )


def _agent(  # noqa: PLR0913, PLR0917  # the columns of a row, in order
    namespace: str,
    name: str,
    state: str,
    owner: str,
    approvers: str,
    monitor: str,
    ceiling: bytes,
    challenge: str,
    acknowledged: int | None,
    version: int,
) -> Agent:
    return Agent(
        namespace=namespace,
        name=name,
        state=AgentState(state),
        owner=owner,
        approvers=read_texts(approvers),
        monitor=monitor,
        ceiling=read_scope(ceiling),
        challenge=challenge,
        acknowledged=None if acknowledged is None else Instant(acknowledged),
        version=version,
    )
