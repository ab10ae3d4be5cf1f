"""Persons, their groups, and how they are authenticated.

A local account read from a socket (`peer-uid`) is recorded and shown as unproven, because every program of
that account can claim it. Grantables are set for persons and groups; without one a person may grant
nothing. Linked persons are one human and are counted once. Claimed and manual memberships are independent
of each other. In mixed lists a group is written `group:NAME`, which is not a valid person name.
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
"""What a group's name begins with beside persons' names."""
_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_NAME_LIMIT: Final = 64


class PersonState(Enum):
    """State of a person: in the organization or departed."""

    PRESENT = "present"
    GONE = "gone"


class Breadth(Enum):
    """What a person or group may grant, if not a scope."""

    NOTHING = "nothing"
    CEILING = "ceiling"
    """Anything that the agent's ceiling permits."""


Grantable: TypeAlias = "Scope | Breadth"
"""What a person or group may grant: a scope that must cover the task, or one of two words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerProof:
    """The kernel's account and process of a socket peer, which prove no more than that."""

    uid: int
    pid: int
    started: int
    """The process's start time in clock ticks since boot; with the pid it names one process."""

    @property
    def words(self) -> str:
        return f"peer-uid:{self.uid} (unproven)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person of the organization, identified by a local account or stronger means."""

    namespace: str
    name: str
    uid: int
    state: PersonState = PersonState.PRESENT
    version: int = 1
    grantable: Grantable = Breadth.NOTHING
    """What they may grant by themselves; their groups may add to it."""
    human: str = ""
    """Equal for all linked persons; empty if unlinked."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Claimed:
    """A membership asserted by an issuer."""

    person: str
    issuer: str
    """The issuer's short name."""
    until: Instant
    """When they are it no more, unless they have signed in again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Persons with a common grantable."""

    namespace: str
    name: str
    members: tuple[str, ...]
    """Names of persons whom a person made members, in order."""
    grantable: Grantable = Breadth.NOTHING
    version: int = 1
    claimed: tuple[Claimed, ...] = ()
    """Who is one by an issuer's word, in order."""

    def at(self, now: Instant) -> Group:
        """The group without members whose claimed membership has expired."""
        kept = tuple(one for one in self.claimed if now < one.until)
        return self if kept == self.claimed else replace(self, claimed=kept)

    @property
    def everyone(self) -> tuple[str, ...]:
        return tuple(sorted({*self.members, *(one.person for one in self.claimed)}))


def group_named(text: str) -> str:
    """The group in a `group:NAME` text; empty for any other text."""
    return text.removeprefix(OF_GROUP) if text.startswith(OF_GROUP) else ""


def human_of(name: str, persons: Mapping[str, Person]) -> str:
    person = persons.get(name)
    return f"human {person.human}" if person is not None and person.human else f"person {name}"


def humans(names: Iterable[str], persons: Mapping[str, Person]) -> frozenset[str]:
    return frozenset(human_of(name, persons) for name in names)


def parse_name(text: str, *, what: str) -> str:
    if not 1 <= len(text) <= _NAME_LIMIT or not _LETTERS.issuperset(text) or text[0] == "-":
        raise BadNameError(f"`{text[:_NAME_LIMIT]}` can't be the name of {what}", where=what)
    return text
