"""Comparing the keys of people with the log: one that was written into the database has no record."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import field
from hashlib import sha256
from typing import TYPE_CHECKING

from taskbound.core.audit import NamespaceChanged, PersonKeyChanged
from taskbound.core.dataclass import dataclass
from taskbound.core.identity.person_key import PersonKeyKind, PersonKeyState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.audit import Record
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.ports.store import Snapshot


@dataclass(slots=True)
class KeyLedger:
    """What the log says of keys and of namespaces."""

    snapshot: Snapshot
    keys: dict[tuple[str, str], PersonKeyChanged] = field(default_factory=dict)
    demos: dict[str, bool] = field(default_factory=dict)
    enrolled: dict[str, int] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Follow one record."""
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
        """Where the rows differ, in words."""
        for space in sorted({*self.enrolled, *self.snapshot.identities.namespaces()}):
            said = self.snapshot.identities.namespace(space)
            if said.keys != self.enrolled.get(space, 0):
                yield f"namespace {space} counts {said.keys} keys, and its records enroll another number"
            if said.demo is not self.demos.get(space, False):
                yield f"namespace {space} is {'a' if said.demo else 'no'} demo, and its records say otherwise"
            rows = {one.id: one for one in self.snapshot.identities.person_keys(space)}
            told = {key: event for (where, key), event in self.keys.items() if where == space}
            for key in sorted(rows.keys() | told.keys()):
                yield from _compare(key, rows.get(key), told.get(key))


def _compare(key: str, row: PersonKey | None, event: PersonKeyChanged | None) -> Iterator[str]:
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
