"""Persons, the groups that they are in, and what proves them.

1. A local account read from a socket (`peer-uid`) is recorded, shown and called
   unproven: every program of that account can claim it.
2. What a person may grant is said of them or of a group that they are in; where nothing is said
   they may grant nothing.
3. Persons who are linked are one human, who counts once.
4. Who is a member by an issuer's word stands beside those whom people made members, and takes nobody's place:
   either is whole without the other.
5. Where persons and groups are named side by side a group stands as `group:NAME`, which is no person's name.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.identity.errors import BadNameError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.scope import Scope


OF_GROUP: Final = "group:"
"""What a group's name begins with beside persons' names (rule 5)."""
_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_NAME_LIMIT: Final = 64


class PersonState(Enum):
    """A person is of the organisation, or was."""

    PRESENT = "present"
    GONE = "gone"


class Breadth(Enum):
    """What somebody may grant, where no scope says it."""

    NOTHING = "nothing"
    CEILING = "ceiling"
    """Anything that the agent's ceiling permits."""


Grantable: TypeAlias = "Scope | Breadth"
"""What somebody may grant: a scope, within which a task must be, or one of two words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerProof:
    """What the kernel says of the other end of a socket: an account and a process, no more (rule 1)."""

    uid: int
    pid: int
    started: int
    """The process's start time in clock ticks since boot; with the pid it names one process."""

    @property
    def words(self) -> str:
        """How records and screens call it."""
        return f"peer-uid:{self.uid} (unproven)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A human of the organisation, known by a local account until there is better."""

    namespace: str
    name: str
    uid: int
    state: PersonState = PersonState.PRESENT
    version: int = 1
    grantable: Grantable = Breadth.NOTHING
    """What they may grant by themselves; their groups may add to it (rule 2)."""
    human: str = ""
    """The same for all persons that are one human (rule 3); empty where nobody is linked."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Claimed:
    """Somebody is a member by an issuer's word (rule 4)."""

    person: str
    issuer: str
    """The issuer's short name."""
    until: Instant
    """When they are it no more, unless they have signed in again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Persons who may grant the same."""

    namespace: str
    name: str
    members: tuple[str, ...]
    """Names of persons whom a person made members, in order."""
    grantable: Grantable = Breadth.NOTHING
    version: int = 1
    claimed: tuple[Claimed, ...] = ()
    """Who is one by an issuer's word, in order (rule 4)."""

    def at(self, now: Instant) -> Group:
        """The group with those alone whose time as members is not over, whoever still has to end it."""
        kept = tuple(one for one in self.claimed if now < one.until)
        return self if kept == self.claimed else replace(self, claimed=kept)

    @property
    def everyone(self) -> tuple[str, ...]:
        """Names of all who are members, by whatever, in order."""
        return tuple(sorted({*self.members, *(one.person for one in self.claimed)}))


def group_named(text: str) -> str:
    """The name of the group that a text names; empty where it names none (rule 5)."""
    return text.removeprefix(OF_GROUP) if text.startswith(OF_GROUP) else ""


def human_of(name: str, persons: Mapping[str, Person]) -> str:
    """Who this person is as a human; the same for all who are linked, and for nobody else (rule 3)."""
    person = persons.get(name)
    return f"human {person.human}" if person is not None and person.human else f"person {name}"


def humans(names: Iterable[str], persons: Mapping[str, Person]) -> frozenset[str]:
    """The humans behind these persons, each once (rule 3)."""
    return frozenset(human_of(name, persons) for name in names)


def parse_name(text: str, *, what: str) -> str:
    """A name that can stand in keys, records and on screens.

    Raises:
        BadNameError: Empty, too long, or with a character outside a-z, 0-9 and `-`.
    """
    if not 1 <= len(text) <= _NAME_LIMIT or not _LETTERS.issuperset(text) or text[0] == "-":
        raise BadNameError(f"`{text[:_NAME_LIMIT]}` can't be the name of {what}", where=what)
    return text
