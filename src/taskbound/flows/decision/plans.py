"""Plans: several calls are evaluated and held together, and written as one plan.

While a plan is open, its task has no other open question, so no call can run in between. The sum of all steps
must fit the limits; a hold takes nothing. Only the task's requester, the agent's owner or the task's run may
propose.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical
from taskbound.core.approval import (
    ApprovalState,
    NotEntitledError,
    Plan,
    PlanOpenError,
    PlanRefusedError,
    require_length,
    require_one_answer,
    require_showable,
    step_words,
)
from taskbound.core.approval.sheet import plan_sheet_of, sheet_of
from taskbound.core.audit.events import PlanAsked, PlanRefused
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Hold, Holding, Planned, Refuse, Settled, Stale, require_payable, settle
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.task import NoTaskError
from taskbound.flows.approval.circle import lock_people
from taskbound.flows.approval.look import NeedsProbe
from taskbound.flows.decision.evaluate import Call, Evaluator
from taskbound.flows.decision.settlement import Pending, lock_group, settle_group
from taskbound.flows.decision.usable import ContendedError
from taskbound.ports.approval import StoredPlan
from taskbound.ports.store import ConflictError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.action import JsonValue
    from taskbound.core.approval import Lookup
    from taskbound.core.audit import Event
    from taskbound.core.decision import Locked, Proposal
    from taskbound.core.task import Task
    from taskbound.flows.approval.look import OperandFindings
    from taskbound.flows.decision.context import Views
    from taskbound.flows.means import Actor, Adapters
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposer:
    """The proposer of a plan."""

    actor: Actor
    connection: str
    beneath: bool
    """Whether it runs beneath the run of the plan's own task."""


def write_plan(
    tx: Transaction,
    adapters: Adapters,
    views: Views,
    task: Task,
    pending: Sequence[Pending],
    by: Proposer,
) -> Plan:
    """Holds calls of one task and writes their plan; after ContendedError the caller evaluates again."""
    space, proposals = task.namespace, [one.proposal for one in pending]
    tx.tasks.task(space, task.id)  # first: PostgreSQL's transaction is alone by that
    locked = lock_group(tx, space, proposals, adapters.policy, views.doubts)
    if tx.approvals.lock_plans(space, {task.id}):
        raise PlanOpenError(f"task `{task.id}` has an open plan")
    if tx.approvals.count_open(space, task.id):
        raise PlanOpenError(f"task `{task.id}` has open questions")
    now = adapters.clock.now()
    _require_held(proposals, locked, now)
    settlement = settle_group(tx, adapters, views, space, pending)
    for number, answer in enumerate(settlement.answers, 1):
        match answer:
            case Settled(decision=Hold()):
                continue
            case Settled(decision=Refuse() as refused):
                raise _refused(refused, step_words(number, pending[number - 1].call.tool))
            case _:
                raise ContendedError("what this depends on has changed")
    require_payable(proposals, locked.left, now)
    found = [tx.approvals.approval_of(space, one.id) for one in proposals]
    steps = [one for one in found if one is not None]
    plan = _plan(tx, adapters, task, steps, by)
    sheets = [
        sheet_of(one.question, proposal.action, policies=proposal.verdict.hold.policies)
        for one, proposal in zip(steps, proposals, strict=True)
        if isinstance(proposal.verdict, Holding)
    ]
    require_showable(plan_sheet_of(plan, sheets))
    return plan


def _plan(
    tx: Transaction, adapters: Adapters, task: Task, steps: Sequence[StoredApproval], by: Proposer
) -> Plan:
    space, questions = task.namespace, [one.question for one in steps]
    people = lock_people(tx, space, adapters.clock.now())
    _, circles = people.circles(tx, space, {(task.id, one.tool) for one in questions})
    require_one_answer(questions, [circles[task.id, one.tool] for one in questions])
    plan = Plan(
        namespace=space,
        id=questions[0].plan,
        task=task.id,
        requester=task.requester,
        questions=tuple(one.digest for one in questions),
        nonce=adapters.chance.name("non"),
        asked=questions[0].asked,
        deadline=Instant(min(one.deadline for one in questions)),
    )
    stored = StoredPlan(plan=plan, agent=task.agent, state=ApprovalState.PENDING)
    tx.approvals.insert_plan(stored)
    event = PlanAsked(
        plan=plan.id,
        digest=plan.digest,
        task=task.id,
        agent=task.agent,
        requester=task.requester,
        approvals=tuple(one.id for one in questions),
        questions=plan.questions,
        nonce=plan.nonce,
        asked=plan.asked,
        deadline=plan.deadline,
        connection=by.connection,
        by=by.actor.name,
        proof=by.actor.proof,
    )
    tx.audit.append(space, adapters.writer, [event], adapters.clock.now())
    return plan


def _require_held(proposals: Sequence[Proposal], locked: Locked, now: Instant) -> None:
    settlement = settle(proposals, locked, now=now, until=now)  # nothing is written by this
    for number, (one, answer) in enumerate(zip(proposals, settlement.answers, strict=True), 1):
        match answer:
            case Stale():
                raise ContendedError("what this depends on has changed")
            case Settled(decision=Refuse() as refused) if not isinstance(one.verdict, Holding):
                raise _refused(refused, step_words(number, one.action.tool))
            case _ if not isinstance(one.verdict, Holding):
                raise PlanRefusedError(
                    "it needs no approval, so nobody is asked",
                    remedy="leave it out: it runs as any call does, before, between or behind the steps",
                    where=step_words(number, one.action.tool),
                )
            case _:
                continue


def _refused(refused: Refuse, where: str) -> PlanRefusedError:
    reasons = "; ".join(dict.fromkeys(one.text for one in refused.reasons))
    return PlanRefusedError(f"it is refused ({refused.code}): {reasons}", remedy=refused.instead, where=where)


_ROUNDS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A call of a plan, as it must be made later."""

    tool: str
    arguments: bytes
    """Canonical."""


class Planning:
    """Asks people about plans; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters, views: Views) -> None:
        self._adapters = adapters
        self._views = views
        self._evaluator = Evaluator(views, adapters.policy, adapters.operands, adapters.tokens)

    def ask(
        self,
        namespace: str,
        task: str,
        steps: Sequence[Step],
        by: Proposer,
        sight: OperandFindings | None = None,
    ) -> Plan | NeedsProbe:
        """Asks about these calls in this order; returns the plan, or what must be looked at first."""
        found = self._task(namespace, task, by)
        try:
            require_length(len(steps))
            for _ in range(_ROUNDS):
                pending = self._evaluate(found, steps, by, sight)
                if isinstance(pending, NeedsProbe):
                    return pending
                try:
                    return self._adapters.store.write(partial(self._write, found, pending, by))
                except (ContendedError, ConflictError):  # another plan was asked, or what it read has changed
                    for one in pending:
                        self._views.read_again(one.proposal)
            raise ContendedError("what this depends on kept changing")
        except (DeniedError, MalformedError) as error:
            self._refuse(found, steps, by, error)
            raise

    def _task(self, namespace: str, name: str, by: Proposer) -> Task:
        with self._adapters.store.read() as snapshot:
            task = snapshot.tasks.task(namespace, name)
            agent = None if task is None else snapshot.identities.agent(namespace, task.agent)
        if task is None:
            raise NoTaskError(f"no task is named `{name}`", remedy="list them with `taskbound task list`")
        if not by.beneath and by.actor.name not in {task.requester, "" if agent is None else agent.owner}:
            raise NotEntitledError(
                f"`{by.actor.name}` neither asked for the task nor owns the agent",
                remedy="have one of them propose it, or the agent beneath `taskbound run`",
            )
        return task

    def _evaluate(
        self, task: Task, steps: Sequence[Step], by: Proposer, sight: OperandFindings | None
    ) -> list[Pending] | NeedsProbe:
        plan = self._adapters.chance.name("pln")
        now = self._adapters.clock.now()
        pending: list[Pending] = []
        unseen: dict[Lookup, None] = {}
        for number, step in enumerate(steps, 1):
            where = step_words(number, step.tool)
            call = Call(
                namespace=task.namespace,
                agent=task.agent,
                task=task.id,
                unbound=None,
                connection=by.connection,
                request=f"{plan} step {number}",
                key="",
                tool=step.tool,
                arguments=step.arguments,
                proof=by.actor.proof,
                sight=sight,
                read=(),
                recipient=None,
            )
            try:
                proposal = self._evaluator.evaluate(call, self._adapters.chance.name("act"), now)
            except (DeniedError, MalformedError) as error:
                why = f"it is refused ({error.code}): {error.message}"
                raise PlanRefusedError(why, remedy=error.advice, where=where) from error
            if isinstance(proposal, NeedsProbe):
                unseen |= dict.fromkeys(proposal.looks)
                continue
            planned = replace(proposal, planned=Planned(plan=plan, step=number))
            pending.append(Pending(call=call, place=number - 1, proposal=planned))
        return NeedsProbe(looks=tuple(unseen)) if unseen else pending

    def _write(self, task: Task, pending: Sequence[Pending], by: Proposer, tx: Transaction) -> Plan:
        return write_plan(tx, self._adapters, self._views, task, pending, by)

    def _refuse(
        self, task: Task, steps: Sequence[Step], by: Proposer, error: DeniedError | MalformedError
    ) -> None:
        named: list[JsonValue] = [[one.tool, sha256(one.arguments).hexdigest()] for one in steps]
        event: Event = PlanRefused(
            task=task.id,
            agent=task.agent,
            code=error.code,
            step=error.where,
            steps=len(steps),
            digest=sha256(canonical(named)).hexdigest(),
            connection=by.connection,
            by=by.actor.name,
            proof=by.actor.proof,
        )
        adapters = self._adapters
        adapters.store.write(
            lambda tx: tx.audit.append(task.namespace, adapters.writer, [event], adapters.clock.now())
        )
