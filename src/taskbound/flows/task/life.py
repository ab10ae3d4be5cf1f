"""A task from its declaration to its end.

1. A task starts only when nothing is stopped, the agent is active and complete, its
   monitor takes what it is sent, and the scope names only pinned tools and is within the
   agent's ceiling and within what its requester may grant. What was judged so is compared again
   under lock. Every action is judged against the ceiling again (law 3); what may be granted is
   asked once: a task that runs goes on when its requester may grant less.
2. Ending a task ends every descendant, in the same transaction (law 4, I-13).
3. Ending and pausing may use the store's reserve: a full disk stops no ending.
4. Ending what has ended is answered with how it ended, and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.audit import TaskChanged, TaskStarted
from taskbound.core.clock import Instant
from taskbound.core.identity import UnknownIdentityError, require_active
from taskbound.core.identity.grantable import OutsideGrantableError, reach_of
from taskbound.core.revocation import require_not_stopped
from taskbound.core.scope import initial_limits
from taskbound.core.task import (
    ENDED,
    NoTaskError,
    Task,
    TaskEvent,
    TaskState,
    move_task,
)
from taskbound.flows.means import Actor, Moved
from taskbound.flows.task.binding import orphaned_runs
from taskbound.flows.task.order import (
    TaskOrder,
    parse_order,
    require_learner,
    require_resumable,
    require_within,
    scope_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.audit import Event
    from taskbound.core.identity import Agent
    from taskbound.core.identity.grantable import Reach
    from taskbound.flows.decision import Views
    from taskbound.flows.identity import Deliveries
    from taskbound.flows.means import Means
    from taskbound.ports.store import Snapshot, Transaction

__all__ = ["Tasks"]

_SECOND: Final = 1_000_000
_DAEMON: Final = "daemon"


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
            agent = self._require_startable(snapshot, order, now)
            scope = scope_of(snapshot, order)
            require_learner(agent, order, actor.name)
            reach = require_within(snapshot, scope, agent, actor.name)
        task_id = self._means.chance.name("tsk")
        task = Task(
            namespace=order.namespace,
            id=task_id,
            agent=order.agent,
            requester=actor.name,
            purpose=order.purpose,
            evidence=order.evidence,
            scope=scope,
            state=TaskState.PROPOSED,
            parent="",
            root=task_id,
            started=now,
            deadline=Instant(now + order.seconds * _SECOND),
            learning=order.learning,
        )
        self._means.store.write(lambda tx: self._write_start(tx, task, agent, reach, order, actor))
        return move_task(task, TaskEvent.START)

    def pause(self, namespace: str, task: str, actor: Actor, *, reason: str) -> list[Moved]:
        """Take the task's authority away for now; what changed.

        Raises:
            WrongStateError: It does not run.
            NoTaskError: It is not known.
        """
        return [self._move(namespace, task, TaskEvent.PAUSE, actor, reason)]

    def resume(self, namespace: str, task: str, actor: Actor) -> list[Moved]:
        """Give a paused task its authority back; what changed.

        Raises:
            WrongStateError: It is not paused.
            NoTaskError: It is not known.
            StoppedError: The kill switch is on.
        """
        with self._means.store.read() as snapshot:
            require_not_stopped(snapshot.revocation.kill_switch(namespace))
        return [self._move(namespace, task, TaskEvent.RESUME, actor, "")]

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

    def _require_startable(self, snapshot: Snapshot, order: TaskOrder, now: Instant) -> Agent:
        require_not_stopped(snapshot.revocation.kill_switch(order.namespace))
        agent = snapshot.identities.agent(order.namespace, order.agent)
        if agent is None:
            raise UnknownIdentityError(f"no agent is named `{order.agent}`")
        require_active(agent, snapshot.identities.persons(order.namespace))
        self._deliveries.require_current(agent.monitor, now)
        return agent

    def _write_start(
        self, tx: Transaction, task: Task, agent: Agent, reach: Reach, order: TaskOrder, actor: Actor
    ) -> None:
        switch = tx.revocation.lock_kill_switch(task.namespace)
        require_not_stopped(switch)
        locked = tx.identities.lock_agents(task.namespace, {agent.name})
        if locked.get(agent.name) != agent.version:
            raise UnknownIdentityError(f"agent `{agent.name}` changed meanwhile", remedy="try again")
        if reach_of(actor.name, *tx.identities.lock_grantors(task.namespace)) != reach:
            raise OutsideGrantableError(
                f"what `{actor.name}` may grant changed meanwhile", remedy="try again"
            )
        running = move_task(task, TaskEvent.START)
        tx.tasks.put_task(running, expect=0)
        tx.tasks.open_limits(task.namespace, task.id, initial_limits(task.scope))
        event = TaskStarted(
            task=task.id,
            agent=task.agent,
            requester=task.requester,
            purpose=task.purpose,
            scope=task.scope.digest,
            deadline=task.deadline,
            by=actor.name,
            proof=actor.proof,
            template=order.template,
            evidence=task.evidence,
            learning=task.learning,
        )
        tx.audit.append(task.namespace, self._means.writer, [event], self._means.clock.now())

    def _move(self, namespace: str, task: str, event: TaskEvent, actor: Actor, reason: str) -> Moved:
        def work(tx: Transaction) -> Task:
            before = _require_task(tx, namespace, task)
            if event is TaskEvent.RESUME:
                require_resumable(tx, before)
            after = move_task(before, event)
            tx.tasks.put_task(after, expect=before.version)
            self._record(tx, [_changed(before, after, event, actor, reason)], namespace)
            return after

        after = self._means.store.write(work, reserve=event is TaskEvent.PAUSE)
        self._views.forget_task(namespace, task)
        return Moved(namespace=namespace, task=task, state=after.state, reason=reason)

    def _write_end(
        self, tx: Transaction, namespace: str, task: str, event: TaskEvent, actor: Actor, reason: str
    ) -> list[Moved]:
        before = _require_task(tx, namespace, task)
        if before.state in ENDED:
            return []
        changed: list[Moved] = []
        events: list[Event] = []
        beneath = [
            (one, TaskEvent.REVOKE, f"its ancestor {task} ended")
            for one in reversed(tx.tasks.children(namespace, task))
        ]
        for one, what, why in [*beneath, (before, event, reason)]:
            after = move_task(one, what)
            tx.tasks.put_task(after, expect=one.version)
            events.append(_changed(one, after, what, actor, why))
            changed.append(Moved(namespace=namespace, task=one.id, state=after.state, reason=why))
        self._record(tx, events, namespace)
        return changed

    def _record(self, tx: Transaction, events: list[Event], namespace: str) -> None:
        tx.audit.append(namespace, self._means.writer, events, self._means.clock.now())


def _daemon() -> Actor:
    """The daemon itself, as the one who ends what is due."""
    return Actor(name=_DAEMON, proof="own process")


def _require_task(tx: Transaction, namespace: str, task: str) -> Task:
    tx.tasks.lock_heads(namespace, {task})
    found = tx.tasks.task(namespace, task)
    if found is None:
        raise NoTaskError(f"no task is named `{task}`", remedy="list them with `taskbound task list`")
    return found


def _changed(before: Task, after: Task, event: TaskEvent, actor: Actor, reason: str) -> TaskChanged:
    return TaskChanged(
        task=before.id,
        before=before.state.value,
        after=after.state.value,
        event=event.value,
        reason=reason,
        by=actor.name,
        proof=actor.proof,
        learning=before.learning,
    )
