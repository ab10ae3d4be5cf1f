"""Compares persons, their keys, agents and services with the log.

- Of a human's number only who shares it is compared. Not compared, as no record holds them: the last code
  sent to a monitor and the time of its return.
- An inserted service or key has no record; it could read the feed and ask about agents' tasks. A removed key
  never counts again, so its row must be gone.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import (
    AgentCeilingChanged,
    GrantableChanged,
    IdentityChanged,
    IdentityRegistered,
    MonitorAcknowledged,
    NamespaceChanged,
    PersonKeyChanged,
    PersonsLinked,
)
from taskbound.core.audit.events import AgentPeopleChanged, AgentRiskChanged
from taskbound.core.audit.events.people import ServiceAdded, ServiceChanged, ServiceKeyChanged, ServiceRemoved
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.identity import AgentState, PersonState
from taskbound.core.identity.agent import Risk
from taskbound.core.identity.person import Breadth, human_of
from taskbound.core.identity.person_key import PersonKeyKind, PersonKeyState
from taskbound.flows.identity.person import grantable_word
from taskbound.wire.jose import parse_jwk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.core.audit import Record
    from taskbound.core.identity import Agent, Person
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.core.identity.service import Service, ServiceKey
    from taskbound.ports.store import Snapshot


_STATES: Final = frozenset(one.value for one in PersonState)


@dataclass(slots=True)
class _Recorded:
    account: str
    grantable: str
    state: str = PersonState.PRESENT.value
    one_human: frozenset[str] = frozenset()
    """All persons who are the same human, this one included; empty if there is no other."""


@dataclass(slots=True)
class PersonLedger:
    """Persons as the log leaves them."""

    snapshot: Snapshot
    told: dict[tuple[str, str], _Recorded] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        space = record.namespace
        match record.event:
            case IdentityRegistered(form="person") as event:
                grantable = event.grantable or Breadth.NOTHING.value
                self.told[space, event.identity] = _Recorded(account=event.account, grantable=grantable)
            case IdentityChanged(identity=name, after=after) if after in _STATES:
                if (space, name) in self.told:
                    self.told[space, name].state = after
            case GrantableChanged(form="person", identity=name, after=after) if (space, name) in self.told:
                self.told[space, name].grantable = after
            case PersonsLinked(persons=persons, linked=linked):
                self._link(space, frozenset(persons), linked=linked)
            case _:
                pass

    def _link(self, space: str, persons: frozenset[str], *, linked: bool) -> None:
        for (where, name), one in self.told.items():
            if where == space and name in persons:
                one.one_human = persons if linked else frozenset()
            elif where == space:
                one.one_human -= persons

    def differences(self) -> Iterator[str]:
        spaces = {space for space, _ in self.told} | set(self.snapshot.identities.namespaces())
        for space in sorted(spaces):
            rows = self.snapshot.identities.persons(space)
            told = {name: one for (where, name), one in self.told.items() if where == space}
            for name in sorted(rows.keys() | told.keys()):
                if name not in rows:
                    yield f"person {name} was registered, and is not there"
                elif name not in told:
                    yield f"person {name} is there, and no record registered them"
                else:
                    yield from _compare(rows[name], told[name], rows)


def _compare(row: Person, told: _Recorded, rows: Mapping[str, Person]) -> Iterator[str]:
    human = human_of(row.name, rows)
    for what, here, there in (
        ("account", f"peer-uid:{row.uid}", told.account),
        ("state", row.state.value, told.state),
        ("right to grant", grantable_word(row.grantable), told.grantable),
        (
            "link to others",
            {name for name in rows if human_of(name, rows) == human} - {row.name},
            set(told.one_human - {row.name}),
        ),
    ):
        if here != there:
            yield f"person {row.name} has another {what} than their records leave them with"


@dataclass(slots=True)
class KeyLedger:
    """Keys and namespaces as the log leaves them."""

    snapshot: Snapshot
    keys: dict[tuple[str, str], PersonKeyChanged] = field(default_factory=dict)
    demos: dict[str, bool] = field(default_factory=dict)
    enrolled: dict[str, int] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        space = record.namespace
        self.enrolled.setdefault(space, 0)
        match record.event:
            case PersonKeyChanged() as event:
                self.keys[space, event.key] = event
                self.enrolled[space] += event.after == PersonKeyState.ENROLLED.value
            case NamespaceChanged() as event:
                self.demos[space] = event.demo
            case _:
                pass

    def differences(self) -> Iterator[str]:
        for space in sorted({*self.enrolled, *self.snapshot.identities.namespaces()}):
            said = self.snapshot.identities.namespace(space)
            if said.keys != self.enrolled.get(space, 0):
                yield f"namespace {space} counts {said.keys} keys, and its records enroll another number"
            if said.demo is not self.demos.get(space, False):
                yield f"namespace {space} is {'a' if said.demo else 'no'} demo, and its records say otherwise"
            rows = {one.id: one for one in self.snapshot.identities.person_keys(space)}
            told = {key: event for (where, key), event in self.keys.items() if where == space}
            for key in sorted(rows.keys() | told.keys()):
                yield from _key_rows_compare(key, rows.get(key), told.get(key))


def _key_rows_compare(key: str, row: PersonKey | None, event: PersonKeyChanged | None) -> Iterator[str]:
    if row is None:
        yield f"key {key} was recorded, and is not there"
    elif event is None:
        yield f"key {key} of `{row.person}` is there, and no record proposed it"
    else:
        here = (
            row.person,
            row.state.value,
            row.fingerprint,
            row.kind.value,
            row.custody.value,
            row.usable_from,
        )
        there = (event.person, event.after, event.fingerprint, event.form, event.custody, event.usable_from)
        if here != there:
            yield f"key {key} of `{row.person}` is not as its records leave it"
        digest = b64encode(sha256(row.public).digest()).decode().rstrip("=")
        if row.kind is PersonKeyKind.OPENSSH and f"SHA256:{digest}" != row.fingerprint:
            yield f"key {key} of `{row.person}` has not the fingerprint of its public half"


_AGENT_ROWS_STATES: Final = frozenset(one.value for one in AgentState)
"""Disjoint from persons' states, so a person's record is not taken for an agent's of the same name."""


@dataclass(slots=True)
class _RecordedAgent:
    owner: str
    approvers: tuple[str, ...]
    monitor: str
    ceiling: str
    state: str = AgentState.REGISTERED.value
    risk: str = Risk.LOW.value
    risk_by: str = ""
    acknowledged: bool = False


@dataclass(slots=True)
class AgentLedger:
    """Agents as the log leaves them."""

    snapshot: Snapshot
    told: dict[tuple[str, str], _RecordedAgent] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        space = record.namespace
        match record.event:
            case IdentityRegistered(form="agent") as event:
                self.told[space, event.identity] = _RecordedAgent(
                    owner=event.owner,
                    approvers=event.approvers,
                    monitor=event.monitor,
                    ceiling=event.ceiling,
                )
            case (
                IdentityChanged()
                | AgentPeopleChanged()
                | AgentCeilingChanged()
                | AgentRiskChanged()
                | MonitorAcknowledged()
            ) as event if (space, event.identity) in self.told:
                _follow(self.told[space, event.identity], event)
            case _:
                pass

    def differences(self) -> Iterator[str]:
        spaces = {space for space, _ in self.told} | set(self.snapshot.identities.namespaces())
        for space in sorted(spaces):
            rows = {one.name: one for one in self.snapshot.identities.agents(space)}
            told = {name: one for (where, name), one in self.told.items() if where == space}
            for name in sorted(rows.keys() | told.keys()):
                if name not in rows:
                    yield f"agent {name} was registered, and is not there"
                elif name not in told:
                    yield f"agent {name} is there, and no record registered it"
                else:
                    yield from _agent_rows_compare(rows[name], told[name])


def _follow(
    told: _RecordedAgent,
    event: IdentityChanged
    | AgentPeopleChanged
    | AgentCeilingChanged
    | AgentRiskChanged
    | MonitorAcknowledged,
) -> None:
    match event:
        case IdentityChanged() if event.after in _AGENT_ROWS_STATES:
            told.state = event.after
            if event.after == AgentState.SUSPENDED.value:
                told.acknowledged = False
        case AgentPeopleChanged():
            told.owner, told.approvers = event.owner, event.approvers
        case AgentCeilingChanged():
            told.ceiling = event.after
        case AgentRiskChanged():
            told.risk, told.risk_by = event.after, event.by
        case MonitorAcknowledged():
            told.acknowledged = True
        case _:
            pass  # a person of this name came or went


def _agent_rows_compare(row: Agent, told: _RecordedAgent) -> Iterator[str]:
    acknowledged = row.acknowledged is not None
    for what, here, there in (
        ("owner", row.owner, told.owner),
        ("approvers", row.approvers, told.approvers),
        ("monitor", row.monitor, told.monitor),
        ("ceiling", row.ceiling.digest, told.ceiling),
        ("risk", row.risk.value, told.risk),
        ("word for its risk", row.risk_by, told.risk_by),
        ("acknowledgement of its monitor", acknowledged, told.acknowledged),
    ):
        if here != there:
            yield f"agent {row.name} has another {what} than its records leave it with"
    if row.state.value != told.state:
        yield f"agent {row.name} is `{row.state.value}`, and its records say `{told.state}`"


@dataclass(frozen=True, slots=True, kw_only=True)
class _RecordedService:
    owner: str
    audience: str
    tools: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    service: str
    removed: bool


@dataclass(slots=True)
class ServiceLedger:
    """Services as the log leaves them."""

    snapshot: Snapshot
    services: dict[tuple[str, str], _RecordedService] = field(default_factory=dict)
    keys: dict[tuple[str, str], _Key] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        space = record.namespace
        match record.event:
            case ServiceAdded() as event:
                self.services[space, event.service] = _RecordedService(
                    owner=event.owner, audience=event.audience, tools=event.tools
                )
            case ServiceChanged() as event if (space, event.service) in self.services:
                audience = self.services[space, event.service].audience
                self.services[space, event.service] = _RecordedService(
                    owner=event.owner, audience=audience, tools=event.tools
                )
            case ServiceKeyChanged() as event:
                self.keys[space, event.key] = _Key(service=event.service, removed=event.removed)
            case ServiceRemoved() as event:
                self.services.pop((space, event.service), None)
                for kid in event.keys:
                    self.keys[space, kid] = _Key(service=event.service, removed=True)
            case _:
                pass

    def differences(self) -> Iterator[str]:
        told = {space for space, _ in (*self.services, *self.keys)}
        for space in sorted({*told, *self.snapshot.identities.namespaces()}):
            rows = {one.name: one for one in self.snapshot.services.services(space)}
            said = {name for where, name in self.services if where == space}
            for name in sorted(rows.keys() | said):
                yield from _service_rows_compare(name, rows.get(name), self.services.get((space, name)))
            keys = {one.kid: one for one in self.snapshot.services.service_keys(space)}
            for kid in sorted(keys.keys() | {kid for where, kid in self.keys if where == space}):
                yield from _compare_key(kid, keys.get(kid), self.keys.get((space, kid)))


def _service_rows_compare(name: str, row: Service | None, told: _RecordedService | None) -> Iterator[str]:
    if row is None:
        yield f"service {name} was added, and is not there"
    elif told is None:
        yield f"service {name} is there, and no record added it"
    else:
        for what, here, there in (
            ("owner", row.owner, told.owner),
            ("audience", row.audience, told.audience),
            ("list of what it enforces", row.tools, told.tools),
        ):
            if here != there:
                yield f"service {name} has another {what} than its records leave it with"


def _compare_key(kid: str, row: ServiceKey | None, told: _Key | None) -> Iterator[str]:
    if row is None:
        yield f"key {kid} of a service was recorded, and is not there"
        return
    if told is None:
        yield f"key {kid} of service {row.service} is there, and no record added it"
    elif (row.service, row.removed is not None) != (told.service, told.removed):
        yield f"key {kid} of service {row.service} is not as its records leave it"
    if not _is_named(row):
        yield f"key {kid} of service {row.service} is not the key of its public half"


def _is_named(row: ServiceKey) -> bool:
    try:
        return parse_jwk(json.loads(row.public)).thumbprint == row.kid
    except (MalformedError, ValueError):
        return False
