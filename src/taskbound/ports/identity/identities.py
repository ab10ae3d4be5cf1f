"""Persons, their keys, groups and agents in the store, and whoever can tell what a key has signed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.identity import Agent, Group, Person
    from taskbound.core.identity.issuer import Issuer
    from taskbound.core.identity.person_key import Namespace, PersonKey, PersonKeyKind


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicHalf:
    """What the public half of a key says of itself."""

    public: bytes
    fingerprint: str
    hardware: bool
    """Whether it is of a kind whose private half is in a device that asks for a touch."""
    copiable: bool = False
    """Whether it says that whoever keeps it copies it to other devices: a passkey may."""
    label: str = ""


class Signatures(Protocol):
    """Tells what keys have signed. The port is there for security: core and flows carry no cryptography."""

    def read(self, kind: PersonKeyKind, public: bytes) -> PublicHalf:
        """The public half of a key that is to be enrolled.

        MUST raise `BadPersonKeyError` for one that can't be read in one way only, that is weak, or with which
        nobody signs here, and may raise `BadSignatureError` for one that was made for another page; any
        other error is taken as that.
        """

    def verify(self, key: PersonKey, statement: bytes, signature: bytes) -> None:
        """Return when the signature is by this key over exactly this statement.

        MUST raise `BadSignatureError` otherwise, whatever the signature's bytes are, and where a person has
        to be present at the device also when none was. What it does not say: whether the key counts now.
        """

    def counter(self, key: PersonKey, signature: bytes) -> int:
        """How many signatures the device says it has made, of one that verifies; 0 where it doesn't count."""


class IdentityReads(Protocol):
    """Reads persons, groups and agents of one namespace at a time."""

    def person(self, namespace: str, name: str) -> Person | None:
        """The person of this name."""

    def persons(self, namespace: str) -> Mapping[str, Person]:
        """Every person, by name in order."""

    def groups(self, namespace: str) -> tuple[Group, ...]:
        """Every group, by name."""

    def person_key(self, namespace: str, key: str) -> PersonKey | None:
        """The key of this id, in whatever state."""

    def person_keys(self, namespace: str) -> tuple[PersonKey, ...]:
        """Every key, in whatever state, by id."""

    def namespace(self, name: str) -> Namespace:
        """What is said of a namespace; of one that nothing was said of, what goes without saying."""

    def issuers(self, namespace: str) -> tuple[Issuer, ...]:
        """Every issuer of evidence, by name."""

    def agent(self, namespace: str, name: str) -> Agent | None:
        """The agent of this name."""

    def agents(self, namespace: str) -> tuple[Agent, ...]:
        """Every agent, by name."""

    def namespaces(self) -> tuple[str, ...]:
        """Every namespace that has an agent, in order."""

    def monitors(self) -> Mapping[str, str]:
        """By address of each active agent's monitor: the first namespace that has such an agent."""


class IdentityWrites(IdentityReads, Protocol):
    """Writes them; `expect` is the version that the row must have, 0 for a row that must not exist."""

    def lock_agents(self, namespace: str, names: Collection[str]) -> Mapping[str, int]:
        """The version of each agent that exists, locked against change until the end of the transaction."""

    def lock_persons(self, namespace: str, names: Collection[str]) -> Mapping[str, Person]:
        """By name: those of these who are known; MUST stay so until the end."""

    def lock_grantors(self, namespace: str) -> tuple[Mapping[str, Person], tuple[Group, ...]]:
        """Every person and group, locked against change until the end of the transaction."""

    def lock_person_keys(self, namespace: str) -> tuple[PersonKey, ...]:
        """Every key, by id, locked against change until the end of the transaction."""

    def lock_issuers(self, namespace: str) -> tuple[Issuer, ...]:
        """As `issuers`, locked against change until the end of the transaction."""

    def put_issuer(self, issuer: Issuer, *, expect: int) -> None:
        """Write the issuer.

        MUST raise `ConflictError` when the version is not `expect`, or another of the namespace has its
        `issuer`.
        """

    def drop_issuer(self, namespace: str, name: str) -> None:
        """Forget the issuer; nothing happens when there is none."""

    def put_person_key(self, key: PersonKey, *, expect: int) -> None:
        """Write the key. MUST raise `ConflictError` when the version is not `expect`."""

    def put_namespace(self, namespace: Namespace, *, expect: int) -> None:
        """Write what is said of a namespace. MUST raise `ConflictError` when the version is not `expect`."""

    def put_person(self, person: Person, *, expect: int) -> None:
        """Write the person. MUST raise `ConflictError` when the version is not `expect`."""

    def put_group(self, group: Group, *, expect: int) -> None:
        """Write the group. MUST raise `ConflictError` when the version is not `expect`."""

    def put_agent(self, agent: Agent, *, expect: int) -> None:
        """Write the agent. MUST raise `ConflictError` when the version is not `expect`."""
