"""Starts and ends tasks: preconditions, cascading ends, heartbeats, unclaimed tasks.

- The whole tree is locked from the task down until the end is written, so nothing is decided or started in
  it. A child's unspent amounts return to its parent (`core.task.child`).
- Bound tasks are refreshed before due ones are looked for, so a clock jump pauses no present task. Tasks with
  a held action are not paused; paused ones are not watched.
- Claim and end take the same lock; an ended task cannot be claimed.
"""

from __future__ import annotations

from dataclasses import field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from taskbound.core.action import ActionState
from taskbound.core.audit import TaskChanged, TaskStarted
from taskbound.core.clock import Instant, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.identity import UnknownIdentityError, require_active
from taskbound.core.identity.agent import OutsideGrantableError, reach_of
from taskbound.core.revocation import require_not_stopped
from taskbound.core.task import (
    ENDED,
    NoTaskError,
    Refunds,
    TaskEvent,
    TaskState,
    evidence_text,
    move_task,
    refunds,
    require_live,
)
from taskbound.core.task.values import MOST, await_grace, await_heartbeat, is_young, leave_unclaimed
from taskbound.flows.approval import end_of_tasks
from taskbound.flows.credential import end_credentials
from taskbound.flows.means import Actor, TaskChange

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taskbound.core.audit import Event
    from taskbound.core.identity import Agent
    from taskbound.core.identity.agent import Reach
    from taskbound.core.task import Heartbeat, Task
    from taskbound.core.task.values import Unclaimed
    from taskbound.flows.decision import Views
    from taskbound.flows.identity import Deliveries
    from taskbound.flows.means import Adapters
    from taskbound.ports.store import Snapshot, Transaction


def require_startable(
    snapshot: Snapshot, deliveries: Deliveries, namespace: str, agent: str, now: Instant
) -> Agent:
    require_not_stopped(snapshot.revocation.kill_switch(namespace))
    found = snapshot.identities.agent(namespace, agent)
    if found is None:
        raise UnknownIdentityError(f"no agent is named `{agent}`")
    require_active(found, snapshot.identities.persons(namespace))
    deliveries.require_current(found.monitor, now)
    return found


def require_unchanged(
    tx: Transaction, agent: Agent, person: str, reach: Reach, now: Instant, *, above: str = ""
) -> None:
    """Raises DeniedError unless agent, grantor, switch and `above` are, under lock, as they were."""
    require_not_stopped(tx.revocation.lock_kill_switch(agent.namespace))
    locked = tx.identities.lock_agents(agent.namespace, {agent.name, above or agent.name})
    if locked.get(agent.name) != agent.version:
        raise UnknownIdentityError(f"agent `{agent.name}` changed meanwhile", remedy="try again")
    persons, groups = tx.identities.lock_grantors(agent.namespace)
    if reach_of(person, persons, [one.at(now) for one in groups]) != reach:
        raise OutsideGrantableError(f"what `{person}` may grant changed meanwhile", remedy="try again")


def started(task: Task, actor: Actor, *, template: str, carved: Mapping[str, int]) -> TaskStarted:
    """Returns the event of a task's start; `carved` is what it took of its parent's limits."""
    return TaskStarted(
        task=task.id,
        agent=task.agent,
        requester=task.requester,
        purpose=task.purpose,
        scope=task.scope.digest,
        deadline=task.deadline,
        by=actor.name,
        proof=actor.proof,
        template=template,
        parent=task.parent,
        evidence=tuple(map(evidence_text, task.evidence)),
        learning=task.learning,
        carved=words(carved),
        heartbeat=task.heartbeat,
        grace=task.grace,
        holds=task.holds.value,
    )


def words(amounts: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(f"{limit}={amount}" for limit, amount in sorted(amounts.items()))


_NOTHING: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The ended tasks, the named one last, and their events; empty if it had ended before."""

    moved: list[TaskChange] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


def lock_tree(tx: Transaction, namespace: str, task: str) -> tuple[Task, ...]:
    """Locks the task and its descendants that have not ended; raises NoTaskError."""
    tree = tx.tasks.lock_tree(namespace, task)
    if not tree:
        raise NoTaskError(f"no task is named `{task}`", remedy="list them with `taskbound task list`")
    return tree


def lock_beneath_parent(tx: Transaction, namespace: str, task: str) -> tuple[Task | None, tuple[Task, ...]]:
    """Locks the parent first, as PostgreSQL numbers records by their transaction's first lock."""
    seen = tx.tasks.task(namespace, task)
    if seen is None or not seen.parent:
        return None, lock_tree(tx, namespace, task)
    above, *beneath = lock_tree(tx, namespace, seen.parent)
    tree = {one.id: one for one in beneath if one.id == task}
    for one in beneath:  # nearest first
        if one.parent in tree:
            tree[one.id] = one
    return above, tuple(tree.values()) or lock_tree(tx, namespace, task)  # it has ended


def end_tree(  # noqa: PLR0913 - how a tree ends, each by its name
    tx: Transaction,
    tree: Sequence[Task],
    event: TaskEvent,
    actor: Actor,
    *,
    now: Instant,
    reason: str,
    beneath: str = "",
) -> Ended:
    """`event` ends the first task; the others are revoked, for the reason `beneath` if given."""
    first = tree[0]
    if first.state in ENDED:
        return Ended()
    back = _give_back(tx, tree)
    ended = Ended()
    below = beneath or f"its ancestor {first.id} ended"
    for one in reversed(tree):
        how, why = (event, reason) if one is first else (TaskEvent.REVOKE, below)
        after = move_task(one, how)
        tx.tasks.put_task(after, expect=one.version)
        if one.heartbeat:
            tx.tasks.drop_heartbeat(one.namespace, one.id)
        returned = back.returned.get(one.id, _NOTHING)
        ended.events.append(changed_record(one, after, how, actor, why, returned=returned))
        ended.moved.append(moved(one, after.state, why))
    names = {one.id for one in tree}
    withdrawn = end_of_tasks(tx, first.namespace, names, reason="its task has ended", by=actor, now=now)
    ended.events.extend(withdrawn)
    ended.events.extend(end_credentials(tx, first.namespace, names, "its task has ended", now))
    return ended


def _give_back(tx: Transaction, tree: Sequence[Task]) -> Refunds:
    first = tree[0]
    if not first.parent and len(tree) == 1:
        return Refunds(left={}, returned={})
    above = tx.tasks.task(first.namespace, first.parent) if first.parent else None
    names = {one.id for one in tree} | ({above.id} if above else set())
    back = refunds(tree, above, tx.tasks.lock_remainders(first.namespace, names))
    tx.tasks.set_remainders(first.namespace, back.left)
    return back


def moved(task: Task, state: TaskState, reason: str) -> TaskChange:
    return TaskChange(namespace=task.namespace, task=task.id, state=state, reason=reason)


def changed_record(
    before: Task,
    after: Task,
    event: TaskEvent,
    actor: Actor,
    reason: str,
    *,
    returned: Mapping[str, int] = _NOTHING,
) -> TaskChanged:
    return TaskChanged(
        task=before.id,
        before=before.state.value,
        after=after.state.value,
        event=event.value,
        reason=reason,
        by=actor.name,
        proof=actor.proof,
        learning=before.learning,
        returned=words(returned),
    )


_ALL: Final = 10_000
_DUE: Final = 100
_HELD: Final = 1_000


class Watch:
    """The heartbeats of one daemon's tasks; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters, views: Views) -> None:
        self._adapters = adapters
        self._views = views

    def begin(self) -> None:
        now = self._adapters.clock.now()
        with self._adapters.store.read() as snapshot:
            rows = snapshot.tasks.overdue(Instant(now + seconds(MOST)), limit=_ALL)
        waiting: dict[str, list[str]] = {}
        for one in rows:
            if not one.missed:
                waiting.setdefault(one.namespace, []).append(one.task)
        self.hear(waiting, anew=True)

    def hear(self, bound: Mapping[str, Iterable[str]], *, anew: bool = False) -> None:
        """Refreshes the heartbeats of these tasks, by namespace; recent ones are not written again."""
        now = self._adapters.clock.now()
        late: list[Heartbeat] = []
        with self._adapters.store.read() as snapshot:
            for namespace, names in bound.items():
                for name, known in snapshot.tasks.heartbeats(namespace, sorted(set(names))).items():
                    task = snapshot.tasks.task(namespace, name)
                    if task is None or known.missed or (is_young(known, task, now) and not anew):
                        continue
                    fresh = await_heartbeat(task, now)
                    late += [fresh] if fresh is not None and fresh.due > known.due else []

        def work(tx: Transaction) -> None:
            for one in late:
                still = tx.tasks.heartbeats(one.namespace, [one.task]).get(one.task)
                if still is not None and not still.missed:
                    tx.tasks.put_heartbeat(one)

        if late:
            self._adapters.store.write(work)

    def look(self) -> list[TaskChange]:
        with self._adapters.store.read() as snapshot:
            due = snapshot.tasks.overdue(self._adapters.clock.now(), limit=_DUE)
        changed: list[TaskChange] = []
        for one in due:
            changed += self._adapters.store.write(partial(self._act, seen=one))
            self._views.forget_task(one.namespace, one.task)
        return changed

    def _act(self, tx: Transaction, seen: Heartbeat) -> list[TaskChange]:
        tree = lock_tree(tx, seen.namespace, seen.task)
        task, now = tree[0], self._adapters.clock.now()
        row = tx.tasks.heartbeats(seen.namespace, [seen.task]).get(seen.task)
        if row is None or row.due > now:
            return []
        match task.state, row.missed:
            case TaskState.PAUSED, True:
                why = "no client came back within its grace"
                ended = end_tree(tx, tree, TaskEvent.OVERSTAY_GRACE, _daemon(), now=now, reason=why)
                self._record(tx, task, ended.events)
                return ended.moved
            case TaskState.RUNNING, _:
                return self._wait(tx, tree, now)
            case _:
                tx.tasks.drop_heartbeat(task.namespace, task.id)  # ended, or paused by a person
                return []

    def _wait(self, tx: Transaction, tree: tuple[Task, ...], now: Instant) -> list[TaskChange]:
        task, *beneath = tree
        held = tx.actions.actions(task.namespace, task=task.id, decision="hold", limit=_HELD)
        fresh = await_heartbeat(task, now)
        if fresh is not None and any(one.state is ActionState.HELD for one in held):
            tx.tasks.put_heartbeat(fresh)
            return []
        after = move_task(task, TaskEvent.MISS_HEARTBEAT)
        tx.tasks.put_task(after, expect=task.version)
        tx.tasks.put_heartbeat(await_grace(task, now))
        reason = f"no client was connected for {task.heartbeat} seconds"
        event = changed_record(task, after, TaskEvent.MISS_HEARTBEAT, _daemon(), reason)
        names = {one.id for one in tree}
        over = end_credentials(tx, task.namespace, names, "its task is paused", now)
        self._record(tx, task, [event, *over])
        why = f"its ancestor {task.id} is {after.state.value}"
        below = [one for one in beneath if one.state is TaskState.RUNNING and one.state not in ENDED]
        return [*(moved(one, after.state, why) for one in below), moved(after, after.state, reason)]

    def _record(self, tx: Transaction, task: Task, events: list[Event]) -> None:
        tx.audit.append(task.namespace, self._adapters.writer, events, self._adapters.clock.now())


def _daemon() -> Actor:
    return Actor(name="daemon", proof="own process")


_WHY: Final = "no client claimed it within a minute"


def note_unclaimed(tx: Transaction, task: Task, now: Instant, *, unclaimed: bool) -> None:
    """Stores the note of a task that starts before its client is admitted."""
    if unclaimed:
        tx.unclaimed.put(leave_unclaimed(task, now))


def claim(tx: Transaction, namespace: str, task: str, now: Instant) -> None:
    require_live(task, tx.tasks.lock_heads(namespace, {task}), now)
    tx.unclaimed.drop(namespace, task)


def claim_task(adapters: Adapters, namespace: str, task: str) -> None:
    adapters.store.write(lambda tx: claim(tx, namespace, task, adapters.clock.now()))


def end_unclaimed(tx: Transaction, seen: Unclaimed, *, writer: str, now: Instant) -> list[TaskChange]:
    tree = lock_tree(tx, seen.namespace, seen.task)
    if tx.unclaimed.note(seen.namespace, seen.task) is None:
        return []
    tx.unclaimed.drop(seen.namespace, seen.task)
    if tree[0].state in ENDED:
        return []
    actor = Actor(name="daemon", proof="own process")
    ended = end_tree(tx, tree, TaskEvent.CANCEL, actor, now=now, reason=_WHY)
    tx.audit.append(seen.namespace, writer, ended.events, now)
    return ended.moved
