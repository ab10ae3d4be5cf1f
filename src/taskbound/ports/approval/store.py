"""Questions about held actions, their answers, and what became of them, in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.approval import Answer, ApprovalState
    from taskbound.core.approval.fatigue import ApprovalLimits, Display
    from taskbound.core.clock import Instant
    from taskbound.ports.approval.values import (
        ApprovalChange,
        PlanChange,
        StoredApproval,
        StoredPlan,
        Waiter,
    )


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
