"""Static secrets: what lies in a file for whoever can read it, and ends by nobody's word.

A finding never holds a secret, a part of one, or a digest: it says where, what it is, and for what. What a
value is worth is judged in `worth`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from taskbound.core.clock import Instant

__all__ = [
    "Hit",
    "Reader",
    "SecretKind",
    "StaticSecret",
    "Unseen",
    "Weight",
    "Workstation",
    "Worth",
    "oldest_first",
]


class SecretKind(Enum):
    """What a secret opens, which is what is to be done about it."""

    CLIENT = "client"
    """What an MCP server is started or reached with."""
    POSTGRES = "postgres"
    MYSQL = "mysql"
    REDIS = "redis"
    SSH = "ssh"
    VAULT = "vault"
    CLOUD = "cloud"
    CLUSTER = "cluster"
    FORGE = "forge"
    """A host of repositories."""
    REGISTRY = "registry"
    """A registry of packages or images."""
    MINTED = "minted"
    """Of a task: it was minted, and ends by itself."""
    OTHER = "other"


class Worth(Enum):
    """What a value is (`worth`)."""

    SECRET = "secret"  # noqa: S105 - a word, and no secret
    PLACEHOLDER = "placeholder"
    """It looks as if somebody were to fill it in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One secret in a text."""

    what: str
    """What it is, and for what, as far as the file says: `PostgreSQL password for db:5432/orders app`."""
    kind: SecretKind
    line: int = 0
    """From 1; 0 where its place is told by a member alone."""
    member: str = ""
    """The variable, or the way to it in a document: `mcpServers.git.env.TOKEN`."""
    worth: Worth = Worth.SECRET


Reader: TypeAlias = Callable[[str], Iterable[Hit]]
"""Finds what is in a text of one format; it may raise `ValueError` or an error of ours for one that is none,
of which no word is passed on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticSecret:
    """A secret in a file."""

    path: str
    through: str
    """What the path leads to where it is a link; else empty."""
    hit: Hit
    since: Instant
    """When the file was changed last: the secret is as old at least as nobody changed it."""
    mode: int
    """Permission bits."""
    readers: str
    """Who can read it, in words."""
    owner: str
    """The account that has the file: whom to ask."""


class Weight(Enum):
    """How much it matters that something was not looked at."""

    FILE = "file"
    """A file that may hold secrets, and that the account can read or nobody here can tell."""
    BOUND = "bound"
    """What lies beyond the bounds of a look: deeper folders, links, other file systems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """What was not looked at."""

    path: str
    why: str
    weight: Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Workstation:
    """What was found of one account's files."""

    account: str
    folder: str
    looked: Instant
    """When."""
    found: tuple[StaticSecret, ...]
    unseen: tuple[Unseen, ...]
    more: int
    """How many more were not looked at than are named."""
    files: int
    """How many files were read."""
    whole: bool
    """Whether the look came to its end, and was not ended by its bounds of number and time."""


def oldest_first(found: Iterable[StaticSecret]) -> tuple[StaticSecret, ...]:
    """All of them, the oldest first, and what is to be filled in last."""
    return tuple(
        sorted(
            found,
            key=lambda one: (
                one.hit.worth is Worth.PLACEHOLDER,
                one.since,
                one.path,
                one.hit.line,
                one.hit.member,
            ),
        )
    )
