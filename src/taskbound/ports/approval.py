"""Ports of approvals: the store's rows, and reading operands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.approval import Answer, ApprovalState, Look, Operand, Plan, Question
    from taskbound.core.approval.fatigue import ApprovalLimits, Display
    from taskbound.core.errors import DeniedError


class Operands(Protocol):
    """Looks at what the arguments of a call name, itself, and believes nobody's word about it."""

    def look(self, looks: Sequence[Look]) -> tuple[Operand, ...]:
        """What is behind each of these now, in order.

        MUST raise `OperandOutsideError` for what is not beneath the declared folder, by any way, and
        `OperandUnreadableError` for what it can't look at whole; then nobody is asked, and nothing runs.
        MUST end within bounds of time and bytes, whatever is there, and MUST change nothing.
        """


class FarOperands(Protocol):
    """Looks at what is behind another process, and waits for it; believes nobody's word about it."""

    def see(self, looks: Sequence[Look]) -> tuple[Operand | DeniedError, ...]:
        """What is behind each of these now, in order, or why it can't be said.

        MUST answer for each: with `OperandOutsideError` or `OperandUnreadableError` where it can't be looked
        at.
        MUST end within a few seconds and bounds of bytes, whatever is there, and MUST change nothing.
        """


class ApprovalReads(Protocol):
    """Reads approvals of one namespace at a time."""

    def approval(self, namespace: str, approval: str) -> StoredApproval | None:
        """The approval of this id."""

    def approval_of(self, namespace: str, action: str) -> StoredApproval | None:
        """The approval that was asked for this action."""

    def narrowed_to(self, namespace: str, digest: str) -> StoredApproval | None:
        """The approval of the action that the question of this approval digest was answered with."""

    def approvals(
        self,
        namespace: str,
        *,
        states: Collection[ApprovalState] = (),
        task: str = "",
        limit: int = 50,
        before: str = "",
    ) -> tuple[StoredApproval, ...]:
        """Approvals, newest first; empty filters take all; `before` is the last id of the page before."""

    def open_approvals(self) -> tuple[StoredApproval, ...]:
        """All that are open, of every namespace, oldest first, without answers; answered by an index."""

    def plan(self, namespace: str, plan: str) -> StoredPlan | None:
        """The plan of this id."""

    def open_plans(self) -> tuple[StoredPlan, ...]:
        """All that are open, of every namespace, oldest first; answered by an index."""

    def steps_of(self, namespace: str, plans: Collection[str]) -> tuple[StoredApproval, ...]:
        """The approvals of the steps of these plans, by plan and step."""

    def displays(self, namespace: str, approvals: Collection[str]) -> Mapping[str, tuple[Display, ...]]:
        """By approval, of these: to whom it was shown, in that order; absent where it was to nobody."""

    def limits(self, namespace: str) -> ApprovalLimits:
        """How much people may be asked; what holds where nobody has said anything."""


class ApprovalWrites(ApprovalReads, Protocol):
    """Writes them; what is locked does not change until the end of the transaction."""

    def lock_holds(
        self, namespace: str, acts: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], tuple[StoredApproval, ...]]:
        """By (task, action digest): those that are open, denied or narrowed, locked, oldest first."""

    def lock_approval(self, namespace: str, approval: str) -> StoredApproval | None:
        """The approval of this id, locked."""

    def lock_narrowed(self, namespace: str, digest: str) -> StoredApproval | None:
        """What `narrowed_to` reads, locked."""

    def lock_last_used(self, namespace: str, task: str, act: str) -> StoredApproval | None:
        """Of those that were used for this action digest of the task the one asked last, locked."""

    def lock_open(self, namespace: str, tasks: Collection[str]) -> tuple[StoredApproval, ...]:
        """All open ones of these tasks, locked, by id."""

    def lock_plan(self, namespace: str, plan: str) -> StoredPlan | None:
        """The plan of this id, locked. MUST be asked before any approval of its steps is locked."""

    def lock_plans(self, namespace: str, tasks: Collection[str]) -> tuple[StoredPlan, ...]:
        """The open ones of these tasks, locked, by id; asked before any approval of their steps is locked."""

    def lock_steps(self, namespace: str, plans: Collection[str]) -> tuple[StoredApproval, ...]:
        """What `steps_of` reads, locked."""

    def insert_plan(self, plan: StoredPlan) -> None:
        """Write a new one.

        MUST raise `ConflictError` when its id exists, and when its task has another open one.
        """

    def move_plan(self, namespace: str, change: PlanChange) -> None:
        """Write a step, in one conditional statement.

        MUST raise `ConflictError` when it is not in its `before` state, or another number of steps was used.
        """

    def count_open(self, namespace: str, task: str) -> int:
        """How many of the task are open."""

    def count_asked(self, namespace: str, agent: str, since: Instant) -> int:
        """How many of this agent's tasks were asked at that instant or later."""

    def insert_approvals(self, approvals: Sequence[StoredApproval]) -> None:
        """Write new ones, without answers.

        One whose id exists MUST raise `ConflictError`, and so MUST a second one that narrows a question,
        and a second one that is the same retry of a question.
        """

    def move_approvals(self, namespace: str, changes: Sequence[ApprovalChange]) -> None:
        """Write steps, each in one conditional statement.

        MUST raise `ConflictError` when an approval is not in its `before` state: it was used, or is over.
        """

    def put_waiter(self, namespace: str, approval: str, waiter: Waiter) -> None:
        """Write who waits. MUST raise `ConflictError` when it is not open."""

    def put_answer(self, namespace: str, approval: str, answer: Answer) -> None:
        """Add an answer. MUST raise `ConflictError` when this person has given one of this kind."""

    def put_display(self, namespace: str, approval: str, display: Display) -> None:
        """Keep to whom it was shown; nothing happens when it was shown to this person before."""

    def put_limits(self, limits: ApprovalLimits) -> None:
        """Write how much people may be asked, instead of what was written before."""


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
