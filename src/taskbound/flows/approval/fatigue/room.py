"""How much more people may be asked about a task, and the pause of what asks too much.

1. A task whose call was refused since people were asked too much is paused in the next transaction. A crash
   between the two leaves a refusal, and the next such call pauses it.
"""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.approval import TooManyHoldsError, TooManyQuestionsError
from taskbound.core.audit import TaskChanged
from taskbound.core.clock import Instant
from taskbound.core.decision import PAUSES, Refuse, Settled
from taskbound.core.errors import TaskboundError
from taskbound.core.task import TaskEvent, TaskState, move_task
from taskbound.flows.approval.ending import DAEMON
from taskbound.flows.credential import end_credentials
from taskbound.flows.means import Moved

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taskbound.core.decision import Proposal
    from taskbound.core.task import Task
    from taskbound.flows.means import Means
    from taskbound.ports.store import Transaction


_log = logging.getLogger(__name__)

_HOUR: Final = 3_600_000_000


def room_for_amendment(tx: Transaction, task: Task, now: Instant) -> None:
    """Go on only when people may be asked about an amendment of this task as well.

    Raises:
        TooManyHoldsError: The task has as many open questions as it may have.
        TooManyQuestionsError: Its agent has had as many asked within an hour.
    """
    tasks = {task.id: task}
    room, hourly = room_to_ask(tx, task.namespace, tasks, (), now)
    if room[task.id] < 1:
        raise TooManyHoldsError("people are asked about as much of this task as they may be")
    if hourly[task.agent] < 1:
        raise TooManyQuestionsError(f"people were asked as much for agent `{task.agent}` as they may be")


def room_to_ask(
    tx: Transaction, namespace: str, tasks: Mapping[str, Task], held: Sequence[Proposal], now: Instant
) -> tuple[dict[str, int], dict[str, int]]:
    """How many more each task may have open, and each agent ask within the hour; to narrow takes no room."""
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


def pause_asking(means: Means, answers: Iterable[object]) -> list[Moved]:
    """Pause the tasks whose calls were refused since people were asked too much (rule 1)."""
    over = {
        (one.proposal.action.frame.namespace, one.proposal.action.task): one.decision.code
        for one in answers
        if isinstance(one, Settled) and isinstance(one.decision, Refuse) and one.decision.code in PAUSES
    }
    moved: list[Moved] = []
    for (namespace, task), code in sorted(over.items()):
        try:
            moved += means.store.write(partial(_pause, means, namespace, task, code))
        except TaskboundError:  # the next call is refused as this one was, and pauses it
            _log.exception("task %s asks too much and could not be paused", task)
    return moved


def _pause(means: Means, namespace: str, name: str, code: str, tx: Transaction) -> list[Moved]:
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
    over = end_credentials(tx, namespace, names, "its task is paused", means.clock.now())
    tx.audit.append(namespace, means.writer, [event, *over], means.clock.now())
    return [Moved(namespace=namespace, task=name, state=after.state, reason=reason)]
