"""What was shown to people, and how fast they answered it.

1. That a question was shown to a person is written down the first time, before it is shown, while it is open.
   What beneath a gateway or a run looks at it is no person's look.
2. A plan is shown as a whole, and that is a look at each of its steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.action import Action, Frame
from taskbound.core.approval import OPEN
from taskbound.core.approval.fatigue import Display, pace_of
from taskbound.core.approval.sheet import (
    Sheet,
    plan_sheet_of,
    render_plan_sheet,
    render_sheet,
    sheet_of,
)
from taskbound.core.audit.events import ApprovalShown

if TYPE_CHECKING:
    from taskbound.core.approval import Answer, Plan, Question
    from taskbound.core.approval.fatigue import Pace
    from taskbound.core.approval.sheet import SheetOf
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Snapshot, Transaction


def note_display(means: Means, namespace: str, approval: str, actor: Actor) -> None:
    """Keep that this question is shown to this person now, if it never was (rule 1).

    Args:
        means: What flows are given.
        namespace: Of the question.
        approval: Its id, or the id of its action.
        actor: The person.
    """
    with means.store.read() as snapshot:
        reads = snapshot.approvals
        one = reads.approval(namespace, approval) or reads.approval_of(namespace, approval)
        if (
            one is None
            or one.state not in OPEN
            or _was_shown(snapshot, namespace, one.question.id, actor.name)
        ):
            return
        kept = snapshot.actions.action(namespace, one.question.action)
    length = 0 if kept is None else _length(one.question, kept)

    def work(tx: Transaction) -> None:
        if _was_shown(tx, namespace, one.question.id, actor.name):
            return
        now = means.clock.now()
        display = Display(person=actor.name, at=now, length=length)
        tx.approvals.put_display(namespace, one.question.id, display)
        event = ApprovalShown(
            approval=one.question.id,
            action=one.question.action,
            task=one.question.task,
            person=actor.name,
            length=length,
            proof=actor.proof,
        )
        tx.audit.append(namespace, means.writer, [event], now)

    means.store.write(work)


def _was_shown(snapshot: Snapshot, namespace: str, name: str, person: str) -> bool:
    known = snapshot.approvals.displays(namespace, {name}).get(name, ())
    return any(one.person == person for one in known)


def _length(question: Question, kept: StoredAction) -> int:
    """Characters of the sheet, but for what stands there of the server and of attempts before."""
    rendered = render_sheet(_sheet(question, kept))
    return len(rendered.text) if isinstance(rendered, Sheet) else 0


def _sheet(question: Question, kept: StoredAction) -> SheetOf:
    frame = Frame(
        namespace=kept.namespace,
        task=kept.task,
        agent=kept.agent,
        tool=kept.tool,
        server=kept.server,
        definition=kept.definition,
    )
    action = Action(frame=frame, arguments=kept.arguments)
    return sheet_of(question, action, policies=kept.policies)


def note_display_of_plan(means: Means, namespace: str, plan: str, actor: Actor) -> None:
    """Keep that this plan is shown to this person now, if it never was (rules 1 and 2)."""
    with means.store.read() as snapshot:
        stored = snapshot.approvals.plan(namespace, plan)
        if stored is None or stored.state not in OPEN or _was_shown(snapshot, namespace, plan, actor.name):
            return
        length = _length_of_plan(snapshot, stored.plan)

    def work(tx: Transaction) -> None:
        if _was_shown(tx, namespace, plan, actor.name):
            return
        now = means.clock.now()
        tx.approvals.put_display(namespace, plan, Display(person=actor.name, at=now, length=length))
        event = ApprovalShown(
            approval=plan,
            action="",
            task=stored.plan.task,
            person=actor.name,
            length=length,
            proof=actor.proof,
        )
        tx.audit.append(namespace, means.writer, [event], now)

    means.store.write(work)


def _length_of_plan(snapshot: Snapshot, plan: Plan) -> int:
    sheets: list[SheetOf] = []
    for one in snapshot.approvals.steps_of(plan.namespace, {plan.id}):
        kept = snapshot.actions.action(plan.namespace, one.question.action)
        if kept is None:
            return 0
        sheets.append(_sheet(one.question, kept))
    rendered = render_plan_sheet(plan_sheet_of(plan, sheets))
    return len(rendered.text) if isinstance(rendered, Sheet) else 0


def pace_in(tx: Transaction, namespace: str, name: str, answer: Answer) -> Pace:
    """How fast this answer to a question or plan came, by what is kept of the display."""
    shown = tx.approvals.displays(namespace, {name}).get(name, ())
    return pace_of(answer, shown, tx.approvals.limits(namespace))
