"""What is recorded of people: their keys, who is which human, who answers for what, what is a demo."""

from __future__ import annotations

from typing import ClassVar

from taskbound.core.dataclass import dataclass


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
class PersonActed:
    """A person was allowed an act that the command line itself carries out."""

    kind: ClassVar[str] = "person-acted"
    operation: str
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolApproversChanged:
    """Other persons approve for a tool than until now."""

    kind: ClassVar[str] = "tool-approvers-changed"
    tool: str
    approvers: tuple[str, ...]
    by: str
    proof: str
    own: bool = True
    """Whether the tool has approvers of its own; if not, those who approve for the agent do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOwnerChanged:
    """Somebody else answers for a tool, or nobody does any more."""

    kind: ClassVar[str] = "tool-owner-changed"
    tool: str
    before: str
    """The owner until now; empty when nobody was."""
    owner: str
    """Empty when whoever was has left."""
    by: str
    proof: str
