"""A task from its declaration to its end.

1. A task starts only when nothing is stopped, the agent is active and complete, its
   monitor takes what it is sent, and the scope names only pinned tools and is within the
   agent's ceiling and within what its requester may grant. What was judged so is compared again
   under lock. Every action is judged against the ceiling again (law 3); what may be granted is
   asked once: a task that runs goes on when its requester may grant less.
2. Ending a task ends every descendant, in the same transaction (law 4, I-13).
3. Ending and pausing may use the store's reserve: a full disk stops no ending.
4. Ending what has ended is answered with how it ended, and changes nothing.
5. A paused task pauses what is beneath it without touching it: whoever stands beneath is told, and runs
   on when it is resumed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.revocation import require_not_stopped
from taskbound.core.scope import initial_limits
from taskbound.core.task import (
    Task,
    TaskEvent,
    TaskState,
    move_task,
)
from taskbound.core.task.heartbeat import await_heartbeat
from taskbound.flows.credential import end_credentials
from taskbound.flows.means import Actor
from taskbound.flows.task.binding import orphaned_runs
from taskbound.flows.task.cascade import changed_record, end_tree, lock_tree, moved
from taskbound.flows.task.evidence import declare_evidence, settle_evidence
from taskbound.flows.task.order import (
    TaskOrder,
    manner_of,
    parse_order,
    require_learner,
    require_resumable,
    require_within,
    scope_of,
)
from taskbound.flows.task.start import require_startable, require_unchanged, started
from taskbound.flows.task.unclaimed import end_unclaimed, note_unclaimed

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.audit import Event
    from taskbound.core.identity import Agent
    from taskbound.core.identity.grantable import Reach
    from taskbound.flows.decision import Views
    from taskbound.flows.identity import Deliveries
    from taskbound.flows.means import Means, Moved
    from taskbound.flows.task.evidence import Declared
    from taskbound.ports.store import Transaction


_SECOND: Final = 1_000_000
_DAEMON: Final = "daemon"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Basis:
    """What a start was judged on, and is compared with again under lock."""

    agent: Agent
    reach: Reach
    declared: Declared


class Tasks:
    """Starts and moves tasks; used from one thread at a time."""

    def __init__(self, means: Means, views: Views, deliveries: Deliveries) -> None:
        """Keep what to work with."""
        self._means = means
        self._views = views
        self._deliveries = deliveries

    def start(self, order: TaskOrder, actor: Actor) -> Task:
        """The task, running.

        Raises:
            DeniedError: Something that rule 1 names is in the way.
            MalformedError: The order can't be read.
        """
        parse_order(order)
        now = self._means.clock.now()
        with self._means.store.read() as snapshot:
            agent = require_startable(snapshot, self._deliveries, order.namespace, order.agent, now)
            scope = scope_of(snapshot, order)
            manner = manner_of(snapshot, order)
            require_learner(agent, order, actor.name)
            reach = require_within(snapshot, scope, agent, actor.name, now)
            issuers = snapshot.identities.issuers(order.namespace)
        declared = declare_evidence(order.evidence, order.tokens, issuers, check=self._means.tokens, now=now)
        basis = _Basis(agent=agent, reach=reach, declared=declared)
        task_id = self._means.chance.name("tsk")
        task = Task(
            namespace=order.namespace,
            id=task_id,
            agent=order.agent,
            requester=actor.name,
            purpose=order.purpose,
            evidence=declared.evidence,
            scope=scope,
            state=TaskState.PROPOSED,
            parent="",
            root=task_id,
            started=now,
            deadline=Instant(now + min(order.seconds, manner.longest or order.seconds) * _SECOND),
            learning=order.learning,
            heartbeat=manner.heartbeat,
            grace=manner.grace,
            holds=manner.holds,
            for_token=order.unclaimed,
        )
        self._means.store.write(lambda tx: self._write_start(tx, task, basis, order, actor))
        return move_task(task, TaskEvent.START)

    def pause(self, namespace: str, task: str, actor: Actor, *, reason: str) -> list[Moved]:
        """Take the task's authority away for now; what changed.

        Raises:
            WrongStateError: It does not run.
            NoTaskError: It is not known.
        """
        return self._move(namespace, task, TaskEvent.PAUSE, actor, reason)

    def resume(self, namespace: str, task: str, actor: Actor) -> list[Moved]:
        """Give a paused task its authority back; what changed.

        Raises:
            WrongStateError: It is not paused.
            NoTaskError: It is not known.
            StoppedError: The kill switch is on.
        """
        with self._means.store.read() as snapshot:
            require_not_stopped(snapshot.revocation.kill_switch(namespace))
        return self._move(namespace, task, TaskEvent.RESUME, actor, "")

    def end(self, namespace: str, task: str, event: TaskEvent, actor: Actor, *, reason: str) -> list[Moved]:
        """End the task and all beneath it; what changed, the task last. Empty when it had ended (rule 4).

        Raises:
            WrongStateError: It can't end like that.
            NoTaskError: It is not known.
        """
        changed = self._means.store.write(
            lambda tx: self._write_end(tx, namespace, task, event, actor, reason), reserve=True
        )
        for one in changed:
            self._views.forget_task(namespace, one.task)
        return changed

    def end_orphans(self, boot: str, alive: Callable[[int, int], bool]) -> list[Moved]:
        """End the tasks of runs whose processes have ended without saying so (SIGKILL); what changed."""
        return [
            change
            for run in orphaned_runs(self._means, boot, alive)
            for change in self.end(
                run.namespace,
                run.task,
                TaskEvent.CANCEL,
                _daemon(),
                reason="its run has ended unheard",
            )
        ]

    def expire(self, *, limit: int = 100) -> list[Moved]:
        """End tasks whose deadline has come, of every namespace; what changed."""
        now = self._means.clock.now()
        with self._means.store.read() as snapshot:
            due = snapshot.tasks.due(now, limit=limit)
        actor = _daemon()
        return [
            change
            for task in due
            for change in self.end(
                task.namespace, task.id, TaskEvent.EXPIRE, actor, reason="its deadline has come"
            )
        ]

    def end_unclaimed(self, *, limit: int = 100) -> list[Moved]:
        """End tasks that nobody was let in to (`flows.task.unclaimed`), of every namespace; what changed."""
        now = self._means.clock.now()
        with self._means.store.read() as snapshot:
            due = snapshot.unclaimed.due(now, limit=limit)
        changed: list[Moved] = []
        for one in due:
            work = partial(end_unclaimed, seen=one, writer=self._means.writer, now=now)
            changed += self._means.store.write(work, reserve=True)
            self._views.forget_task(one.namespace, one.task)
        return changed

    def _write_start(
        self, tx: Transaction, task: Task, basis: _Basis, order: TaskOrder, actor: Actor
    ) -> None:
        require_unchanged(tx, basis.agent, actor.name, basis.reach, self._means.clock.now())
        settle_evidence(tx, task.namespace, basis.declared)
        running = move_task(task, TaskEvent.START)
        tx.tasks.put_task(running, expect=0)
        tx.tasks.open_limits(task.namespace, task.id, initial_limits(task.scope))
        watched = await_heartbeat(task, self._means.clock.now())
        if watched is not None:
            tx.tasks.put_heartbeat(watched)
        note_unclaimed(tx, task, self._means.clock.now(), unclaimed=order.unclaimed)
        event = started(task, actor, template=order.template, carved={})
        tx.audit.append(task.namespace, self._means.writer, [event], self._means.clock.now())

    def _move(self, namespace: str, task: str, event: TaskEvent, actor: Actor, reason: str) -> list[Moved]:
        def work(tx: Transaction) -> list[Moved]:
            before, *beneath = lock_tree(tx, namespace, task)
            if event is TaskEvent.RESUME:
                require_resumable(tx, before, self._means.clock.now())
            after = move_task(before, event)
            tx.tasks.put_task(after, expect=before.version)
            watched = await_heartbeat(after, self._means.clock.now())
            if watched is not None and event is TaskEvent.RESUME:
                tx.tasks.put_heartbeat(watched)
            elif watched is not None:
                tx.tasks.drop_heartbeat(namespace, task)
            events: list[Event] = [changed_record(before, after, event, actor, reason)]
            if after.state is not TaskState.RUNNING:
                tree = {task, *(one.id for one in beneath)}
                events += end_credentials(tx, namespace, tree, "its task is paused", self._means.clock.now())
            self._record(tx, events, namespace)
            why = f"its ancestor {task} is {after.state.value}"
            return [
                *(moved(one, after.state, why) for one in beneath if one.state is TaskState.RUNNING),  # 5
                moved(after, after.state, reason),
            ]

        changed = self._means.store.write(work, reserve=event is TaskEvent.PAUSE)
        self._views.forget_task(namespace, task)
        return changed

    def _write_end(
        self, tx: Transaction, namespace: str, task: str, event: TaskEvent, actor: Actor, reason: str
    ) -> list[Moved]:
        tree = lock_tree(tx, namespace, task)
        ended = end_tree(tx, tree, event, actor, now=self._means.clock.now(), reason=reason)
        if ended.moved:
            self._record(tx, ended.events, namespace)
        return ended.moved

    def _record(self, tx: Transaction, events: list[Event], namespace: str) -> None:
        tx.audit.append(namespace, self._means.writer, events, self._means.clock.now())


def _daemon() -> Actor:
    """The daemon itself, as the one who ends what is due."""
    return Actor(name=_DAEMON, proof="own process")
