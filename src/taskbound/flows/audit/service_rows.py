"""Comparing services with the log: who answers for one, what it enforces, and which keys prove it.

1. A service, or a key of one, that was written into the database has no record: whoever wrote it would be
   told what ends, and could ask for the tasks of agents that came to it.
2. A key that was removed never counts again, so what its records leave removed is removed in its row.
3. A row's public half is the key of its id, or another key would prove the service.
"""

from __future__ import annotations

import json
from dataclasses import field
from typing import TYPE_CHECKING

from taskbound.core.audit.events.service import (
    ServiceAdded,
    ServiceChanged,
    ServiceKeyChanged,
    ServiceRemoved,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.wire.jose import parse_jwk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.audit import Record
    from taskbound.core.identity.service import Service, ServiceKey
    from taskbound.ports.store import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What the records say of one service."""

    owner: str
    audience: str
    tools: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """What they say of one key."""

    service: str
    removed: bool


@dataclass(slots=True)
class ServiceLedger:
    """What the log says of services."""

    snapshot: Snapshot
    services: dict[tuple[str, str], _Told] = field(default_factory=dict)
    keys: dict[tuple[str, str], _Key] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Follow one record."""
        space = record.namespace
        match record.event:
            case ServiceAdded() as event:
                self.services[space, event.service] = _Told(
                    owner=event.owner, audience=event.audience, tools=event.tools
                )
            case ServiceChanged() as event if (space, event.service) in self.services:
                audience = self.services[space, event.service].audience
                self.services[space, event.service] = _Told(
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
        """Where the rows differ, in words."""
        told = {space for space, _ in (*self.services, *self.keys)}
        for space in sorted({*told, *self.snapshot.identities.namespaces()}):
            rows = {one.name: one for one in self.snapshot.services.services(space)}
            said = {name for where, name in self.services if where == space}
            for name in sorted(rows.keys() | said):
                yield from _compare(name, rows.get(name), self.services.get((space, name)))
            keys = {one.kid: one for one in self.snapshot.services.service_keys(space)}
            for kid in sorted(keys.keys() | {kid for where, kid in self.keys if where == space}):
                yield from _compare_key(kid, keys.get(kid), self.keys.get((space, kid)))


def _compare(name: str, row: Service | None, told: _Told | None) -> Iterator[str]:
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
        yield f"key {kid} of service {row.service} is not the key of its public half"  # 3


def _is_named(row: ServiceKey) -> bool:
    try:
        return parse_jwk(json.loads(row.public)).thumbprint == row.kid
    except (MalformedError, ValueError):
        return False
