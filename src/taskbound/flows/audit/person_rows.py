"""Comparing persons with the log: account, state, what they may grant, and who is the same human.

Their keys are compared by `key_rows`. A human's name is a number of no meaning: who shares it is compared.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import GrantableChanged, IdentityChanged, IdentityRegistered, PersonsLinked
from taskbound.core.dataclass import dataclass
from taskbound.core.identity import PersonState
from taskbound.core.identity.person import Breadth, human_of
from taskbound.flows.identity.person import grantable_word

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.core.audit import Record
    from taskbound.core.identity import Person
    from taskbound.ports.store import Snapshot


_STATES: Final = frozenset(one.value for one in PersonState)


@dataclass(slots=True)
class _Told:
    """What the records say of one person."""

    account: str
    grantable: str
    state: str = PersonState.PRESENT.value
    one_human: frozenset[str] = frozenset()
    """Everybody who is the same human, themselves included; empty for nobody else."""


@dataclass(slots=True)
class PersonLedger:
    """What the log says of persons."""

    snapshot: Snapshot
    told: dict[tuple[str, str], _Told] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Follow one record."""
        space = record.namespace
        match record.event:
            case IdentityRegistered(form="person") as event:
                grantable = event.grantable or Breadth.NOTHING.value
                self.told[space, event.identity] = _Told(account=event.account, grantable=grantable)
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
        """Where the rows differ, in words."""
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


def _compare(row: Person, told: _Told, rows: Mapping[str, Person]) -> Iterator[str]:
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
