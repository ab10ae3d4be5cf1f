"""Tasks, amendments and approvals in PostgreSQL.

1. Locks are taken in id order, trees from the root down: nothing begins below a locked task. Decisions share
   a task's row and a revocation waits for them. The server breaks off a transaction in the opposite order,
   and the store runs it again.
2. Ancestors never change, so they are read without a lock. Open amendments and approvals stay locked until
   commit: a denial, expiry or answer sees the new state.
3. A plan is locked before its steps: using a step, answering and ending the plan exclude each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.postgres.server.link import write_texts, write_wholes
from taskbound.adapters.store.sql.approval import (
    ANSWER_COLUMNS,
    PLAN_COLUMNS,
    SqlApprovals,
    read_answer,
    read_approval,
    read_plan,
)
from taskbound.adapters.store.sql.approval import COLUMNS as APPROVAL_COLUMNS
from taskbound.adapters.store.sql.rows import read_texts
from taskbound.adapters.store.sql.task import COLUMNS as TASK_COLUMNS
from taskbound.adapters.store.sql.task import TASK_ROW, SqlTasks, read_head, read_limit
from taskbound.adapters.store.sql.task.amendment import COLUMNS, SqlAmendments, read_amendment
from taskbound.core.task import ENDED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.core.approval import Answer
    from taskbound.core.task import Task, TaskHead
    from taskbound.ports.approval import StoredApproval, StoredPlan
    from taskbound.ports.task import StoredAmendment


_LOCK: Final = f"SELECT {COLUMNS} FROM amendments a WHERE a.namespace = $1"  # noqa: S608  # our own columns
_LOCK_OPEN: Final = f"""{_LOCK} AND a.task = ANY($2::text[]) AND a.state = 'pending'
    ORDER BY a.id FOR NO KEY UPDATE OF a
"""
_ANSWERS: Final = """
    SELECT amendment, kind, person, person_key, at, received, statement, signature FROM amendment_answers
    WHERE namespace = $1 AND amendment = ANY($2::text[]) ORDER BY received, person, kind
"""


class PostgresAmendments(SqlAmendments):
    """Amendments in PostgreSQL."""

    __slots__ = ()
    _link: PostgresLink

    def lock_open(self, namespace: str, tasks: Collection[str]) -> tuple[StoredAmendment, ...]:
        """Returns these tasks' open amendments, locked in id order."""
        values = (namespace, write_texts(sorted(tasks)))
        return self._whole(self._link.locked(read_amendment, _LOCK_OPEN, values))

    def _answers(self, namespace: str, ids: str) -> Iterable[tuple[str, Answer]]:
        """Reads without a lock: adding an answer requires the lock on the amendment, which is held."""
        return self._link.locked(read_answer, _ANSWERS, (namespace, write_texts(read_texts(ids))))


_HEADS: Final = """
    WITH RECURSIVE up (id) AS (
        SELECT n.id COLLATE "C" FROM unnest($2::text[]) AS n (id)
        UNION
        SELECT t.parent FROM up CROSS JOIN LATERAL (
            SELECT parent FROM tasks WHERE namespace = $1 AND id = up.id AND parent <> '' LIMIT 1
        ) AS t
    )
    SELECT t.* FROM (SELECT id FROM up ORDER BY id) AS asked CROSS JOIN LATERAL (
        SELECT namespace, id, agent, parent, state, deadline, version FROM tasks
        WHERE namespace = $1 AND id = asked.id {lock}
    ) AS t
"""
_SEE_HEADS: Final = _HEADS.format(lock="LIMIT 1")
_LOCK_HEADS: Final = _HEADS.format(lock="FOR SHARE")
_LOCK_TASK: Final = (
    f"SELECT {TASK_COLUMNS} FROM tasks t WHERE namespace = $1 AND id = $2"  # noqa: S608  # our own columns
    " FOR NO KEY UPDATE"
)
_LOCK_CHILDREN: Final = f"""
    SELECT {TASK_COLUMNS} FROM tasks t
    WHERE namespace = $1 AND parent = ANY($2::text[]) AND parent <> '' ORDER BY id FOR NO KEY UPDATE
"""  # noqa: S608  # our own columns
_LOCK_LEFT: Final = """
    SELECT r.* FROM unnest($2::text[]) AS asked (task) CROSS JOIN LATERAL (
        SELECT task, name, remaining FROM remainders
        WHERE namespace = $1 AND task = asked.task ORDER BY name FOR NO KEY UPDATE
    ) AS r
"""
_TAKE: Final = """
    UPDATE remainders r SET remaining = n.after
    FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[]) AS n (task, name, before, after)
    WHERE r.ctid = ANY(ARRAY(
        SELECT x.ctid FROM unnest($2::text[], $3::text[]) AS asked (task, name) CROSS JOIN LATERAL (
            SELECT ctid FROM remainders
            WHERE namespace = $1 AND task = asked.task AND name = asked.name LIMIT 1
        ) AS x
    )) AND r.namespace = $1 AND r.task = n.task AND r.name = n.name AND r.remaining = n.before
"""
_OPEN: Final = """
    INSERT INTO remainders (namespace, task, name, remaining)
    SELECT $1, $2, n.name, n.remaining FROM unnest($3::text[], $4::bigint[]) AS n (name, remaining)
"""


class PostgresTasks(SqlTasks):
    """Tasks in PostgreSQL."""

    __slots__ = ()
    _link: PostgresLink

    def remainders(self, namespace: str, task: str) -> Mapping[str, int]:
        """Returns what is left of each limit, by name; not locked."""
        return super().lock_remainders(namespace, (task,))[task]

    def heads(self, namespace: str, tasks: Collection[str]) -> Mapping[str, TaskHead]:
        found = self._link.all(read_head, _SEE_HEADS, (namespace, write_texts(tasks)))
        return {one.id: one for one in found}

    def lock_heads(self, namespace: str, tasks: Collection[str]) -> Mapping[str, TaskHead]:
        """As `heads`, locked in id order."""
        found = self._link.locked(read_head, _LOCK_HEADS, (namespace, write_texts(tasks)))
        return {one.id: one for one in found}

    def lock_tree(self, namespace: str, task: str) -> tuple[Task, ...]:
        """Returns the task and its living descendants, locked one generation after another."""
        found = self._link.locked(TASK_ROW.read, _LOCK_TASK, (namespace, task))
        tree = {one.id: one for one in found}
        level = found
        while level:
            values = (namespace, write_texts([one.id for one in level]))
            below = self._link.locked(TASK_ROW.read, _LOCK_CHILDREN, values)
            level = tuple(sorted(below, key=lambda one: (one.started, one.id)))
            level = tuple(one for one in level if one.id not in tree)
            tree.update((one.id, one) for one in level)
        return (*found, *(one for one in tree.values() if one.id != task and one.state not in ENDED))

    def lock_remainders(self, namespace: str, tasks: Collection[str]) -> Mapping[str, Mapping[str, int]]:
        """Returns what is left of each limit, by task, locked in order of task and name."""
        left: dict[str, dict[str, int]] = {task: {} for task in tasks}
        values = (namespace, write_texts(sorted(tasks)))
        for task, name, amount in self._link.locked(read_limit, _LOCK_LEFT, values):
            left[task][name] = amount
        return left

    def open_limits(self, namespace: str, task: str, limits: Mapping[str, int]) -> None:
        values = (namespace, task, write_texts(limits), write_wholes(limits.values()))
        self._link.later(_OPEN, values)

    def set_remainders(self, namespace: str, changes: Mapping[tuple[str, str], tuple[int, int]]) -> None:
        values = (
            namespace,
            write_texts(task for task, _ in changes),
            write_texts(name for _, name in changes),
            write_wholes(before for before, _ in changes.values()),
            write_wholes(after for _, after in changes.values()),
        )
        self._link.later(_TAKE, values, rows=len(changes), what="what is left of a limit")


_LOCK_APPROVALS: Final = f"SELECT {APPROVAL_COLUMNS} FROM approvals a WHERE a.namespace = $1"  # noqa: S608  # our own columns
_LOCK_STEPS: Final = f"""{_LOCK_APPROVALS} AND a.plan = ANY($2::text[]) AND a.plan <> ''
    ORDER BY a.id FOR NO KEY UPDATE OF a
"""
_LOCK_PLAN: Final = f"SELECT {PLAN_COLUMNS} FROM approval_plans p WHERE p.namespace = $1"  # noqa: S608  # our own columns
_LOCK_PLANS: Final = f"""{_LOCK_PLAN} AND p.task = ANY($2::text[]) AND p.state IN ('pending', 'approved')
    ORDER BY p.id FOR NO KEY UPDATE
"""
_LOCK_HOLDS: Final = f"""{_LOCK_APPROVALS} AND a.state IN ('pending', 'approved', 'denied', 'narrowed')
    AND (a.task, a.act) IN (SELECT n.task, n.act FROM unnest($2::text[], $3::text[]) AS n (task, act))
    ORDER BY a.asked, a.id FOR NO KEY UPDATE OF a
"""  # noqa: S608  # our own columns
_LOCK_OPEN_APPROVALS: Final = f"""{_LOCK_APPROVALS}
    AND a.task = ANY($2::text[]) AND a.state IN ('pending', 'approved')
    ORDER BY a.id FOR NO KEY UPDATE OF a
"""
_APPROVAL_ANSWERS: Final = f"""
    SELECT {ANSWER_COLUMNS} FROM approval_answers
    WHERE namespace = $1 AND approval = ANY($2::text[]) ORDER BY received, person, kind
"""  # noqa: S608  # our own columns


class PostgresApprovals(SqlApprovals):
    """Approvals in PostgreSQL."""

    __slots__ = ()
    _link: PostgresLink

    def lock_open(self, namespace: str, tasks: Collection[str]) -> tuple[StoredApproval, ...]:
        """Returns these tasks' open approvals, locked in id order."""
        values = (namespace, write_texts(sorted(tasks)))
        return self._whole(self._link.locked(read_approval, _LOCK_OPEN_APPROVALS, values))

    def lock_plans(self, namespace: str, tasks: Collection[str]) -> tuple[StoredPlan, ...]:
        """Returns these tasks' open plans, locked in id order."""
        return self._link.locked(read_plan, _LOCK_PLANS, (namespace, write_texts(sorted(tasks))))

    def lock_steps(self, namespace: str, plans: Collection[str]) -> tuple[StoredApproval, ...]:
        """As `steps_of`, locked in id order."""
        found = self._link.locked(read_approval, _LOCK_STEPS, (namespace, write_texts(sorted(plans))))
        return self._in_order(found)

    def _lock_holds(self, namespace: str, acts: list[tuple[str, str]]) -> tuple[StoredApproval, ...]:
        values = (namespace, write_texts(task for task, _ in acts), write_texts(act for _, act in acts))
        return self._link.locked(read_approval, _LOCK_HOLDS, values)

    def _answers(self, namespace: str, ids: str) -> Iterable[tuple[str, Answer]]:
        """Reads without a lock: adding an answer requires the lock on the approval, which is held."""
        return self._link.locked(read_answer, _APPROVAL_ANSWERS, (namespace, write_texts(read_texts(ids))))
