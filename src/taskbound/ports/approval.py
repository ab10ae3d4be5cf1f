"""Stored approvals, and probes of operands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.approval import Answer, ApprovalState, Lookup, Operand, Plan, Question
    from taskbound.core.approval.fatigue import ApprovalLimits, Display
    from taskbound.core.errors import DeniedError


class Operands(Protocol):
    """Probes operands itself, without relying on any other's claim."""

    def look(self, looks: Sequence[Lookup]) -> tuple[Operand, ...]:
        """Returns the current state behind each look, in order.

        MUST raise `OperandOutsideError` for anything outside the declared folder by any path, and
        `OperandUnreadableError` if it is not readable whole. MUST be bounded in time and bytes and change
        nothing.
        """


class RemoteOperands(Protocol):
    """Probes operands behind another process, blocking, without relying on any other's claim."""

    def see(self, looks: Sequence[Lookup]) -> tuple[Operand | DeniedError, ...]:
        """Returns the state behind each look, or its error, in order.

        MUST answer each, with `OperandOutsideError` or `OperandUnreadableError` on failure; MUST end within
        seconds, be bounded in bytes, and change nothing.
        """


class ApprovalReads(Protocol):
    """Reads approvals, per namespace."""

    def approval(self, namespace: str, approval: str) -> StoredApproval | None:
        pass

    def approval_of(self, namespace: str, action: str) -> StoredApproval | None:
        pass

    def narrowed_to(self, namespace: str, digest: str) -> StoredApproval | None:
        """Returns the narrower approval that answered the question with this digest."""

    def approvals(
        self,
        namespace: str,
        *,
        states: Collection[ApprovalState] = (),
        task: str = "",
        limit: int = 50,
        before: str = "",
    ) -> tuple[StoredApproval, ...]:
        """Returns approvals, newest first; empty filters match all; `before` is the last id so far."""

    def open_approvals(self) -> tuple[StoredApproval, ...]:
        """Returns open approvals of all namespaces, oldest first, without answers. MUST use an index."""

    def plan(self, namespace: str, plan: str) -> StoredPlan | None:
        pass

    def open_plans(self) -> tuple[StoredPlan, ...]:
        """Returns open plans of all namespaces, oldest first. MUST use an index."""

    def steps_of(self, namespace: str, plans: Collection[str]) -> tuple[StoredApproval, ...]:
        """Returns the step approvals of these plans, by plan and step."""

    def displays(self, namespace: str, approvals: Collection[str]) -> Mapping[str, tuple[Display, ...]]:
        """Returns the displays of these approvals, in order; absent if never shown."""

    def limits(self, namespace: str) -> ApprovalLimits:
        """Returns the limits of asking, defaults if never set."""


class ApprovalWrites(ApprovalReads, Protocol):
    """Writes approvals; locks last until the end of the transaction."""

    def lock_holds(
        self, namespace: str, acts: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], tuple[StoredApproval, ...]]:
        """Locks by (task, action digest) the open, denied or narrowed ones, oldest first."""

    def lock_approval(self, namespace: str, approval: str) -> StoredApproval | None:
        """Locks and returns the approval."""

    def lock_narrowed(self, namespace: str, digest: str) -> StoredApproval | None:
        """As `narrowed_to`, locked."""

    def lock_last_used(self, namespace: str, task: str, act: str) -> StoredApproval | None:
        """Locks the last asked of the task's used approvals for this action digest."""

    def lock_open(self, namespace: str, tasks: Collection[str]) -> tuple[StoredApproval, ...]:
        """Locks all open ones of these tasks, by id."""

    def lock_plan(self, namespace: str, plan: str) -> StoredPlan | None:
        """Locks the plan. MUST be called before its steps' approvals are locked."""

    def lock_plans(self, namespace: str, tasks: Collection[str]) -> tuple[StoredPlan, ...]:
        """Locks these tasks' open plans, by id, before their steps' approvals."""

    def lock_steps(self, namespace: str, plans: Collection[str]) -> tuple[StoredApproval, ...]:
        """As `steps_of`, locked."""

    def insert_plan(self, plan: StoredPlan) -> None:
        """Inserts a plan; MUST raise `ConflictError` if the id exists or the task has an open one."""

    def move_plan(self, namespace: str, change: PlanChange) -> None:
        """MUST raise `ConflictError` if state or number of used steps is not as before."""

    def count_open(self, namespace: str, task: str) -> int:
        pass

    def count_asked(self, namespace: str, agent: str, since: Instant) -> int:
        pass

    def insert_approvals(self, approvals: Sequence[StoredApproval]) -> None:
        """MUST raise `ConflictError` for an existing id, a second narrowing, or a repeated retry."""

    def move_approvals(self, namespace: str, changes: Sequence[ApprovalChange]) -> None:
        """MUST be one conditional statement each and raise `ConflictError` if one is not `before`."""

    def put_waiter(self, namespace: str, approval: str, waiter: Waiter) -> None:
        """Sets the waiter. MUST raise `ConflictError` if the approval is not open."""

    def put_answer(self, namespace: str, approval: str, answer: Answer) -> None:
        """Adds an answer. MUST raise `ConflictError` if the person gave one of this kind."""

    def put_display(self, namespace: str, approval: str, display: Display) -> None:
        """Stores a first display to a person; ignores repetitions."""

    def put_limits(self, limits: ApprovalLimits) -> None:
        pass


_OPEN: Final = Instant(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """The presentation that waits for the answer, and until when."""

    connection: str
    request: str
    until: Instant
    """0 when it does not wait: the connection's holder asked, and went on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredApproval:
    """A stored question with its answers."""

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
    """The plan that its question is a step of, as it was asked; None without plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalChange:
    """A state change of one approval."""

    id: str
    before: ApprovalState
    after: ApprovalState
    finished: Instant
    """0 when it goes on."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlan:
    """A stored plan; its steps are approvals that name it."""

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
    """A state change of a plan: answered, step used, or ended."""

    id: str
    before: tuple[ApprovalState, int]
    """Its state, and how many of its steps were used."""
    after: tuple[ApprovalState, int]
    finished: Instant
    """0 when it goes on."""
    reason: str
