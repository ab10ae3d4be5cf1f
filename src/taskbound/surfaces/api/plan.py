"""Operations on plans: propose, show, answer."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from taskbound.core.approval import OPEN, ApprovalState, UnknownApprovalError, askable, parse_statement
from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.core.policy.step_up import StepUpError
from taskbound.flows.approval.circle import see_people
from taskbound.flows.approval.fatigue.display import note_display_of_plan
from taskbound.flows.approval.plan.whole import see_whole
from taskbound.flows.approval.proof.signed_in import signed_in_by
from taskbound.flows.decision import Proposer, Step
from taskbound.flows.task import nearest_run
from taskbound.surfaces.api.approval import detail_of, stepped
from taskbound.surfaces.api.page.brought import require_brought
from taskbound.wire import approval as wire

if TYPE_CHECKING:
    from taskbound.core.approval import Plan
    from taskbound.flows.approval.look.looking import Sight, Unseen
    from taskbound.flows.approval.plan.whole import Whole
    from taskbound.flows.means import Means
    from taskbound.ports.store import Snapshot
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer


async def propose_plan(daemon: Daemon, connection: Connection, ask: wire.ProposePlan) -> Answer:
    """Ask people about some calls of a task together, for whoever is in charge of it or runs in it."""
    steps = [Step(tool=one.tool, arguments=one.arguments.encode()) for one in ask.steps]

    def work(sight: Sight | None) -> Plan | Unseen:
        by = _require_proposer(daemon, connection, ask.task)
        return daemon.planning.ask(connection.namespace, ask.task, steps, by, sight)

    plan = await daemon.looking.until_seen(
        (connection.namespace, ask.task), lambda sight: daemon.first(lambda: work(sight))
    )
    return wire.PlanProposed(plan=plan.id, digest=plan.digest, deadline=plan.deadline)


def _require_proposer(daemon: Daemon, connection: Connection, task: str) -> Proposer:
    """What runs beneath the run of this task, or a person outside.

    Raises:
        DeniedError: It is neither.
    """
    space = connection.namespace
    with daemon.means.store.read() as snapshot:
        nearest = nearest_run(snapshot, space, daemon.boot, connection.peer.ancestry)
    beneath = nearest is not None and (nearest.namespace, nearest.task) == (space, task)
    actor = daemon.identify(connection) if beneath else daemon.require_person(connection)
    if beneath:
        actor = replace(actor, proof=f"{actor.proof}, beneath the run of {task}")
    return Proposer(actor=actor, connection=connection.name, beneath=beneath)


async def show_plan(daemon: Daemon, connection: Connection, ask: wire.ShowPlan) -> Answer:
    """One plan in full; that a person looks at it is kept, before they do."""
    space = connection.namespace

    def look() -> None:
        try:
            actor = daemon.require_person(connection)
        except DeniedError:
            return  # the agent's own look, or that of an account without a person
        note_display_of_plan(daemon.means, space, ask.plan, actor)

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            stored = snapshot.approvals.plan(space, ask.plan)
            if stored is None:
                raise UnknownApprovalError(f"no plan is named `{ask.plan}`")
            return plan_of(daemon.means, snapshot, see_whole(snapshot, stored))

    with suppress(UnavailableError):  # what takes nothing more is still read, and counts as unseen
        await daemon.first(look)
    return await daemon.read(read)


async def answer_plan(daemon: Daemon, connection: Connection, ask: wire.AnswerPlan) -> Answer:
    """Take a signed answer to a plan, from outside of any gateway or run."""
    require_brought(ask.signature)

    def work() -> Answer:
        daemon.require_person(connection)
        raw, signature = ask.statement.encode(), ask.signature.encode()
        sign_in = signed_in_by(daemon.means, connection.principal, parse_statement(raw).person)
        said = daemon.plans.answer(connection.namespace, raw, signature, sign_in)
        daemon.tell_held_soon(said.told)
        return wire.PlanSaid(plan=said.plan, state=said.state.value, missing=said.missing, denied=said.denied)

    try:
        return await daemon.first(work)
    except StepUpError as error:
        who = await daemon.read(partial(daemon.authority.principal_of, connection))
        raise await stepped(daemon, who, "approval:answer-plan", ask.statement, error) from error


def plan_of(means: Means, snapshot: Snapshot, whole: Whole) -> wire.PlanDetail:
    """All that is shown of a plan, and that its sheet is made of."""
    stored = whole.stored
    people = see_people(snapshot, stored.plan.namespace, means.clock.now())
    task = snapshot.tasks.task(stored.plan.namespace, stored.plan.task)
    lacking, may, deny = "", frozenset[str](), frozenset[str]()
    if task is not None and stored.state in OPEN:
        now = means.clock.now()
        circles = [(one, people.circle(snapshot, task, one.question.tool)) for one in whole.left]
        words = (
            people.lacking(one.question, one.answers, circle, means, now, plan=one.plan)
            for one, circle in circles
        )
        lacking = next((each for each in words if each), "") if stored.state is ApprovalState.PENDING else ""
        able = [
            frozenset(name for need in one.question.needs for name in askable(need, circle))
            for one, circle in circles
        ]
        may, deny = frozenset.intersection(*able), frozenset.union(*able)
    return wire.PlanDetail(
        plan=stored.plan.id,
        state=stored.state.value,
        used=stored.used,
        digest=stored.plan.digest,
        canonical=stored.plan.canonical.decode(),
        missing=lacking,
        may_answer=tuple(sorted(may)),
        reason=stored.reason,
        steps=tuple(detail_of(means, snapshot, one) for one in whole.steps),
        may_deny=tuple(sorted(deny)),
    )
