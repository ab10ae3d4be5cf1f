"""A task from its declaration to its end.

- A task starts only if nothing is stopped, the agent is active, its monitor is current, and the scope names
  pinned tools within the agent's ceiling and the requester's grant; all is compared again under lock. Actions
  are judged against the ceiling again (law 3), but not against the grant.
- A paused task is resumed only while its agent is active and its requester could request it now. Ending and
  pausing may use the store's reserve, so a full disk does not prevent them.
- An order from an agent may not exceed its template's lifetime and heartbeat, so no agent extends its
  authority or loosens its watch.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError
from taskbound.core.identity import NotOwnerError, require_active
from taskbound.core.identity.agent import reach_of, require_grantable, uncovered_words
from taskbound.core.revocation import require_not_stopped
from taskbound.core.scope import initial_limits, tools_of
from taskbound.core.scope.algebra import NotCovers, covers
from taskbound.core.task import (
    Holds,
    Task,
    TaskEvent,
    TaskState,
    TaskSyntaxError,
    move_task,
    parse_lifetime,
    parse_purpose,
    require_learning_lifetime,
)
from taskbound.core.task.values import await_heartbeat, parse_heartbeat
from taskbound.flows.credential import end_credentials
from taskbound.flows.means import Actor
from taskbound.flows.task.binding import orphaned_runs
from taskbound.flows.task.cascade import (
    changed_record,
    end_tree,
    end_unclaimed,
    lock_tree,
    moved,
    note_unclaimed,
    require_startable,
    require_unchanged,
    started,
)
from taskbound.flows.task.evidence import declare_evidence, settle_evidence

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.audit import Event
    from taskbound.core.identity import Agent
    from taskbound.core.identity.agent import Reach
    from taskbound.core.scope import Scope
    from taskbound.flows.decision import Views
    from taskbound.flows.identity import Deliveries
    from taskbound.flows.means import Adapters, TaskChange
    from taskbound.flows.task.evidence import Declared
    from taskbound.ports.store import Snapshot, Transaction


class OutsideCeilingError(DeniedError):
    """The scope exceeds the agent's ceiling."""

    code = "outside-ceiling"
    remedy = "leave it out, or have the agent's owner widen the ceiling with `taskbound agent ceiling`"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOrder:
    """An order for a task; exactly one of template and scope is set."""

    namespace: str
    agent: str
    purpose: str
    seconds: int
    template: str = ""
    scope: Scope | None = None
    evidence: tuple[str, ...] = ()
    """Tickets and digests of words, as a person writes them."""
    tokens: tuple[str, ...] = ()
    """Signed tokens of issuers whose word counts."""
    learning: bool = False
    heartbeat: int = 0
    """Seconds within which a connection must be bound to it; 0, then as the grace, for its template's."""
    grace: int = 0
    unclaimed: bool = False
    """Whether a client is admitted to it later (`flows.task.cascade`)."""
    bounded: bool = False
    """Whether its template's times are upper bounds, as an agent asks for it in a person's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """A task's lifetime, heartbeat and handling of holds."""

    longest: int
    """Seconds that it lives at most; 0 where its order alone says that."""
    heartbeat: int
    """Seconds; 0 for none, and then no grace either."""
    grace: int
    holds: Holds


def parse_order(order: TaskOrder) -> TaskOrder:
    parse_purpose(order.purpose)
    parse_lifetime(order.seconds)
    parse_heartbeat(order.heartbeat, order.grace)
    if order.learning:
        require_learning_lifetime(order.seconds)
    return order


def scope_of(snapshot: Snapshot, order: TaskOrder) -> Scope:
    if (order.scope is None) is (not order.template):
        raise TaskSyntaxError("give exactly one of a template and a scope", where="template")
    if order.scope is not None:
        return order.scope
    template = snapshot.tasks.template(order.namespace, order.template)
    if template is None:
        raise TaskSyntaxError(
            f"no template is named `{order.template}`",
            where="template",
            remedy="list them with `taskbound template list`",
        )
    return template.scope


def manner_of(snapshot: Snapshot, order: TaskOrder) -> Manner:
    template = snapshot.tasks.template(order.namespace, order.template) if order.template else None
    if template is None:
        return Manner(longest=0, heartbeat=order.heartbeat, grace=order.grace, holds=Holds.END_WITH_CALL)
    asked = order if order.heartbeat else template
    heartbeat, grace = asked.heartbeat, asked.grace
    if order.bounded and template.heartbeat:
        heartbeat, grace = min(heartbeat, template.heartbeat), min(grace, template.grace)
    longest = template.seconds if order.bounded else 0
    return Manner(longest=longest, heartbeat=heartbeat, grace=grace, holds=template.holds)


def require_learner(agent: Agent, order: TaskOrder, person: str) -> None:
    if order.learning and person != agent.owner:
        raise NotOwnerError(
            f"only the owner of agent `{agent.name}` starts a task to learn from, and that is `{agent.owner}`"
        )


def require_within(snapshot: Snapshot, scope: Scope, agent: Agent, person: str, now: Instant) -> Reach:
    """Returns the person's grant if the scope names existing tools within both bounds."""
    ceiling = tools_of(agent.ceiling)
    for tool in sorted(tools_of(scope)):
        if tool not in ceiling:
            raise OutsideCeilingError(
                f"the ceiling of agent `{agent.name}` does not name `{tool}`", where=tool
            )
        if snapshot.tools.tool(agent.namespace, tool) is None:
            raise TaskSyntaxError(
                f"no server has the tool `{tool}`",
                where=tool,
                remedy="list them with `taskbound tool list`, or add one with `taskbound upstream add`",
            )
    answer = covers(agent.ceiling, scope)
    if isinstance(answer, NotCovers):
        words = uncovered_words(answer, {}, "of the ceiling")
        where = answer.uncovered[0].tool
        raise OutsideCeilingError(
            f"the ceiling of agent `{agent.name}` does not cover it: {words}", where=where
        )
    identities = snapshot.identities
    groups = [one.at(now) for one in identities.groups(agent.namespace)]
    reach = reach_of(person, identities.persons(agent.namespace), groups)
    require_grantable(scope, reach)
    return reach


def require_resumable(tx: Transaction, task: Task, now: Instant) -> None:
    """Raises DeniedError unless the agent is active and the requester could request it now."""
    persons, groups = tx.identities.lock_grantors(task.namespace)
    agent = tx.identities.agent(task.namespace, task.agent)
    if agent is not None:
        require_active(agent, persons)
    require_grantable(task.scope, reach_of(task.requester, persons, [one.at(now) for one in groups]))


_SECOND: Final = 1_000_000
_DAEMON: Final = "daemon"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Basis:
    agent: Agent
    reach: Reach
    declared: Declared


class Tasks:
    """Starts and moves tasks; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters, views: Views, deliveries: Deliveries) -> None:
        self._adapters = adapters
        self._views = views
        self._deliveries = deliveries

    def start(self, order: TaskOrder, actor: Actor) -> Task:
        parse_order(order)
        now = self._adapters.clock.now()
        with self._adapters.store.read() as snapshot:
            agent = require_startable(snapshot, self._deliveries, order.namespace, order.agent, now)
            scope = scope_of(snapshot, order)
            manner = manner_of(snapshot, order)
            require_learner(agent, order, actor.name)
            reach = require_within(snapshot, scope, agent, actor.name, now)
            issuers = snapshot.identities.issuers(order.namespace)
        declared = declare_evidence(
            order.evidence, order.tokens, issuers, check=self._adapters.tokens, now=now
        )
        basis = _Basis(agent=agent, reach=reach, declared=declared)
        task_id = self._adapters.chance.name("tsk")
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
        self._adapters.store.write(lambda tx: self._write_start(tx, task, basis, order, actor))
        return move_task(task, TaskEvent.START)

    def pause(self, namespace: str, task: str, actor: Actor, *, reason: str) -> list[TaskChange]:
        return self._move(namespace, task, TaskEvent.PAUSE, actor, reason)

    def resume(self, namespace: str, task: str, actor: Actor) -> list[TaskChange]:
        with self._adapters.store.read() as snapshot:
            require_not_stopped(snapshot.revocation.kill_switch(namespace))
        return self._move(namespace, task, TaskEvent.RESUME, actor, "")

    def end(
        self, namespace: str, task: str, event: TaskEvent, actor: Actor, *, reason: str
    ) -> list[TaskChange]:
        """Ends a task with its descendants; returns them, the task last, or nothing if it had ended."""
        changed = self._adapters.store.write(
            lambda tx: self._write_end(tx, namespace, task, event, actor, reason), reserve=True
        )
        for one in changed:
            self._views.forget_task(namespace, one.task)
        return changed

    def end_orphans(self, boot: str, alive: Callable[[int, int], bool]) -> list[TaskChange]:
        return [
            change
            for run in orphaned_runs(self._adapters, boot, alive)
            for change in self.end(
                run.namespace,
                run.task,
                TaskEvent.CANCEL,
                _daemon(),
                reason="its run has ended unheard",
            )
        ]

    def expire(self, *, limit: int = 100) -> list[TaskChange]:
        now = self._adapters.clock.now()
        with self._adapters.store.read() as snapshot:
            due = snapshot.tasks.due(now, limit=limit)
        actor = _daemon()
        return [
            change
            for task in due
            for change in self.end(
                task.namespace, task.id, TaskEvent.EXPIRE, actor, reason="its deadline has come"
            )
        ]

    def end_unclaimed(self, *, limit: int = 100) -> list[TaskChange]:
        now = self._adapters.clock.now()
        with self._adapters.store.read() as snapshot:
            due = snapshot.unclaimed.due(now, limit=limit)
        changed: list[TaskChange] = []
        for one in due:
            work = partial(end_unclaimed, seen=one, writer=self._adapters.writer, now=now)
            changed += self._adapters.store.write(work, reserve=True)
            self._views.forget_task(one.namespace, one.task)
        return changed

    def _write_start(
        self, tx: Transaction, task: Task, basis: _Basis, order: TaskOrder, actor: Actor
    ) -> None:
        require_unchanged(tx, basis.agent, actor.name, basis.reach, self._adapters.clock.now())
        settle_evidence(tx, task.namespace, basis.declared)
        running = move_task(task, TaskEvent.START)
        tx.tasks.put_task(running, expect=0)
        tx.tasks.open_limits(task.namespace, task.id, initial_limits(task.scope))
        watched = await_heartbeat(task, self._adapters.clock.now())
        if watched is not None:
            tx.tasks.put_heartbeat(watched)
        note_unclaimed(tx, task, self._adapters.clock.now(), unclaimed=order.unclaimed)
        event = started(task, actor, template=order.template, carved={})
        tx.audit.append(task.namespace, self._adapters.writer, [event], self._adapters.clock.now())

    def _move(
        self, namespace: str, task: str, event: TaskEvent, actor: Actor, reason: str
    ) -> list[TaskChange]:
        def work(tx: Transaction) -> list[TaskChange]:
            before, *beneath = lock_tree(tx, namespace, task)
            if event is TaskEvent.RESUME:
                require_resumable(tx, before, self._adapters.clock.now())
            after = move_task(before, event)
            tx.tasks.put_task(after, expect=before.version)
            watched = await_heartbeat(after, self._adapters.clock.now())
            if watched is not None and event is TaskEvent.RESUME:
                tx.tasks.put_heartbeat(watched)
            elif watched is not None:
                tx.tasks.drop_heartbeat(namespace, task)
            events: list[Event] = [changed_record(before, after, event, actor, reason)]
            if after.state is not TaskState.RUNNING:
                tree = {task, *(one.id for one in beneath)}
                events += end_credentials(
                    tx, namespace, tree, "its task is paused", self._adapters.clock.now()
                )
            self._record(tx, events, namespace)
            why = f"its ancestor {task} is {after.state.value}"
            return [
                *(moved(one, after.state, why) for one in beneath if one.state is TaskState.RUNNING),
                moved(after, after.state, reason),
            ]

        changed = self._adapters.store.write(work, reserve=event is TaskEvent.PAUSE)
        self._views.forget_task(namespace, task)
        return changed

    def _write_end(
        self, tx: Transaction, namespace: str, task: str, event: TaskEvent, actor: Actor, reason: str
    ) -> list[TaskChange]:
        tree = lock_tree(tx, namespace, task)
        ended = end_tree(tx, tree, event, actor, now=self._adapters.clock.now(), reason=reason)
        if ended.moved:
            self._record(tx, ended.events, namespace)
        return ended.moved

    def _record(self, tx: Transaction, events: list[Event], namespace: str) -> None:
        tx.audit.append(namespace, self._adapters.writer, events, self._adapters.clock.now())


def _daemon() -> Actor:
    return Actor(name=_DAEMON, proof="own process")
