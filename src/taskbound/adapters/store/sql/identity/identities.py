"""Persons, groups, agents, person keys and evidence issuers in SQL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select

from taskbound.adapters.store.sql.record import BYTES, FLAG, GRANTABLE, SCOPE, TEXTS, Form, Record, enum
from taskbound.adapters.store.sql.rows import (
    SHARED,
    Statement,
    TableGroup,
    given,
    json_texts,
    look_up,
)
from taskbound.adapters.store.sql.schema import (
    agents,
    issuers,
    namespaces,
    person_keys,
    persons,
)
from taskbound.adapters.store.sql.schema.identity import person_groups
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

_NAMESPACES: Final = "SELECT DISTINCT namespace FROM agents ORDER BY namespace"
_MONITORS: Final = (
    "SELECT monitor, MIN(namespace) FROM agents WHERE state = 'active' GROUP BY monitor ORDER BY monitor"
)
_VERSIONS: Final = (
    "SELECT name, version FROM agents WHERE namespace = ? AND name IN (SELECT value FROM json_each(?))"
)


PERSON_ROW: Final = Record(persons, Person, "person", state=enum(PersonState), grantable=GRANTABLE)
GROUP_ROW: Final = Record(
    person_groups,
    Group,
    "group",
    members=TEXTS,
    grantable=GRANTABLE,
    claimed=Form(
        lambda column: tuple(
            Claimed(person=person, issuer=issuer, until=Instant(until))
            for person, issuer, until in json.loads(column)
        ),
        lambda claimed: json.dumps([[one.person, one.issuer, one.until] for one in claimed]),
    ),
)
PERSON_KEY_ROW: Final = Record(
    person_keys,
    PersonKey,
    "key",
    kind=enum(PersonKeyKind),
    state=enum(PersonKeyState),
    custody=enum(Custody),
)
ISSUER_ROW: Final = Record(issuers, Issuer, "issuer", keys=BYTES, thumbprints=TEXTS)
_NAMESPACE_ROW: Final = Record(namespaces, Namespace, "namespace", namespace=Form(field="name"), demo=FLAG)
_AGENT_ROW: Final = Record(
    agents, Agent, "agent", state=enum(AgentState), approvers=TEXTS, ceiling=SCOPE, risk=enum(Risk)
)


class SqlIdentities(TableGroup):
    """Persons and agents."""

    __slots__ = ()

    def person(self, namespace: str, name: str) -> Person | None:
        return self._link.one(PERSON_ROW.read, _PERSON.text, _PERSON.values(namespace=namespace, name=name))

    def persons(self, namespace: str) -> Mapping[str, Person]:
        """Returns every person, by name in order."""
        found = self._link.all(PERSON_ROW.read, PERSONS.text, PERSONS.values(namespace=namespace))
        return {one.name: one for one in found}

    def groups(self, namespace: str) -> tuple[Group, ...]:
        return self._link.all(GROUP_ROW.read, GROUPS.text, GROUPS.values(namespace=namespace))

    def person_key(self, namespace: str, key: str) -> PersonKey | None:
        return self._link.one(
            PERSON_KEY_ROW.read, _PERSON_KEY.text, _PERSON_KEY.values(namespace=namespace, name=key)
        )

    def person_keys(self, namespace: str) -> tuple[PersonKey, ...]:
        return self._link.all(PERSON_KEY_ROW.read, PERSON_KEYS.text, PERSON_KEYS.values(namespace=namespace))

    def namespace(self, name: str) -> Namespace:
        found = self._link.one(_NAMESPACE_ROW.read, _NAMESPACE.text, _NAMESPACE.values(namespace=name))
        return Namespace(name=name) if found is None else found

    def issuers(self, namespace: str) -> tuple[Issuer, ...]:
        return self._link.all(ISSUER_ROW.read, ISSUERS.text, ISSUERS.values(namespace=namespace))

    def agent(self, namespace: str, name: str) -> Agent | None:
        return self._link.one(_AGENT_ROW.read, _AGENT.text, _AGENT.values(namespace=namespace, name=name))

    def agents(self, namespace: str) -> tuple[Agent, ...]:
        return self._link.all(_AGENT_ROW.read, _AGENTS.text, _AGENTS.values(namespace=namespace))

    def namespaces(self) -> tuple[str, ...]:
        """Returns every namespace that has an agent, in order."""
        return self._link.all(str, _NAMESPACES)

    def monitors(self) -> Mapping[str, str]:
        return dict(self._link.all(_monitor, _MONITORS))

    def lock_agents(self, namespace: str, names: Collection[str]) -> Mapping[str, int]:
        known = self._link.known

        def read(missing: Collection[str]) -> Mapping[str, int]:
            return dict(self._link.all(read_version, _VERSIONS, (namespace, json_texts(tuple(missing)))))

        return read(names) if known is None else look_up(known.agents, namespace, names, read)

    def lock_persons(self, namespace: str, names: Collection[str]) -> Mapping[str, Person]:
        found = {name: self.person(namespace, name) for name in names}
        return {name: one for name, one in found.items() if one is not None}

    def lock_grantors(self, namespace: str) -> tuple[Mapping[str, Person], tuple[Group, ...]]:
        """Returns every person and every group, share-locked in name order."""
        values = PERSONS.values(namespace=namespace)
        persons = self._link.locked(PERSON_ROW.read, PERSONS.text, values, SHARED)
        groups = self._link.locked(GROUP_ROW.read, GROUPS.text, values, SHARED)
        return {one.name: one for one in persons}, groups

    def lock_person_keys(self, namespace: str) -> tuple[PersonKey, ...]:
        """Returns every key, share-locked in id order."""
        values = PERSON_KEYS.values(namespace=namespace)
        return self._link.locked(PERSON_KEY_ROW.read, PERSON_KEYS.text, values, SHARED)

    def lock_issuers(self, namespace: str) -> tuple[Issuer, ...]:
        """Returns every issuer of evidence, share-locked in name order."""
        values = ISSUERS.values(namespace=namespace)
        return self._link.locked(ISSUER_ROW.read, ISSUERS.text, values, SHARED)

    def put_issuer(self, issuer: Issuer, *, expect: int) -> None:
        ISSUER_ROW.put(self._link, issuer, expect)

    def drop_issuer(self, namespace: str, name: str) -> None:
        self._link.change(_DROP_ISSUER.text, _DROP_ISSUER.values(namespace=namespace, name=name))

    def put_person_key(self, key: PersonKey, *, expect: int) -> None:
        PERSON_KEY_ROW.put(self._link, key, expect)

    def put_namespace(self, namespace: Namespace, *, expect: int) -> None:
        _NAMESPACE_ROW.put(self._link, namespace, expect)

    def put_person(self, person: Person, *, expect: int) -> None:
        PERSON_ROW.put(self._link, person, expect)

    def put_group(self, group: Group, *, expect: int) -> None:
        GROUP_ROW.put(self._link, group, expect)

    def put_agent(self, agent: Agent, *, expect: int) -> None:
        _AGENT_ROW.put(self._link, agent, expect)


def read_version(name: str, version: int) -> tuple[str, int]:
    return name, version


def _monitor(address: str, namespace: str) -> tuple[str, str]:
    return address, namespace
