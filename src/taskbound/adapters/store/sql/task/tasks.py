"""Tasks, templates, remainders, runs, heartbeats and unclaimed tasks in SQL."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, insert, select, tuple_

from taskbound.adapters.store.sql.record import FLAG, SCOPE, Form, Record, enum, reader
from taskbound.adapters.store.sql.rows import (
    Statement,
    TableGroup,
    given,
    json_texts,
    look_up,
    one_of,
    read_base,
    read_shares,
    read_spent,
    read_texts,
    write_base,
    write_shares,
    write_spent,
)
from taskbound.adapters.store.sql.schema import remainders, tasks, templates
from taskbound.core.task import Heartbeat, Holds, Task, TaskHead, TaskState, Template
from taskbound.core.task.evidence import evidence_text, read_evidence
from taskbound.core.task.values import Unclaimed
from taskbound.ports.task import Run

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.clock import Instant


_SPACE, _ID, _NAME = given("namespace"), given("id"), given("name")
_TASK: Final = Statement(select(tasks).where(tasks.c.namespace == _SPACE, tasks.c.id == _ID))
_TEMPLATE: Final = Statement(
    select(templates).where(templates.c.namespace == _SPACE, templates.c.name == _NAME)
)
_TEMPLATES: Final = Statement(
    select(templates).where(templates.c.namespace == _SPACE).order_by(templates.c.name)
)
_DROP_TEMPLATE: Final = Statement(
    delete(templates).where(templates.c.namespace == _SPACE, templates.c.name == _NAME)
)
_EVIDENCE: Final = "SELECT token FROM task_evidence WHERE namespace = ? AND digest = ?"
_KEEP_EVIDENCE: Final = (
    "INSERT INTO task_evidence (namespace, digest, token) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
)
_OPEN_LIMIT: Final = Statement(insert(remainders))

COLUMNS: Final = ", ".join(f"t.{one.name}" for one in tasks.columns)
_ALIVE: Final = "state IN ('proposed', 'running', 'paused')"
_DUE: Final = (
    f"SELECT {COLUMNS} FROM tasks t"  # noqa: S608  # our own columns
    f" WHERE deadline <= ? AND {_ALIVE} ORDER BY deadline, id LIMIT ?"
)
_CHILDREN: Final = f"""
    WITH RECURSIVE down (id, depth) AS (
        SELECT id, 1 FROM tasks WHERE namespace = ?1 AND parent = ?2 AND parent <> ''
        UNION
        SELECT t.id, depth + 1 FROM down JOIN tasks t ON t.namespace = ?1 AND t.parent = down.id
        WHERE t.parent <> '' AND depth < 64
    )
    SELECT {COLUMNS} FROM down JOIN tasks t ON t.namespace = ?1 AND t.id = down.id
    WHERE t.{_ALIVE} ORDER BY depth, t.started, t.id
"""  # noqa: S608  # our own columns
_LINEAGE: Final = f"""
    WITH RECURSIVE up (id, depth) AS (
        SELECT id, 0 FROM tasks WHERE namespace = ?1 AND id = ?2
        UNION
        SELECT t.parent, depth + 1 FROM up JOIN tasks t ON t.namespace = ?1 AND t.id = up.id
        WHERE t.parent <> '' AND depth < 64
    )
    SELECT {COLUMNS} FROM up JOIN tasks t ON t.namespace = ?1 AND t.id = up.id ORDER BY depth
"""  # noqa: S608  # our own columns
_TREE: Final = f"""
    SELECT {COLUMNS} FROM tasks t WHERE namespace = ?1 AND root = ?2 AND parent <> ''
    UNION ALL SELECT {COLUMNS} FROM tasks t WHERE namespace = ?1 AND id = ?2 AND root = ?2 AND parent = ''
"""  # noqa: S608  # our own columns
_OVERDUE: Final = (
    "SELECT namespace, task, due, missed FROM heartbeats WHERE due <= ? ORDER BY due, namespace, task LIMIT ?"
)
_HEARTBEATS: Final = (
    "SELECT namespace, task, due, missed FROM heartbeats"
    " WHERE namespace = ? AND task IN (SELECT value FROM json_each(?))"
)
_PUT_HEARTBEAT: Final = (
    "INSERT INTO heartbeats (namespace, task, due, missed) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (namespace, task) DO UPDATE SET due = excluded.due, missed = excluded.missed"
)
_DROP_HEARTBEAT: Final = "DELETE FROM heartbeats WHERE namespace = ? AND task = ?"
_CLOSE: Final = "DELETE FROM remainders WHERE namespace = ? AND task = ?"
_HEADS: Final = """
    WITH RECURSIVE up (id) AS (
        SELECT value FROM json_each(?2)
        UNION
        SELECT t.parent FROM up JOIN tasks t ON t.namespace = ?1 AND t.id = up.id WHERE t.parent <> ''
    )
    SELECT t.namespace, t.id, t.agent, t.parent, t.state, t.deadline, t.version
    FROM up JOIN tasks t ON t.namespace = ?1 AND t.id = up.id
"""
_LEFT: Final = (
    "SELECT task, name, remaining FROM remainders"
    " WHERE namespace = ? AND task IN (SELECT value FROM json_each(?)) ORDER BY task, name"
)
_TAKE: Final = (
    "UPDATE remainders SET remaining = ? WHERE namespace = ? AND task = ? AND name = ? AND remaining = ?"
)
_COUNT: Final = "SELECT count(*) FROM tasks WHERE namespace = ? AND state = ?"
_COUNT_LEARNING: Final = f"{_COUNT} AND learning = 1"
_ACCOUNTS: Final = (
    "SELECT DISTINCT uid FROM task_accounts WHERE namespace = ? AND task IN (SELECT value FROM json_each(?))"
)
_KEEP_ACCOUNT: Final = (
    "INSERT INTO task_accounts (namespace, task, uid) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
)
_PUT_RUN: Final = (
    "INSERT INTO runs (namespace, boot, pid, started, task) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (namespace, boot, pid, started) DO UPDATE SET task = excluded.task"
)
_RUNS: Final = f"""
    SELECT r.namespace, r.task, r.boot, r.pid, r.started FROM runs r
    JOIN tasks t ON t.namespace = r.namespace AND t.id = r.task
    WHERE r.namespace = ? AND r.boot = ? AND t.{_ALIVE} ORDER BY r.pid, r.started
"""  # noqa: S608  # our own constants
_REGISTERED: Final = (
    "SELECT namespace, task, boot, pid, started FROM runs WHERE boot = ? ORDER BY namespace, pid, started"
)
_OF_RUNS: Final = (
    "SELECT DISTINCT task FROM runs WHERE namespace = ? AND task IN (SELECT value FROM json_each(?))"
)


TASK_ROW: Final = Record(
    tasks,
    Task,
    "task",
    evidence=Form(
        lambda column: tuple(map(read_evidence, read_texts(column))),
        lambda evidence: json_texts(tuple(map(evidence_text, evidence))),
    ),
    scope=SCOPE,
    state=enum(TaskState),
    learning=FLAG,
    base=Form(read_base, write_base),
    shares=Form(read_shares, write_shares),
    holds=enum(Holds),
    over=Form(read_base, write_base),
    spent=Form(read_spent, write_spent),
    for_token=FLAG,
)
_TEMPLATE_ROW: Final = Record(templates, Template, "template", scope=SCOPE, holds=enum(Holds))
read_head: Final = reader("namespace id agent parent state deadline version", TaskHead, state=enum(TaskState))
_read_heartbeat: Final = reader("namespace task due missed", Heartbeat, missed=FLAG)
_read_run: Final = reader("namespace task boot pid started", Run)
_read_unclaimed: Final = reader("namespace task until", Unclaimed)


class SqlTasks(TableGroup):
    """Tasks."""

    __slots__ = ()

    def task(self, namespace: str, task: str) -> Task | None:
        return self._link.one(TASK_ROW.read, _TASK.text, _TASK.values(namespace=namespace, id=task))

    def tasks(
        self,
        namespace: str,
        *,
        agent: str = "",
        states: Collection[TaskState] = (),
        limit: int = 50,
        before: str = "",
    ) -> tuple[Task, ...]:
        """Returns tasks, newest first."""
        page = _page(bool(agent), min(len(states), 2), bool(before))
        values = page.values(
            namespace=namespace,
            agent=agent,
            state="".join(one.value for one in states),
            states=json_texts(sorted(one.value for one in states)),
            limit=limit,
            before=before,
        )
        return self._link.all(TASK_ROW.read, page.text, values)

    def due(self, now: Instant, *, limit: int = 100) -> tuple[Task, ...]:
        """Returns tasks of any namespace that passed their deadline and have not ended, oldest first."""
        return self._link.all(TASK_ROW.read, _DUE, (now, limit))

    def heads(self, namespace: str, tasks: Collection[str]) -> Mapping[str, TaskHead]:
        found = self._link.all(read_head, _HEADS, (namespace, json_texts(tuple(tasks))))
        return {one.id: one for one in found}

    def children(self, namespace: str, task: str) -> tuple[Task, ...]:
        return self._link.all(TASK_ROW.read, _CHILDREN, (namespace, task))

    def lineage(self, namespace: str, task: str) -> tuple[Task, ...]:
        found = self._link.all(TASK_ROW.read, _LINEAGE, (namespace, task))
        return tuple({one.id: one for one in found}.values())

    def tree(self, namespace: str, root: str) -> tuple[Task, ...]:
        found = self._link.all(TASK_ROW.read, _TREE, (namespace, root))
        return tuple(sorted(found, key=lambda one: (one.started, one.id)))

    def overdue(self, now: Instant, *, limit: int = 100) -> tuple[Heartbeat, ...]:
        """Returns missed heartbeats of any namespace, oldest first."""
        return self._link.all(_read_heartbeat, _OVERDUE, (now, limit))

    def heartbeats(self, namespace: str, tasks: Collection[str]) -> Mapping[str, Heartbeat]:
        found = self._link.all(_read_heartbeat, _HEARTBEATS, (namespace, json_texts(tuple(tasks))))
        return {one.task: one for one in found}

    def remainders(self, namespace: str, task: str) -> Mapping[str, int]:
        return self.lock_remainders(namespace, (task,))[task]

    def count(self, namespace: str, state: TaskState, *, learning: bool = False) -> int:
        """Returns how many tasks are in this state; with `learning`, only learning ones."""
        return self._link.whole(_COUNT_LEARNING if learning else _COUNT, (namespace, state.value))

    def templates(self, namespace: str) -> tuple[Template, ...]:
        return self._link.all(_TEMPLATE_ROW.read, _TEMPLATES.text, _TEMPLATES.values(namespace=namespace))

    def template(self, namespace: str, name: str) -> Template | None:
        return self._link.one(
            _TEMPLATE_ROW.read, _TEMPLATE.text, _TEMPLATE.values(namespace=namespace, name=name)
        )

    def evidence(self, namespace: str, digest: str) -> str:
        return self._link.one(str, _EVIDENCE, (namespace, digest)) or ""

    def accounts(self, namespace: str, tasks: Collection[str]) -> frozenset[int]:
        return frozenset(self._link.all(int, _ACCOUNTS, (namespace, json_texts(tuple(tasks)))))

    def runs(self, namespace: str, boot: str) -> tuple[Run, ...]:
        return self._link.all(_read_run, _RUNS, (namespace, boot))

    def registered(self, boot: str) -> tuple[Run, ...]:
        return self._link.all(_read_run, _REGISTERED, (boot,))

    def of_runs(self, namespace: str, tasks: Collection[str]) -> frozenset[str]:
        return frozenset(self._link.all(str, _OF_RUNS, (namespace, json_texts(tuple(tasks)))))

    def lock_heads(self, namespace: str, tasks: Collection[str]) -> Mapping[str, TaskHead]:
        known = self._link.known
        if known is None:
            return self.heads(namespace, tasks)

        def read(missing: Collection[str]) -> Mapping[str, tuple[TaskHead, ...]]:
            heads = self.heads(namespace, missing)
            return {one: _line(one, heads) for one in missing if one in heads}

        lines = look_up(known.tasks, namespace, tasks, read)
        return {head.id: head for line in lines.values() for head in line}

    def lock_tree(self, namespace: str, task: str) -> tuple[Task, ...]:
        found = self.task(namespace, task)
        return (found, *self.children(namespace, task)) if found is not None else ()

    def lock_remainders(self, namespace: str, tasks: Collection[str]) -> Mapping[str, Mapping[str, int]]:
        known = self._link.known

        def read(missing: Collection[str]) -> Mapping[str, dict[str, int]]:
            left: dict[str, dict[str, int]] = {task: {} for task in missing}
            for task, name, amount in self._link.all(
                read_limit, _LEFT, (namespace, json_texts(tuple(missing)))
            ):
                left[task][name] = amount
            return left

        if known is None:
            return read(tasks)
        found = look_up(known.remainders, namespace, tasks, read)
        return {task: dict(limits) for task, limits in found.items()}

    def put_task(self, task: Task, *, expect: int) -> None:
        TASK_ROW.put(self._link, task, expect)

    def open_limits(self, namespace: str, task: str, limits: Mapping[str, int]) -> None:
        rows = [
            _OPEN_LIMIT.values(namespace=namespace, task=task, name=name, remaining=amount)
            for name, amount in limits.items()
        ]
        self._link.change_many(_OPEN_LIMIT.text, rows)

    def close_limits(self, namespace: str, task: str) -> None:
        self._link.change(_CLOSE, (namespace, task))

    def put_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Stores the heartbeat that the task must send."""
        values = (heartbeat.namespace, heartbeat.task, heartbeat.due, int(heartbeat.missed))
        self._link.change(_PUT_HEARTBEAT, values)

    def drop_heartbeat(self, namespace: str, task: str) -> None:
        self._link.change(_DROP_HEARTBEAT, (namespace, task))

    def set_remainders(self, namespace: str, changes: Mapping[tuple[str, str], tuple[int, int]]) -> None:
        """Changes remainders: by (task, limit), the expected and the new amount."""
        rows = [(after, namespace, task, name, before) for (task, name), (before, after) in changes.items()]
        if rows and self._link.change_many(_TAKE, rows, told=True) != len(rows):
            self._link.conflict("what is left of a limit")
        known = self._link.known
        if known is None:
            return
        for (task, name), (_, after) in changes.items():
            limits = known.remainders.get((namespace, task))
            if limits is not None:
                limits[name] = after

    def put_template(self, template: Template, *, expect: int) -> None:
        _TEMPLATE_ROW.put(self._link, template, expect)

    def drop_template(self, namespace: str, name: str) -> None:
        self._link.change(_DROP_TEMPLATE.text, _DROP_TEMPLATE.values(namespace=namespace, name=name))

    def keep_evidence(self, namespace: str, digest: str, token: str) -> None:
        self._link.change(_KEEP_EVIDENCE, (namespace, digest, token))

    def keep_account(self, namespace: str, task: str, uid: int) -> None:
        self._link.change(_KEEP_ACCOUNT, (namespace, task, uid))

    def put_run(self, run: Run) -> None:
        self._link.change(_PUT_RUN, (run.namespace, run.boot, run.pid, run.started, run.task))


@cache
def _page(agent: bool, states: int, before: bool) -> Statement:  # noqa: FBT001  # which filters there are
    """Builds one statement per set of filters, so that each uses its own index."""
    query = select(tasks).where(tasks.c.namespace == _SPACE)
    if agent:
        query = query.where(tasks.c.agent == given("agent"))
    if states == 1:
        query = query.where(tasks.c.state == given("state"))
    elif states:
        query = query.where(tasks.c.state.in_(one_of("states")))
    if before:
        last = select(tasks.c.started).where(tasks.c.namespace == _SPACE, tasks.c.id == given("before"))
        query = query.where(
            tuple_(tasks.c.started, tasks.c.id) < tuple_(last.scalar_subquery(), given("before"))
        )
    return Statement(query.order_by(tasks.c.started.desc(), tasks.c.id.desc()).limit(given("limit")))


def _line(task: str, heads: Mapping[str, TaskHead]) -> tuple[TaskHead, ...]:
    """Stops at a task seen before, so that a row with a descendant as its parent can't loop."""
    line: dict[str, TaskHead] = {}
    while task in heads and task not in line:
        line[task] = heads[task]
        task = heads[task].parent
    return tuple(line.values())


def read_limit(task: str, name: str, amount: int) -> tuple[str, str, int]:
    return task, name, amount


_UNCLAIMED_DUE: Final = (
    "SELECT namespace, task, until FROM unclaimed_tasks WHERE until <= ?"
    " ORDER BY until, namespace, task LIMIT ?"
)
_NOTE: Final = "SELECT namespace, task, until FROM unclaimed_tasks WHERE namespace = ? AND task = ?"
_PUT: Final = "INSERT INTO unclaimed_tasks (namespace, task, until) VALUES (?, ?, ?)"
_DROP: Final = "DELETE FROM unclaimed_tasks WHERE namespace = ? AND task = ?"


class SqlUnclaimed(TableGroup):
    """Notes on tasks that no connection has claimed yet."""

    __slots__ = ()

    def due(self, now: Instant, *, limit: int = 100) -> tuple[Unclaimed, ...]:
        """Returns due notes, oldest first."""
        return self._link.all(_read_unclaimed, _UNCLAIMED_DUE, (now, limit))

    def note(self, namespace: str, task: str) -> Unclaimed | None:
        return self._link.one(_read_unclaimed, _NOTE, (namespace, task))

    def put(self, note: Unclaimed) -> None:
        self._link.change(_PUT, (note.namespace, note.task, note.until))

    def drop(self, namespace: str, task: str) -> None:
        self._link.change(_DROP, (namespace, task))
