"""Approval fatigue: display times, answer times, and pauses of tasks that ask too much.

The first display of an open question is recorded before it is shown; a look from beneath a gateway or run
does not count. A task refused for too many questions is paused in the next transaction; after a crash in
between, the next such call pauses it.
"""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.action import Action, Frame
from taskbound.core.approval import OPEN, TooManyHoldsError, TooManyQuestionsError
from taskbound.core.approval.fatigue import Display, pace_of
from taskbound.core.approval.sheet import Sheet, plan_sheet_of, render_plan_sheet, render_sheet, sheet_of
from taskbound.core.audit import TaskChanged
from taskbound.core.audit.events import ApprovalShown
from taskbound.core.clock import Instant
from taskbound.core.decision import PAUSES, Refuse, Settled
from taskbound.core.errors import TaskboundError
from taskbound.core.task import TaskEvent, TaskState, move_task
from taskbound.flows.approval.circle import DAEMON
from taskbound.flows.credential import end_credentials
from taskbound.flows.means import TaskChange

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taskbound.core.approval import Answer, Plan, Question
    from taskbound.core.approval.fatigue import Pace
    from taskbound.core.approval.sheet import SheetOf
    from taskbound.core.decision import Proposal
    from taskbound.core.task import Task
    from taskbound.flows.means import Actor, Adapters
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Snapshot, Transaction


def note_display(adapters: Adapters, namespace: str, approval: str, actor: Actor) -> None:
    """Records the first display of a question, named by its id or its action's, to a person."""
    with adapters.store.read() as snapshot:
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
        now = adapters.clock.now()
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
        tx.audit.append(namespace, adapters.writer, [event], now)

    adapters.store.write(work)


def _was_shown(snapshot: Snapshot, namespace: str, name: str, person: str) -> bool:
    known = snapshot.approvals.displays(namespace, {name}).get(name, ())
    return any(one.person == person for one in known)


def _length(question: Question, kept: StoredAction) -> int:
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


def note_display_of_plan(adapters: Adapters, namespace: str, plan: str, actor: Actor) -> None:
    with adapters.store.read() as snapshot:
        stored = snapshot.approvals.plan(namespace, plan)
        if stored is None or stored.state not in OPEN or _was_shown(snapshot, namespace, plan, actor.name):
            return
        length = _length_of_plan(snapshot, stored.plan)

    def work(tx: Transaction) -> None:
        if _was_shown(tx, namespace, plan, actor.name):
            return
        now = adapters.clock.now()
        tx.approvals.put_display(namespace, plan, Display(person=actor.name, at=now, length=length))
        event = ApprovalShown(
            approval=plan,
            action="",
            task=stored.plan.task,
            person=actor.name,
            length=length,
            proof=actor.proof,
        )
        tx.audit.append(namespace, adapters.writer, [event], now)

    adapters.store.write(work)


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
    """Returns how fast this answer came after the recorded display."""
    shown = tx.approvals.displays(namespace, {name}).get(name, ())
    return pace_of(answer, shown, tx.approvals.limits(namespace))


_log = logging.getLogger(__name__)

_HOUR: Final = 3_600_000_000


def room_for_amendment(tx: Transaction, task: Task, now: Instant) -> None:
    tasks = {task.id: task}
    room, hourly = room_to_ask(tx, task.namespace, tasks, (), now)
    if room[task.id] < 1:
        raise TooManyHoldsError("people are asked about as much of this task as they may be")
    if hourly[task.agent] < 1:
        raise TooManyQuestionsError(f"people were asked as much for agent `{task.agent}` as they may be")


def room_to_ask(
    tx: Transaction, namespace: str, tasks: Mapping[str, Task], held: Sequence[Proposal], now: Instant
) -> tuple[dict[str, int], dict[str, int]]:
    """Returns the open questions left per task and hourly questions left per agent; narrowing is free."""
    limits, asks, amended = tx.approvals.limits(namespace), tx.approvals, tx.amendments
    since = Instant(now - _HOUR)
    agents = {one.agent for one in tasks.values()}
    amending = amended.count_open(namespace, set(tasks))
    narrowing = Counter(
        one.action.task for one in held if one.narrows is not None
    )  # it takes the room of one
    return (
        {
            name: limits.open - asks.count_open(namespace, name) - amending[name] + narrowing[name]
            for name in tasks
        },
        {
            name: limits.hourly
            - asks.count_asked(namespace, name, since)
            - amended.count_asked(namespace, name, since)
            for name in agents
        },
    )


def pause_asking(adapters: Adapters, answers: Iterable[object]) -> list[TaskChange]:
    over = {
        (one.proposal.action.frame.namespace, one.proposal.action.task): one.decision.code
        for one in answers
        if isinstance(one, Settled) and isinstance(one.decision, Refuse) and one.decision.code in PAUSES
    }
    moved: list[TaskChange] = []
    for (namespace, task), code in sorted(over.items()):
        try:
            moved += adapters.store.write(partial(_pause, adapters, namespace, task, code))
        except TaskboundError:  # the next call is refused as this one was, and pauses it
            _log.exception("task %s asks too much and could not be paused", task)
    return moved


def _pause(adapters: Adapters, namespace: str, name: str, code: str, tx: Transaction) -> list[TaskChange]:
    task = tx.tasks.task(namespace, name)
    if task is None or task.state is not TaskState.RUNNING:
        return []
    after = move_task(task, TaskEvent.PAUSE)
    tx.tasks.put_task(after, expect=task.version)
    reason = f"it asks people too much ({code})"
    event = TaskChanged(
        task=name,
        before=task.state.value,
        after=after.state.value,
        event=TaskEvent.PAUSE.value,
        reason=reason,
        by=DAEMON[0],
        proof=DAEMON[1],
        learning=task.learning,
    )
    names = {one.id for one in tx.tasks.lock_tree(namespace, name)}
    over = end_credentials(tx, namespace, names, "its task is paused", adapters.clock.now())
    tx.audit.append(namespace, adapters.writer, [event, *over], adapters.clock.now())
    return [TaskChange(namespace=namespace, task=name, state=after.state, reason=reason)]
