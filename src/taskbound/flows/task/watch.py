"""Watching whether somebody is still there for the tasks that declare a heartbeat (`core.task.heartbeat`).

1. Who is bound is told first, then what is due is looked at: a clock that jumped pauses nobody who is there.
2. What is due is read again under lock. A task with a held action is not paused; one that a person paused is
   not watched, and is watched anew when it is resumed.
3. A missed heartbeat pauses, a grace that is over ends; both are the daemon's own acts, in the log as such.
4. A daemon that starts waits for each heartbeat anew, since it could hear none before.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.action import ActionState
from taskbound.core.clock import Instant, seconds
from taskbound.core.task import ENDED, TaskEvent, TaskState, move_task
from taskbound.core.task.heartbeat import MOST, await_grace, await_heartbeat, is_young
from taskbound.flows.credential import end_credentials
from taskbound.flows.means import Actor
from taskbound.flows.task.cascade import changed_record, end_tree, lock_tree, moved

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.audit import Event
    from taskbound.core.task import Heartbeat, Task
    from taskbound.flows.decision import Views
    from taskbound.flows.means import Means, Moved
    from taskbound.ports.store import Transaction


_ALL: Final = 10_000
_DUE: Final = 100
_HELD: Final = 1_000


class Watch:
    """The heartbeats of one daemon's tasks; used from one thread at a time."""

    def __init__(self, means: Means, views: Views) -> None:
        """Keep what to work with."""
        self._means = means
        self._views = views

    def begin(self) -> None:
        """Wait for every heartbeat anew (rule 4)."""
        now = self._means.clock.now()
        with self._means.store.read() as snapshot:
            rows = snapshot.tasks.overdue(Instant(now + seconds(MOST)), limit=_ALL)
        waiting: dict[str, list[str]] = {}
        for one in rows:
            if not one.missed:
                waiting.setdefault(one.namespace, []).append(one.task)
        self.hear(waiting, anew=True)

    def hear(self, bound: Mapping[str, Iterable[str]], *, anew: bool = False) -> None:
        """Somebody is there for these tasks, by namespace; what is young need not be written again."""
        now = self._means.clock.now()
        late: list[Heartbeat] = []
        with self._means.store.read() as snapshot:
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
            self._means.store.write(work)

    def look(self) -> list[Moved]:
        """Pause what missed its heartbeat, and end what overstayed its grace; what changed."""
        with self._means.store.read() as snapshot:
            due = snapshot.tasks.overdue(self._means.clock.now(), limit=_DUE)
        changed: list[Moved] = []
        for one in due:
            changed += self._means.store.write(partial(self._act, seen=one))
            self._views.forget_task(one.namespace, one.task)
        return changed

    def _act(self, tx: Transaction, seen: Heartbeat) -> list[Moved]:
        tree = lock_tree(tx, seen.namespace, seen.task)
        task, now = tree[0], self._means.clock.now()
        row = tx.tasks.heartbeats(seen.namespace, [seen.task]).get(seen.task)
        if row is None or row.due > now:
            return []
        match task.state, row.missed:
            case TaskState.PAUSED, True:
                why = "nobody came back within its grace"
                ended = end_tree(tx, tree, TaskEvent.OVERSTAY_GRACE, _daemon(), now=now, reason=why)
                self._record(tx, task, ended.events)
                return ended.moved
            case TaskState.RUNNING, _:
                return self._wait(tx, tree, now)
            case _:
                tx.tasks.drop_heartbeat(task.namespace, task.id)  # ended, or paused by a person: rule 2
                return []

    def _wait(self, tx: Transaction, tree: tuple[Task, ...], now: Instant) -> list[Moved]:
        task, *beneath = tree
        held = tx.actions.actions(task.namespace, task=task.id, decision="hold", limit=_HELD)
        fresh = await_heartbeat(task, now)
        if fresh is not None and any(one.state is ActionState.HELD for one in held):
            tx.tasks.put_heartbeat(fresh)
            return []
        after = move_task(task, TaskEvent.MISS_HEARTBEAT)
        tx.tasks.put_task(after, expect=task.version)
        tx.tasks.put_heartbeat(await_grace(task, now))
        reason = f"nobody was there for {task.heartbeat} seconds"
        event = changed_record(task, after, TaskEvent.MISS_HEARTBEAT, _daemon(), reason)
        names = {one.id for one in tree}
        over = end_credentials(tx, task.namespace, names, "its task is paused", now)
        self._record(tx, task, [event, *over])
        why = f"its ancestor {task.id} is {after.state.value}"
        below = [one for one in beneath if one.state is TaskState.RUNNING and one.state not in ENDED]
        return [*(moved(one, after.state, why) for one in below), moved(after, after.state, reason)]

    def _record(self, tx: Transaction, task: Task, events: list[Event]) -> None:
        tx.audit.append(task.namespace, self._means.writer, events, self._means.clock.now())


def _daemon() -> Actor:
    return Actor(name="daemon", proof="own process")
