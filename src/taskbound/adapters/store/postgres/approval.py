"""Questions about held actions, in rows that several daemons lock.

1. Whoever uses an approval holds its row until its commit: a denial, an expiry or another use waits, and
   then meets a row that is in another state.
2. Locks are taken in the order of ids.
3. A plan is locked before any of its steps: whoever uses a step, answers or ends the plan waits for whoever
   does so, and then meets a plan that stands elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.postgres.server.link import write_texts
from taskbound.adapters.store.sql.approval import (
    ANSWER_COLUMNS,
    COLUMNS,
    PLAN_COLUMNS,
    SqlApprovals,
    read_answer,
    read_approval,
    read_plan,
)
from taskbound.adapters.store.sql.rows.columns import read_texts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.core.approval import Answer
    from taskbound.ports.approval import StoredApproval, StoredPlan


_LOCK: Final = f"SELECT {COLUMNS} FROM approvals a WHERE a.namespace = $1"  # noqa: S608  # our own columns
_LOCK_ONE: Final = f"{_LOCK} AND a.id = $2 FOR NO KEY UPDATE"
_LOCK_NARROWED: Final = f"{_LOCK} AND a.narrows = $2 AND a.narrows <> '' FOR NO KEY UPDATE"
_LOCK_STEPS: Final = f"""{_LOCK} AND a.plan = ANY($2::text[]) AND a.plan <> ''
    ORDER BY a.id FOR NO KEY UPDATE OF a
"""
_LOCK_PLAN: Final = f"SELECT {PLAN_COLUMNS} FROM approval_plans p WHERE p.namespace = $1"  # noqa: S608  # our own columns
_LOCK_ONE_PLAN: Final = f"{_LOCK_PLAN} AND p.id = $2 FOR NO KEY UPDATE"
_LOCK_PLANS: Final = f"""{_LOCK_PLAN} AND p.task = ANY($2::text[]) AND p.state IN ('pending', 'approved')
    ORDER BY p.id FOR NO KEY UPDATE
"""
_LOCK_HOLDS: Final = f"""{_LOCK} AND a.state IN ('pending', 'approved', 'denied', 'narrowed')
    AND (a.task, a.act) IN (SELECT n.task, n.act FROM unnest($2::text[], $3::text[]) AS n (task, act))
    ORDER BY a.asked, a.id FOR NO KEY UPDATE OF a
"""  # noqa: S608  # our own columns
_LOCK_LAST_USED: Final = f"""{_LOCK} AND a.task = $2 AND a.act = $3 AND a.state = 'consumed'
    ORDER BY a.asked DESC, a.id DESC LIMIT 1 FOR NO KEY UPDATE OF a
"""  # our own columns
_LOCK_OPEN: Final = f"""{_LOCK} AND a.task = ANY($2::text[]) AND a.state IN ('pending', 'approved')
    ORDER BY a.id FOR NO KEY UPDATE OF a
"""
_ANSWERS: Final = f"""
    SELECT {ANSWER_COLUMNS} FROM approval_answers
    WHERE namespace = $1 AND approval = ANY($2::text[]) ORDER BY received, person, kind
"""  # noqa: S608  # our own columns


class PostgresApprovals(SqlApprovals):
    """Reads approvals through one connection, and writes them in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def lock_approval(self, namespace: str, approval: str) -> StoredApproval | None:
        """The approval of this id, locked (rule 1)."""
        return self._first(self._locks.locked(read_approval, _LOCK_ONE, (namespace, approval)))

    def lock_narrowed(self, namespace: str, digest: str) -> StoredApproval | None:
        """What `narrowed_to` reads, locked (rule 1)."""
        return self._first(self._locks.locked(read_approval, _LOCK_NARROWED, (namespace, digest)))

    def lock_last_used(self, namespace: str, task: str, act: str) -> StoredApproval | None:
        """Of those that were used for this action the one asked last, locked (rule 1)."""
        return self._first(self._locks.locked(read_approval, _LOCK_LAST_USED, (namespace, task, act)))

    def lock_open(self, namespace: str, tasks: Collection[str]) -> tuple[StoredApproval, ...]:
        """All open ones of these tasks, locked by id (rule 2)."""
        values = (namespace, write_texts(sorted(tasks)))
        return self._whole(self._locks.locked(read_approval, _LOCK_OPEN, values))

    def lock_plan(self, namespace: str, plan: str) -> StoredPlan | None:
        """The plan of this id, locked (rule 3)."""
        return next(iter(self._locks.locked(read_plan, _LOCK_ONE_PLAN, (namespace, plan))), None)

    def lock_plans(self, namespace: str, tasks: Collection[str]) -> tuple[StoredPlan, ...]:
        """The open ones of these tasks, locked by id (rule 3)."""
        return self._locks.locked(read_plan, _LOCK_PLANS, (namespace, write_texts(sorted(tasks))))

    def lock_steps(self, namespace: str, plans: Collection[str]) -> tuple[StoredApproval, ...]:
        """What `steps_of` reads, locked by id."""
        found = self._locks.locked(read_approval, _LOCK_STEPS, (namespace, write_texts(sorted(plans))))
        return self._in_order(found)

    def _lock_holds(self, namespace: str, acts: list[tuple[str, str]]) -> tuple[StoredApproval, ...]:
        values = (namespace, write_texts(task for task, _ in acts), write_texts(act for _, act in acts))
        return self._locks.locked(read_approval, _LOCK_HOLDS, values)

    def _answers(self, namespace: str, ids: str) -> Iterable[tuple[str, Answer]]:
        """What was said to approvals that are locked: whoever adds an answer locks them first."""
        return self._locks.locked(read_answer, _ANSWERS, (namespace, write_texts(read_texts(ids))))
