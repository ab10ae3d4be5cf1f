"""Persons, groups, agents, person keys and evidence issuers in SQL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select

from taskbound.adapters.store.sql.rows import (
    Statement,
    Versioned,
    given,
    json_texts,
    look_up,
    read_grantable,
    read_scope,
    read_texts,
    write_grantable,
)
from taskbound.adapters.store.sql.schema import (
    agents,
    issuers,
    namespaces,
    person_keys,
    persons,
)
from taskbound.adapters.store.sql.schema.group import person_groups
from taskbound.core.clock import Instant
from taskbound.core.identity import Agent, AgentState, Group, Person, PersonState
from taskbound.core.identity.agent import Risk
from taskbound.core.identity.issuer import Issuer
from taskbound.core.identity.person import Claimed
from taskbound.core.identity.person_key import (
    Custody,
    Namespace,
    PersonKey,
    PersonKeyKind,
    PersonKeyState,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.adapters.store.sql.rows import Link


_SPACE, _NAME = given("namespace"), given("name")
_PERSON: Final = Statement(select(persons).where(persons.c.namespace == _SPACE, persons.c.name == _NAME))
PERSONS: Final = Statement(select(persons).where(persons.c.namespace == _SPACE).order_by(persons.c.name))
GROUPS: Final = Statement(
    select(person_groups).where(person_groups.c.namespace == _SPACE).order_by(person_groups.c.name)
)
_PERSON_KEY: Final = Statement(
    select(person_keys).where(person_keys.c.namespace == _SPACE, person_keys.c.id == _NAME)
)
PERSON_KEYS: Final = Statement(
    select(person_keys).where(person_keys.c.namespace == _SPACE).order_by(person_keys.c.id)
)
ISSUERS: Final = Statement(select(issuers).where(issuers.c.namespace == _SPACE).order_by(issuers.c.name))
_DROP_ISSUER: Final = Statement(delete(issuers).where(issuers.c.namespace == _SPACE, issuers.c.name == _NAME))
_NAMESPACE: Final = Statement(select(namespaces).where(namespaces.c.namespace == _SPACE))
_AGENT: Final = Statement(select(agents).where(agents.c.namespace == _SPACE, agents.c.name == _NAME))
_AGENTS: Final = Statement(select(agents).where(agents.c.namespace == _SPACE).order_by(agents.c.name))
_PUT_PERSON: Final = Versioned(persons, "person")
_PUT_GROUP: Final = Versioned(person_groups, "group")
_PUT_PERSON_KEY: Final = Versioned(person_keys, "key")
_PUT_ISSUER: Final = Versioned(issuers, "issuer")
_PUT_NAMESPACE: Final = Versioned(namespaces, "namespace")
_PUT_AGENT: Final = Versioned(agents, "agent")

_NAMESPACES: Final = "SELECT DISTINCT namespace FROM agents ORDER BY namespace"
_MONITORS: Final = (
    "SELECT monitor, MIN(namespace) FROM agents WHERE state = 'active' GROUP BY monitor ORDER BY monitor"
)
_VERSIONS: Final = (
    "SELECT name, version FROM agents WHERE namespace = ? AND name IN (SELECT value FROM json_each(?))"
)


class SqlIdentities:
    """Persons and agents."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        self._link = link

    def person(self, namespace: str, name: str) -> Person | None:
        """Returns the person with this name, or None."""
        return self._link.one(read_person, _PERSON.text, _PERSON.values(namespace=namespace, name=name))

    def persons(self, namespace: str) -> Mapping[str, Person]:
        """Returns every person, by name in order."""
        found = self._link.all(read_person, PERSONS.text, PERSONS.values(namespace=namespace))
        return {one.name: one for one in found}

    def groups(self, namespace: str) -> tuple[Group, ...]:
        """Returns every group, by name."""
        return self._link.all(read_group, GROUPS.text, GROUPS.values(namespace=namespace))

    def person_key(self, namespace: str, key: str) -> PersonKey | None:
        """Returns the key with this id, in whatever state, or None."""
        return self._link.one(
            read_person_key, _PERSON_KEY.text, _PERSON_KEY.values(namespace=namespace, name=key)
        )

    def person_keys(self, namespace: str) -> tuple[PersonKey, ...]:
        """Returns every key, in whatever state, by id."""
        return self._link.all(read_person_key, PERSON_KEYS.text, PERSON_KEYS.values(namespace=namespace))

    def namespace(self, name: str) -> Namespace:
        """Returns the namespace's attributes."""
        found = self._link.one(_namespace, _NAMESPACE.text, _NAMESPACE.values(namespace=name))
        return Namespace(name=name) if found is None else found

    def issuers(self, namespace: str) -> tuple[Issuer, ...]:
        """Returns every issuer of evidence, by name."""
        return self._link.all(read_issuer, ISSUERS.text, ISSUERS.values(namespace=namespace))

    def agent(self, namespace: str, name: str) -> Agent | None:
        """Returns the agent with this name, or None."""
        return self._link.one(_agent, _AGENT.text, _AGENT.values(namespace=namespace, name=name))

    def agents(self, namespace: str) -> tuple[Agent, ...]:
        """Returns every agent, by name."""
        return self._link.all(_agent, _AGENTS.text, _AGENTS.values(namespace=namespace))

    def namespaces(self) -> tuple[str, ...]:
        """Returns every namespace that has an agent, in order."""
        return self._link.all(str, _NAMESPACES)

    def monitors(self) -> Mapping[str, str]:
        """Returns each active agent's monitor with the first namespace that uses it."""
        return dict(self._link.all(_monitor, _MONITORS))

    def lock_agents(self, namespace: str, names: Collection[str]) -> Mapping[str, int]:
        """Returns the version of each agent that exists."""
        known = self._link.known

        def read(missing: Collection[str]) -> Mapping[str, int]:
            return dict(self._link.all(read_version, _VERSIONS, (namespace, json_texts(tuple(missing)))))

        return read(names) if known is None else look_up(known.agents, namespace, names, read)

    def lock_persons(self, namespace: str, names: Collection[str]) -> Mapping[str, Person]:
        """Returns, by name, those of these persons that exist."""
        found = {name: self.person(namespace, name) for name in names}
        return {name: one for name, one in found.items() if one is not None}

    def lock_grantors(self, namespace: str) -> tuple[Mapping[str, Person], tuple[Group, ...]]:
        """Returns every person and every group."""
        return self.persons(namespace), self.groups(namespace)

    def lock_person_keys(self, namespace: str) -> tuple[PersonKey, ...]:
        """Returns every key."""
        return self.person_keys(namespace)

    def lock_issuers(self, namespace: str) -> tuple[Issuer, ...]:
        """Returns every issuer of evidence."""
        return self.issuers(namespace)

    def put_issuer(self, issuer: Issuer, *, expect: int) -> None:
        """Writes the issuer."""
        _PUT_ISSUER.put(
            self._link,
            expect,
            namespace=issuer.namespace,
            name=issuer.name,
            issuer=issuer.issuer,
            audience=issuer.audience,
            keys=issuer.keys,
            thumbprints=json_texts(issuer.thumbprints),
            version=issuer.version,
        )

    def drop_issuer(self, namespace: str, name: str) -> None:
        """Deletes the issuer."""
        self._link.change(_DROP_ISSUER.text, _DROP_ISSUER.values(namespace=namespace, name=name))

    def put_person_key(self, key: PersonKey, *, expect: int) -> None:
        """Writes the key."""
        _PUT_PERSON_KEY.put(
            self._link,
            expect,
            namespace=key.namespace,
            id=key.id,
            person=key.person,
            kind=key.kind.value,
            public=key.public,
            fingerprint=key.fingerprint,
            enrolled=key.enrolled,
            usable_from=key.usable_from,
            enrolled_by=key.enrolled_by,
            state=key.state.value,
            custody=key.custody.value,
            nonce=key.nonce,
            label=key.label,
            counter=key.counter,
            version=key.version,
        )

    def put_namespace(self, namespace: Namespace, *, expect: int) -> None:
        """Writes the namespace's attributes."""
        _PUT_NAMESPACE.put(
            self._link,
            expect,
            namespace=namespace.name,
            demo=int(namespace.demo),
            keys=namespace.keys,
            version=namespace.version,
        )

    def put_person(self, person: Person, *, expect: int) -> None:
        """Writes the person."""
        _PUT_PERSON.put(
            self._link,
            expect,
            namespace=person.namespace,
            name=person.name,
            uid=person.uid,
            state=person.state.value,
            version=person.version,
            grantable=write_grantable(person.grantable),
            human=person.human,
        )

    def put_group(self, group: Group, *, expect: int) -> None:
        """Writes the group."""
        _PUT_GROUP.put(
            self._link,
            expect,
            namespace=group.namespace,
            name=group.name,
            members=json_texts(group.members),
            version=group.version,
            grantable=write_grantable(group.grantable),
            claimed=json.dumps([[one.person, one.issuer, one.until] for one in group.claimed]),
        )

    def put_agent(self, agent: Agent, *, expect: int) -> None:
        """Writes the agent."""
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
            risk=agent.risk.value,
            risk_by=agent.risk_by,
        )


def read_version(name: str, version: int) -> tuple[str, int]:
    """Builds name and version of an agent from its columns."""
    return name, version


def read_person(  # noqa: PLR0913, PLR0917  # the columns of a row, in order
    namespace: str, name: str, uid: int, state: str, version: int, grantable: bytes | None, human: str
) -> Person:
    """Builds a person from its columns."""
    return Person(
        namespace=namespace,
        name=name,
        uid=uid,
        state=PersonState(state),
        version=version,
        grantable=read_grantable(grantable),
        human=human,
    )


def read_person_key(  # noqa: PLR0913, PLR0917  # the columns of a row, in order
    namespace: str,
    key: str,
    person: str,
    kind: str,
    public: bytes,
    fingerprint: str,
    enrolled: int,
    usable_from: int,
    enrolled_by: str,
    state: str,
    custody: str,
    nonce: str,
    label: str,
    counter: int,
    version: int,
) -> PersonKey:
    """Builds a key from its columns."""
    return PersonKey(
        namespace=namespace,
        id=key,
        person=person,
        kind=PersonKeyKind(kind),
        public=public,
        fingerprint=fingerprint,
        enrolled=Instant(enrolled),
        usable_from=Instant(usable_from),
        enrolled_by=enrolled_by,
        state=PersonKeyState(state),
        custody=Custody(custody),
        nonce=nonce,
        label=label,
        counter=counter,
        version=version,
    )


def read_issuer(  # noqa: PLR0913, PLR0917  # the columns of a row, in order
    namespace: str, name: str, issuer: str, audience: str, keys: bytes, thumbprints: str, version: int
) -> Issuer:
    """Builds an issuer of evidence from its columns."""
    return Issuer(
        namespace=namespace,
        name=name,
        issuer=issuer,
        audience=audience,
        keys=bytes(keys),
        thumbprints=read_texts(thumbprints),
        version=version,
    )


def _namespace(namespace: str, demo: int, keys: int, version: int) -> Namespace:
    return Namespace(name=namespace, demo=bool(demo), keys=keys, version=version)


def read_group(
    namespace: str, name: str, members: str, version: int, grantable: bytes | None, claimed: str
) -> Group:
    """Builds a group from its columns."""
    return Group(
        namespace=namespace,
        name=name,
        members=read_texts(members),
        version=version,
        grantable=read_grantable(grantable),
        claimed=tuple(
            Claimed(person=person, issuer=issuer, until=Instant(until))
            for person, issuer, until in json.loads(claimed)
        ),
    )


def _monitor(address: str, namespace: str) -> tuple[str, str]:
    return address, namespace


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
    risk: str,
    risk_by: str,
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
        risk=Risk(risk),
        risk_by=risk_by,
    )
