"""What happens to the bundles of policies: proposed, refused, put in force, taken back."""

from __future__ import annotations

from typing import ClassVar

from taskbound.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyProposed:
    """Somebody stands for a bundle: under a checkpoint, this record is their signed word for it."""

    kind: ClassVar[str] = "policy-proposed"
    bundle: str
    """Digest of all its files, those of the base included."""
    files: tuple[str, ...]
    note: str
    by: str
    """The author."""
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRefused:
    """A bundle was proposed or to be put in force, and can't be."""

    kind: ClassVar[str] = "policy-refused"
    bundle: str
    """Its digest; empty when it could not even be packed."""
    code: str
    problems: int
    reason: str
    """The first problem, in words."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyActivated:
    """A bundle was put in force."""

    kind: ClassVar[str] = "policy-activated"
    bundle: str
    before: str
    """Digest of what was in force until now; empty for the rules that come with Taskbound, alone."""
    epoch: int
    author: str
    by: str
    proof: str
    alone: bool = False
    """Whether the author did it themselves, being the only person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRolledBack:
    """What was in force before is again."""

    kind: ClassVar[str] = "policy-rolled-back"
    bundle: str
    """Empty for the rules that come with Taskbound, alone."""
    before: str
    epoch: int
    by: str
    proof: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRebased:
    """The bundle in force goes on with the rules that came with another version of Taskbound."""

    kind: ClassVar[str] = "policy-rebased"
    bundle: str
    before: str
    epoch: int
    author: str
    software: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRefused:
    """The rules in force refused an operation that would have changed something."""

    kind: ClassVar[str] = "operation-refused"
    operation: str
    about: str
    """What it was about: kind and name."""
    code: str
    policies: tuple[str, ...]
    bundle: str
    by: str
    """The principal: kind and name."""
    proof: str
