"""Tasks, templates, remainders and runs, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.task import ENDED
from taskbound.ports.store import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.core.clock import Instant
    from taskbound.core.task import Heartbeat, Task, TaskHead, TaskState, Template
    from taskbound.ports.task import Run

__all__ = ["MemoryTasks"]


class MemoryTasks:
    """Reads tasks of a snapshot, and writes them in a transaction."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def task(self, namespace: str, task: str) -> Task | None:
        """The task of this id."""
        return self._tables.live().tasks.get((namespace, task))

    def tasks(
        self,
        namespace: str,
        *,
        agent: str = "",
        states: Collection[TaskState] = (),
        limit: int = 50,
        before: str = "",
    ) -> tuple[Task, ...]:
        """Tasks, newest first."""
        last = self.task(namespace, before) if before else None
        if before and last is None:
            return ()
        found = [
            one
            for one in self._tables.live().tasks.values()
            if one.namespace == namespace
            and (not agent or one.agent == agent)
            and (not states or one.state in states)
            and (last is None or _age(one) < _age(last))
        ]
        return tuple(sorted(found, key=_age, reverse=True)[:limit])

    def due(self, now: Instant, *, limit: int = 100) -> tuple[Task, ...]:
        """Tasks of any namespace, not ended, whose deadline has come: oldest first."""
        found = [
            one
            for one in self._tables.live().tasks.values()
            if one.state not in ENDED and one.deadline <= now
        ]
        return tuple(sorted(found, key=lambda one: (one.deadline, one.id))[:limit])

    def heads(self, namespace: str, tasks: Collection[str]) -> Mapping[str, TaskHead]:
        """The heads of these tasks and all their ancestors, by id."""
        heads: dict[str, TaskHead] = {}
        for wanted in tasks:
            found = self.task(namespace, wanted)
            while found is not None and found.id not in heads:
                heads[found.id] = found.head
                found = self.task(namespace, found.parent) if found.parent else None
        return heads

    def children(self, namespace: str, task: str) -> tuple[Task, ...]:
        """All descendants that are not ended, nearest first."""
        by_parent: dict[str, list[Task]] = {}
        for one in self._tables.live().tasks.values():
            if one.namespace == namespace and one.parent:
                by_parent.setdefault(one.parent, []).append(one)
        found: list[Task] = []
        generation = by_parent.get(task, [])
        while generation and len(found) < self._tables.tasks.count():
            found += sorted(generation, key=_age)
            generation = [child for one in generation for child in by_parent.get(one.id, [])]
        return tuple(one for one in found if one.state not in ENDED)

    def lineage(self, namespace: str, task: str) -> tuple[Task, ...]:
        """The task and all its ancestors, nearest first."""
        line: dict[str, Task] = {}
        found = self.task(namespace, task)
        while found is not None and found.id not in line:
            line[found.id] = found
            found = self.task(namespace, found.parent) if found.parent else None
        return tuple(line.values())

    def tree(self, namespace: str, root: str) -> tuple[Task, ...]:
        """Every task of the tree, in the order of their start."""
        found = [
            one
            for one in self._tables.live().tasks.values()
            if one.namespace == namespace and one.root == root and (one.parent or one.id == root)
        ]
        return tuple(sorted(found, key=_age))

    def overdue(self, now: Instant, *, limit: int = 100) -> tuple[Heartbeat, ...]:
        """Heartbeats of any namespace that were due: oldest first."""
        found = [one for one in self._tables.live().heartbeats.values() if one.due <= now]
        return tuple(sorted(found, key=lambda one: (one.due, one.namespace, one.task))[:limit])

    def heartbeats(self, namespace: str, tasks: Collection[str]) -> Mapping[str, Heartbeat]:
        """By task: what of these tasks is waited for."""
        rows = self._tables.live().heartbeats
        found = {task: rows.get((namespace, task)) for task in tasks}
        return {task: one for task, one in found.items() if one is not None}

    def remainders(self, namespace: str, task: str) -> Mapping[str, int]:
        """What is left of each limit, by the limit's name."""
        return dict(self._tables.live().remainders.get((namespace, task)) or {})

    def count(self, namespace: str, state: TaskState, *, learning: bool = False) -> int:
        """How many tasks are in this state; of those to learn from, if asked so."""
        tasks = [one for one in self._tables.live().tasks.values() if one.namespace == namespace]
        return sum(one.state is state and one.learning >= learning for one in tasks)

    def templates(self, namespace: str) -> tuple[Template, ...]:
        """Every template, by name."""
        found = [one for one in self._tables.live().templates.values() if one.namespace == namespace]
        return tuple(sorted(found, key=lambda one: one.name))

    def template(self, namespace: str, name: str) -> Template | None:
        """The template of this name."""
        return self._tables.live().templates.get((namespace, name))

    def evidence(self, namespace: str, digest: str) -> str:
        """The signed token that has this digest; empty when none was kept."""
        return self._tables.live().evidence.get((namespace, digest)) or ""

    def accounts(self, namespace: str, tasks: Collection[str]) -> frozenset[int]:
        """The accounts under which the agent has run for any of these tasks."""
        found = self._tables.live().task_accounts.values()
        return frozenset(uid for space, task, uid in found if space == namespace and task in tasks)

    def runs(self, namespace: str, boot: str) -> tuple[Run, ...]:
        """Every registered run of this boot whose task has not ended."""
        found = [
            one
            for one in self._tables.live().runs.values()
            if one.namespace == namespace and one.boot == boot and self._alive(one)
        ]
        return tuple(sorted(found, key=lambda one: (one.pid, one.started)))

    def registered(self, boot: str) -> tuple[Run, ...]:
        """Every run of this boot, in any namespace, whatever became of its task."""
        found = [one for one in self._tables.live().runs.values() if one.boot == boot]
        return tuple(sorted(found, key=lambda one: (one.namespace, one.pid, one.started)))

    def of_runs(self, namespace: str, tasks: Collection[str]) -> frozenset[str]:
        """Those of these tasks that a run is registered for."""
        found = self._tables.live().runs.values()
        return frozenset(one.task for one in found if one.namespace == namespace and one.task in tasks)

    def lock_heads(self, namespace: str, tasks: Collection[str]) -> Mapping[str, TaskHead]:
        """As `heads`; the transaction holds the one lock there is."""
        return self.heads(namespace, tasks)

    def lock_tree(self, namespace: str, task: str) -> tuple[Task, ...]:
        """The task and all beneath it that is not ended; the transaction holds the one lock there is."""
        found = self.task(namespace, task)
        return (found, *self.children(namespace, task)) if found is not None else ()

    def lock_remainders(self, namespace: str, tasks: Collection[str]) -> Mapping[str, Mapping[str, int]]:
        """By task: what is left of each limit."""
        return {task: self.remainders(namespace, task) for task in tasks}

    def put_task(self, task: Task, *, expect: int) -> None:
        """Write the task."""
        now = self.task(task.namespace, task.id)
        if (now.version if now else 0) != expect:
            self._tables.conflict(f"task `{task.id}`")
        self._tables.tasks.put((task.namespace, task.id), task)

    def open_limits(self, namespace: str, task: str, limits: Mapping[str, int]) -> None:
        """Write the limits of a new task."""
        now = dict(self.remainders(namespace, task))
        if not now.keys().isdisjoint(limits):
            self._tables.conflict("a limit")
        self._keep(namespace, task, {**now, **limits})

    def close_limits(self, namespace: str, task: str) -> None:
        """Take the limits of a task away."""
        self._tables.live().remainders.put((namespace, task), None)

    def put_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Wait for this of the task."""
        self._tables.live().heartbeats.put((heartbeat.namespace, heartbeat.task), heartbeat)

    def drop_heartbeat(self, namespace: str, task: str) -> None:
        """Wait for nothing of this task."""
        self._tables.live().heartbeats.put((namespace, task), None)

    def set_remainders(self, namespace: str, changes: Mapping[tuple[str, str], tuple[int, int]]) -> None:
        """By (task, limit): from what it must be to what it becomes."""
        for (task, limit), (before, after) in changes.items():
            now = dict(self.remainders(namespace, task))
            if now.get(limit) != before:
                self._tables.conflict("what is left of a limit")
            self._keep(namespace, task, {**now, limit: after})

    def put_template(self, template: Template, *, expect: int) -> None:
        """Write the template."""
        now = self.template(template.namespace, template.name)
        if (now.version if now else 0) != expect:
            self._tables.conflict(f"template `{template.name}`")
        self._tables.templates.put((template.namespace, template.name), template)

    def drop_template(self, namespace: str, name: str) -> None:
        """Forget the template."""
        self._tables.live().templates.put((namespace, name), None)

    def keep_evidence(self, namespace: str, digest: str, token: str) -> None:
        """Keep the token under its digest."""
        self._tables.live().evidence.put((namespace, digest), token)

    def keep_account(self, namespace: str, task: str, uid: int) -> None:
        """Keep that the agent ran under this account."""
        self._tables.live().task_accounts.put((namespace, task, uid), (namespace, task, uid))

    def put_run(self, run: Run) -> None:
        """Register a run."""
        self._tables.live().runs.put((run.namespace, run.boot, run.pid, run.started), run)

    def _keep(self, namespace: str, task: str, limits: dict[str, int]) -> None:
        if min(limits.values(), default=0) < 0:
            raise StoreUnavailableError("a limit can't have less than nothing left")
        self._tables.remainders.put((namespace, task), limits)

    def _alive(self, run: Run) -> bool:
        task = self.task(run.namespace, run.task)
        return task is not None and task.state not in ENDED


def _age(task: Task) -> tuple[int, str]:
    return task.started, task.id
