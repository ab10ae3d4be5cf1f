"""What happens when people are asked to widen a task, answer, and what becomes of it.

That a task was given the scope is a `task-amended`, which names the amendment.
"""

from __future__ import annotations

from typing import ClassVar

from taskbound.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendmentAsked:
    """People are asked to widen a task; with the row that it names the digest can be computed again."""

    kind: ClassVar[str] = "amendment-asked"
    amendment: str
    digest: str
    """What people sign."""
    task: str
    agent: str
    requester: str
    before: str
    """Digest of the scope that the task has."""
    edition: int
    """How often it was given one until then."""
    step: int
    after: str
    """Digest of the scope that it is to have."""
    bundle: str
    lifters: tuple[str, ...]
    deadline: int
    reason: str
    by: str
    """Who asks."""
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendmentShown:
    """An amendment was shown to a person for the first time."""

    kind: ClassVar[str] = "amendment-shown"
    amendment: str
    task: str
    person: str
    length: int
    """Characters of what was asked."""
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendmentAnswered:
    """A person answered, and their signature was verified."""

    kind: ClassVar[str] = "amendment-answered"
    amendment: str
    digest: str
    task: str
    answer: str
    """`approve` or `deny`."""
    person: str
    key: str
    statement: str
    """SHA-256 of what was signed."""
    signature: str
    """SHA-256 of the signature."""
    proof: str
    taken: int = -1
    """µs from the first time that it was shown to them to their answer; -1 when it never was."""
    length: int = 0
    """Characters of what was asked."""
    hasty: bool = False
    """Whether it is a yes that came sooner than anybody can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendmentChanged:
    """An amendment is over: `applied`, or ended without it."""

    kind: ClassVar[str] = "amendment-changed"
    amendment: str
    task: str
    before: str
    after: str
    reason: str
    by: str
    proof: str
