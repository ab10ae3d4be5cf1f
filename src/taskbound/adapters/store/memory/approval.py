"""Questions about held actions and their answers, in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.approval import OPEN, ApprovalState
from taskbound.core.approval.fatigue import ApprovalLimits

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.core.approval import Answer, Question
    from taskbound.core.approval.fatigue import Display
    from taskbound.core.clock import Instant
    from taskbound.ports.approval import ApprovalChange, PlanChange, StoredApproval, StoredPlan, Waiter

__all__ = ["MemoryApprovals"]

_HELD = OPEN | {ApprovalState.DENIED, ApprovalState.NARROWED}


class MemoryApprovals:
    """Reads approvals of a snapshot, and writes them in a transaction."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def approval(self, namespace: str, approval: str) -> StoredApproval | None:
        """The approval of this id."""
        return self._whole(self._tables.live().approvals.get((namespace, approval)))

    def approval_of(self, namespace: str, action: str) -> StoredApproval | None:
        """The approval that was asked for this action."""
        found = (one for one in self._of(namespace) if one.question.action == action)
        return next(found, None)

    def narrowed_to(self, namespace: str, digest: str) -> StoredApproval | None:
        """The approval of the action that this question was answered with."""
        found = (one for one in self._of(namespace) if digest and one.question.narrows == digest)
        return next(found, None)

    def approvals(
        self,
        namespace: str,
        *,
        states: Collection[ApprovalState] = (),
        task: str = "",
        limit: int = 50,
        before: str = "",
    ) -> tuple[StoredApproval, ...]:
        """Approvals, newest first."""
        found = sorted(self._of(namespace), key=_age, reverse=True)
        if before:
            ids = [one.question.id for one in found]
            found = found[ids.index(before) + 1 :] if before in ids else []
        wanted = [
            one
            for one in found
            if (not states or one.state in states) and (not task or one.question.task == task)
        ]
        return tuple(wanted[:limit])

    def open_approvals(self) -> tuple[StoredApproval, ...]:
        """All that are open, of every namespace, oldest first."""
        found = [one for one in self._tables.live().approvals.values() if one.state in OPEN]
        return tuple(replace(one, answers=(), plan=None) for one in sorted(found, key=_age))

    def lock_holds(
        self, namespace: str, acts: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], tuple[StoredApproval, ...]]:
        """By (task, action digest): those that are open, denied or narrowed, oldest first."""
        found: dict[tuple[str, str], list[StoredApproval]] = {}
        for one in sorted(self._of(namespace), key=_age):
            key = (one.question.task, one.question.act)
            if key in acts and one.state in _HELD:
                found.setdefault(key, []).append(one)
        return {key: tuple(some) for key, some in found.items()}

    def plan(self, namespace: str, plan: str) -> StoredPlan | None:
        """The plan of this id."""
        return self._tables.live().plans.get((namespace, plan))

    def open_plans(self) -> tuple[StoredPlan, ...]:
        """All that are open, of every namespace, oldest first."""
        found = [one for one in self._tables.live().plans.values() if one.state in OPEN]
        return tuple(sorted(found, key=lambda one: (one.plan.asked, one.plan.id)))

    def steps_of(self, namespace: str, plans: Collection[str]) -> tuple[StoredApproval, ...]:
        """The approvals of the steps of these plans, by plan and step."""
        found = [one for one in self._of(namespace) if one.question.plan and one.question.plan in plans]
        return tuple(sorted(found, key=lambda one: (one.question.plan, one.question.step)))

    def displays(self, namespace: str, approvals: Collection[str]) -> Mapping[str, tuple[Display, ...]]:
        """By approval: to whom it was shown."""
        found: dict[str, list[Display]] = {}
        for (space, approval, _), one in self._tables.live().displays.items():
            if space == namespace and approval in approvals:
                found.setdefault(approval, []).append(one)
        return {
            name: tuple(sorted(some, key=lambda one: (one.at, one.person))) for name, some in found.items()
        }

    def limits(self, namespace: str) -> ApprovalLimits:
        """How much people may be asked."""
        return self._tables.live().approval_limits.get(namespace) or ApprovalLimits(namespace=namespace)

    def lock_approval(self, namespace: str, approval: str) -> StoredApproval | None:
        """The approval of this id."""
        return self.approval(namespace, approval)

    def lock_narrowed(self, namespace: str, digest: str) -> StoredApproval | None:
        """What `narrowed_to` reads."""
        return self.narrowed_to(namespace, digest)

    def lock_last_used(self, namespace: str, task: str, act: str) -> StoredApproval | None:
        """Of those that were used for this action the one asked last."""
        used = (one for one in self._of(namespace) if one.state is ApprovalState.CONSUMED)
        of_act = (one for one in used if (one.question.task, one.question.act) == (task, act))
        return max(of_act, key=_age, default=None)

    def lock_open(self, namespace: str, tasks: Collection[str]) -> tuple[StoredApproval, ...]:
        """All open ones of these tasks, by id."""
        found = [one for one in self._of(namespace) if one.state in OPEN and one.question.task in tasks]
        return tuple(sorted(found, key=lambda one: one.question.id))

    def lock_plan(self, namespace: str, plan: str) -> StoredPlan | None:
        """The plan of this id."""
        return self.plan(namespace, plan)

    def lock_plans(self, namespace: str, tasks: Collection[str]) -> tuple[StoredPlan, ...]:
        """The open ones of these tasks, by id."""
        every = self._tables.live().plans.values()
        found = [one for one in every if one.state in OPEN and one.plan.namespace == namespace]
        return tuple(sorted((one for one in found if one.plan.task in tasks), key=lambda one: one.plan.id))

    def lock_steps(self, namespace: str, plans: Collection[str]) -> tuple[StoredApproval, ...]:
        """What `steps_of` reads."""
        return self.steps_of(namespace, plans)

    def insert_plan(self, plan: StoredPlan) -> None:
        """Write a new one, which its steps name already."""
        space = plan.plan.namespace
        if self.plan(space, plan.plan.id) is not None or self.lock_plans(space, {plan.plan.task}):
            self._tables.conflict(f"plan `{plan.plan.id}`")
        self._tables.plans.put((space, plan.plan.id), plan)

    def move_plan(self, namespace: str, change: PlanChange) -> None:
        """Write a step."""
        now = self.plan(namespace, change.id)
        if now is None or (now.state, now.used) != change.before:
            self._tables.conflict("the state of a plan")
        state, used = change.after
        after = replace(now, state=state, used=used, finished=change.finished, reason=change.reason)
        self._tables.plans.put((namespace, change.id), after)

    def count_open(self, namespace: str, task: str) -> int:
        """How many of the task are open."""
        return len(self.lock_open(namespace, {task}))

    def count_asked(self, namespace: str, agent: str, since: Instant) -> int:
        """How many of this agent's tasks were asked at that instant or later."""
        tasks = self._tables.live().tasks
        recent = [one.question.task for one in self._of(namespace) if one.question.asked >= since]
        found = (tasks.get((namespace, name)) for name in recent)
        return sum(one is not None and one.agent == agent for one in found)

    def insert_approvals(self, approvals: Sequence[StoredApproval]) -> None:
        """Write new ones."""
        for one in approvals:
            question = one.question
            known = self.approval(question.namespace, question.id)
            others = (
                self.approval_of(question.namespace, question.action),
                self.narrowed_to(question.namespace, question.narrows),
                self._retry(question),
            )
            if known is not None or any(one is not None for one in others):
                self._tables.conflict(f"approval `{question.id}`")
            self._put(replace(one, answers=()))

    def move_approvals(self, namespace: str, changes: Sequence[ApprovalChange]) -> None:
        """Write steps."""
        for one in changes:
            now = self.approval(namespace, one.id)
            if now is None or now.state is not one.before:
                self._tables.conflict("the state of an approval")
            self._put(replace(now, state=one.after, finished=one.finished, reason=one.reason))

    def put_waiter(self, namespace: str, approval: str, waiter: Waiter) -> None:
        """Write who waits."""
        now = self.approval(namespace, approval)
        if now is None or now.state not in OPEN:
            self._tables.conflict("the state of an approval")
        self._put(replace(now, waiter=waiter))

    def put_answer(self, namespace: str, approval: str, answer: Answer) -> None:
        """Add an answer."""
        now = self.approval(namespace, approval)
        given = () if now is None else now.answers
        if now is None or any((one.person, one.kind) == (answer.person, answer.kind) for one in given):
            self._tables.conflict("an answer to the question")
        self._put(replace(now, answers=tuple(sorted((*given, answer), key=_turn))))

    def put_display(self, namespace: str, approval: str, display: Display) -> None:
        """Keep to whom it was shown."""
        key = (namespace, approval, display.person)
        if self._tables.live().displays.get(key) is None:
            self._tables.displays.put(key, display)

    def put_limits(self, limits: ApprovalLimits) -> None:
        """Write how much people may be asked."""
        self._tables.live().approval_limits.put(limits.namespace, limits)

    def _of(self, namespace: str) -> list[StoredApproval]:
        every = self._tables.live().approvals.values()
        found = [self._whole(one) for one in every if one.question.namespace == namespace]
        return [one for one in found if one is not None]

    def _retry(self, question: Question) -> StoredApproval | None:
        """The one that is the same retry of the same question."""
        key = question.retried
        found = (one for one in self._of(question.namespace) if key and one.question.retried == key)
        return next(found, None)

    def _whole(self, one: StoredApproval | None) -> StoredApproval | None:
        """With the plan that its question names."""
        if one is None or not one.question.plan:
            return one
        found = self.plan(one.question.namespace, one.question.plan)
        return one if found is None else replace(one, plan=found.plan)

    def _put(self, one: StoredApproval) -> None:
        self._tables.approvals.put((one.question.namespace, one.question.id), one)


def _age(one: StoredApproval) -> tuple[int, str]:
    return one.question.asked, one.question.id


def _turn(one: Answer) -> tuple[int, str, str]:
    return one.received, one.person, one.kind.value
