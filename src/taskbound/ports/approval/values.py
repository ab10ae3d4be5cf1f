"""What is kept of a question, of a plan of questions, and of the steps that they take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from taskbound.core.approval import Answer, ApprovalState, Plan, Question


_OPEN: Final = Instant(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """The one presentation that waits for the answer, and until when."""

    connection: str
    request: str
    until: Instant
    """0 when it does not wait: the connection's holder asked, and went on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredApproval:
    """One question with all that was said to it, as it is kept."""

    question: Question
    state: ApprovalState
    waiter: Waiter
    answers: tuple[Answer, ...] = ()
    """In the order in which they were received."""
    finished: Instant = _OPEN
    """When it ended; 0 while it is open."""
    reason: str = ""
    """Why it ended, in words."""
    plan: Plan | None = None
    """The plan that its question names as a step of it, as that was asked; None while there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalChange:
    """A step of one approval."""

    id: str
    before: ApprovalState
    after: ApprovalState
    finished: Instant
    """0 when it goes on."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlan:
    """A plan as it is kept; its steps are approvals, which name it."""

    plan: Plan
    agent: str
    state: ApprovalState
    """As its steps stand that are left; `consumed` once the last of them is."""
    used: int = 0
    """How many of its steps were used, from the first on."""
    finished: Instant = _OPEN
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChange:
    """A step that a plan takes: who answers, who uses a step of it, or who ends it."""

    id: str
    before: tuple[ApprovalState, int]
    """Its state, and how many of its steps were used."""
    after: tuple[ApprovalState, int]
    finished: Instant
    """0 when it goes on."""
    reason: str
