"""What is recorded of people: their keys, who is which human, who answers for an agent, what is a demo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = ["AgentPeopleChanged", "NamespaceChanged", "PersonKeyChanged", "PersonsLinked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonKeyChanged:
    """A person's key was proposed, has proven itself, was enrolled, or was withdrawn."""

    kind: ClassVar[str] = "person-key-changed"
    key: str
    person: str
    before: str
    after: str
    fingerprint: str
    form: str
    """`openssh` or `passkey`."""
    custody: str
    """What was found out about its private half."""
    by: str
    proof: str
    voucher: str = ""
    """The key that vouched; empty when none did."""
    usable_from: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceChanged:
    """A namespace is for trying out from now on, or no more."""

    kind: ClassVar[str] = "namespace-changed"
    demo: bool
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonsLinked:
    """Persons are one human from now on, or no more."""

    kind: ClassVar[str] = "persons-linked"
    persons: tuple[str, ...]
    linked: bool
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPeopleChanged:
    """Other people answer for an agent."""

    kind: ClassVar[str] = "agent-people-changed"
    identity: str
    owner: str
    approvers: tuple[str, ...]
    by: str
    proof: str
