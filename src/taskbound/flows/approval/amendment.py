"""Who may answer an amendment, and its audit records.

The person who asks counts as a requester and cannot approve. Approvers of a tool must also answer if the
amendment allows more calls of it. A damaged bundle lifts nothing.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from taskbound.core.approval.amendment import (
    AMENDMENT_TRANSITIONS,
    AmendmentGround,
    AmendmentState,
    amendment_lifters,
)
from taskbound.core.approval.fatigue import Display
from taskbound.core.audit.events import AmendmentAnswered, AmendmentChanged, AmendmentShown
from taskbound.core.policy import DamagedBundleError
from taskbound.core.task.amendment import widened_tools
from taskbound.flows.approval.circle import standing_of
from taskbound.ports.task import AmendmentChange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.approval import EligibleApprovers
    from taskbound.core.approval.amendment import AmendmentFate, AmendmentQuestion
    from taskbound.core.approval.fatigue import Pace
    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.scope import Scope
    from taskbound.core.task import Task
    from taskbound.flows.approval.circle import People
    from taskbound.flows.approval.proof.signed import Signed
    from taskbound.flows.means import Actor, Adapters
    from taskbound.flows.policy.engines import Policies
    from taskbound.ports.store import Snapshot, Transaction
    from taskbound.ports.task import StoredAmendment


def amendment_circle(snapshot: Snapshot, people: People, task: Task, asker: str) -> EligibleApprovers:
    circle = people.circle(snapshot, task, "")
    tools = snapshot.tools.approvers(task.namespace)
    return replace(circle, kin=circle.kin | {asker}, tools=tools)


def lifters_of(snapshot: Snapshot, policies: Policies, task: Task, scope: Scope) -> tuple[str, ...]:
    space = task.namespace
    engine = policies.engine(snapshot, space, snapshot.policy.in_force(space).digest)
    named = snapshot.tools.approvers(space)
    wider = widened_tools(task.scope, task.step, scope) if named else ()
    return amendment_lifters((one for one in wider if one in named), engine.lifters)


def amendment_ground(snapshot: Snapshot, question: AmendmentQuestion, policies: Policies) -> AmendmentGround:
    space = question.namespace
    lineage, ended, active = standing_of(snapshot, space, question.task, question.agent)
    lifters: tuple[str, ...] = ()
    with suppress(DamagedBundleError):
        lifters = lifters_of(snapshot, policies, lineage[0], question.after) if lineage else ()
    return AmendmentGround(
        ended=ended,
        active=active,
        bundle=policies.digest_of(snapshot.policy.in_force(space)),
        scope=lineage[0].scope.digest if lineage else "",
        edition=lineage[0].scope_version if lineage else 0,
        step=lineage[0].step if lineage else 0,
        lifters=lifters,
    )


def end_amendments(
    tx: Transaction,
    ending: Sequence[tuple[StoredAmendment, AmendmentFate]],
    *,
    by: tuple[str, str],
    now: Instant,
) -> list[Event]:
    steps: list[AmendmentChange] = []
    events: list[Event] = []
    for one, fate in ending:
        after = AMENDMENT_TRANSITIONS.advance(one.state, fate.event)
        steps.append(
            AmendmentChange(
                id=one.question.id, before=one.state, after=after, finished=now, reason=fate.reason
            )
        )
        events.append(
            AmendmentChanged(
                amendment=one.question.id,
                task=one.question.task,
                before=one.state.value,
                after=after.value,
                reason=fate.reason,
                by=by[0],
                proof=by[1],
            )
        )
    if steps:
        tx.amendments.move_amendments(ending[0][0].question.namespace, steps)
    return events


def amendment_answered(one: StoredAmendment, said: Signed, pace: Pace) -> AmendmentAnswered:
    return AmendmentAnswered(
        amendment=one.question.id,
        digest=one.question.digest,
        task=one.question.task,
        answer=said.statement.kind.value,
        person=said.statement.person,
        key=said.statement.key,
        statement=sha256(said.raw).hexdigest(),
        signature=sha256(said.signature).hexdigest(),
        proof=said.by[1],
        taken=pace.taken,
        length=pace.length,
        hasty=pace.hasty,
    )


def length_of(question: AmendmentQuestion) -> int:
    """Returns the characters an approver must read: the whole new scope and the reason."""
    return len(question.after.canonical.decode()) + len(question.reason) + len(question.purpose)


def note_amendment(adapters: Adapters, namespace: str, amendment: str, actor: Actor) -> None:
    with adapters.store.read() as snapshot:
        one = snapshot.amendments.amendment(namespace, amendment)
        if one is None or one.state is not AmendmentState.PENDING or _was_shown(snapshot, one, actor.name):
            return
    length = length_of(one.question)

    def work(tx: Transaction) -> None:
        if _was_shown(tx, one, actor.name):
            return
        now = adapters.clock.now()
        tx.approvals.put_display(namespace, amendment, Display(person=actor.name, at=now, length=length))
        event = AmendmentShown(
            amendment=amendment,
            task=one.question.task,
            person=actor.name,
            length=length,
            proof=actor.proof,
        )
        tx.audit.append(namespace, adapters.writer, [event], now)

    adapters.store.write(work)


def _was_shown(snapshot: Snapshot, one: StoredAmendment, person: str) -> bool:
    question = one.question
    known = snapshot.approvals.displays(question.namespace, {question.id}).get(question.id, ())
    return any(display.person == person for display in known)
