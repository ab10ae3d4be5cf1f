"""Approval questions and answers in SQL; a question or plan is stored as the bytes that people sign."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sqlalchemy import insert

from taskbound.adapters.store.sql.rows import CHANGING, Statement, TableGroup, json_texts
from taskbound.adapters.store.sql.schema import approval_answers, approval_plans, approvals
from taskbound.core.approval import (
    Answer,
    AnswerKind,
    AnswerSignIn,
    ApprovalState,
    parse_plan,
    parse_question,
)
from taskbound.core.approval.fatigue import ApprovalLimits, Display
from taskbound.core.clock import Instant
from taskbound.ports.approval import StoredApproval, StoredPlan, Waiter

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from taskbound.adapters.store.sql.rows import Value
    from taskbound.ports.approval import ApprovalChange, PlanChange


COLUMNS: Final = (
    "a.question, a.state, a.connection, a.request, a.waits, a.finished, a.reason,"
    " CASE a.plan WHEN '' THEN NULL ELSE"
    " (SELECT p.plan FROM approval_plans p WHERE p.namespace = a.namespace AND p.id = a.plan) END"
)
_OPEN: Final = "a.state IN ('pending', 'approved')"
_ONE: Final = f"SELECT {COLUMNS} FROM approvals a WHERE a.namespace = ? AND a.id = ?"  # noqa: S608  # our own columns
_OF: Final = f"SELECT {COLUMNS} FROM approvals a WHERE a.namespace = ? AND a.action = ?"  # noqa: S608  # our own columns
_NARROWED: Final = (
    f"SELECT {COLUMNS} FROM approvals a WHERE a.namespace = ? AND a.narrows = ? AND a.narrows <> ''"  # noqa: S608  # our own columns
)
_EVERY_OPEN: Final = f"SELECT {COLUMNS} FROM approvals a WHERE {_OPEN} ORDER BY a.asked, a.id"  # noqa: S608  # our own columns
_HOLDS: Final = f"""
    SELECT {COLUMNS} FROM json_each(?2) AS asked
    CROSS JOIN approvals a ON a.namespace = ?1 AND a.task = asked.value ->> 0 AND a.act = asked.value ->> 1
        AND a.state IN ('pending', 'approved', 'denied', 'narrowed') ORDER BY a.asked, a.id
"""  # noqa: S608  # our own columns
_LAST_USED: Final = (
    f"SELECT {COLUMNS} FROM approvals a WHERE a.namespace = ? AND a.task = ? AND a.act = ?"  # noqa: S608  # our own columns
    " AND a.state = 'consumed' ORDER BY a.asked DESC, a.id DESC LIMIT 1"
)
_OF_TASKS: Final = f"""
    SELECT {COLUMNS} FROM json_each(?2) AS asked
    CROSS JOIN approvals a ON a.namespace = ?1 AND a.task = asked.value AND {_OPEN} ORDER BY a.id
"""  # noqa: S608  # our own columns
_STEPS: Final = (
    f"SELECT {COLUMNS} FROM approvals a WHERE a.namespace = ? AND a.plan <> ''"  # noqa: S608  # our own columns
    " AND a.plan IN (SELECT value FROM json_each(?))"
)
_COUNT: Final = f"SELECT count(*) FROM approvals a WHERE a.namespace = ? AND a.task = ? AND {_OPEN}"  # noqa: S608  # our own words
_PAGE: Final = f"SELECT {COLUMNS} FROM approvals a WHERE a.namespace = ?"  # noqa: S608  # our own columns
_BEFORE: Final = (
    " AND (a.asked, a.id) < (SELECT b.asked, b.id FROM approvals b WHERE b.namespace = ? AND b.id = ?)"
)
ANSWER_COLUMNS: Final = (
    "approval, kind, person, person_key, at, received, statement, signature,"
    " acr, authenticated, token, session"
)
_ANSWERS: Final = (
    f"SELECT {ANSWER_COLUMNS} FROM approval_answers"  # noqa: S608  # our own columns
    " WHERE namespace = ? AND approval IN (SELECT value FROM json_each(?)) ORDER BY received, person, kind"
)
_DISPLAYS: Final = (
    "SELECT approval, person, at, length FROM approval_displays"
    " WHERE namespace = ? AND approval IN (SELECT value FROM json_each(?)) ORDER BY at, person"
)
_DISPLAY: Final = (
    "INSERT INTO approval_displays (namespace, approval, person, at, length) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
_ASKED: Final = (
    "SELECT count(*) FROM approvals a JOIN tasks t ON t.namespace = a.namespace AND t.id = a.task"
    " WHERE a.namespace = ? AND a.asked >= ? AND t.agent = ?"
)
_LIMITS: Final = "SELECT open, hourly, speed FROM approval_limits WHERE namespace = ?"
_PUT_LIMITS: Final = (
    "INSERT INTO approval_limits (namespace, open, hourly, speed) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (namespace) DO UPDATE SET open = excluded.open, hourly = excluded.hourly,"
    " speed = excluded.speed"
)
_INSERT: Final = Statement(insert(approvals))
_ANSWER: Final = Statement(insert(approval_answers))
_MOVE: Final = (
    "UPDATE approvals SET state = ?, finished = ?, reason = ? WHERE namespace = ? AND id = ? AND state = ?"
)
_WAIT: Final = (
    "UPDATE approvals SET connection = ?, request = ?, waits = ?"
    " WHERE namespace = ? AND id = ? AND state IN ('pending', 'approved')"
)

PLAN_COLUMNS: Final = "p.plan, p.agent, p.state, p.used, p.finished, p.reason"
_OPEN_PLAN: Final = "p.state IN ('pending', 'approved')"
_ONE_PLAN: Final = f"SELECT {PLAN_COLUMNS} FROM approval_plans p WHERE p.namespace = ? AND p.id = ?"  # noqa: S608  # our own columns
_OPEN_PLANS: Final = f"SELECT {PLAN_COLUMNS} FROM approval_plans p WHERE {_OPEN_PLAN} ORDER BY p.asked, p.id"  # noqa: S608  # our own columns
_PLANS_OF_TASKS: Final = f"""
    SELECT {PLAN_COLUMNS} FROM json_each(?2) AS asked
    CROSS JOIN approval_plans p ON p.namespace = ?1 AND p.task = asked.value AND {_OPEN_PLAN} ORDER BY p.id
"""  # noqa: S608  # our own columns
_INSERT_PLAN: Final = Statement(insert(approval_plans))
_MOVE_PLAN: Final = (
    "UPDATE approval_plans SET state = ?, used = ?, finished = ?, reason = ?"
    " WHERE namespace = ? AND id = ? AND state = ? AND used = ?"
)


class SqlApprovals(TableGroup):
    """Approvals."""

    __slots__ = ()

    def approval(self, namespace: str, approval: str) -> StoredApproval | None:
        return self._first(self._link.all(read_approval, _ONE, (namespace, approval)))

    def approval_of(self, namespace: str, action: str) -> StoredApproval | None:
        return self._first(self._link.all(read_approval, _OF, (namespace, action)))

    def narrowed_to(self, namespace: str, digest: str) -> StoredApproval | None:
        """Returns the approval of the action with which this question was answered, or None."""
        return self._first(self._link.all(read_approval, _NARROWED, (namespace, digest)))

    def approvals(
        self,
        namespace: str,
        *,
        states: Collection[ApprovalState] = (),
        task: str = "",
        limit: int = 50,
        before: str = "",
    ) -> tuple[StoredApproval, ...]:
        """Returns approvals, newest first."""
        query = _PAGE
        values: list[Value] = [namespace]
        if states:
            query += " AND a.state IN (SELECT value FROM json_each(?))"
            values.append(json_texts(sorted(one.value for one in states)))
        if task:
            query, values = f"{query} AND a.task = ?", [*values, task]
        if before:
            query, values = query + _BEFORE, [*values, namespace, before]
        query += " ORDER BY a.asked DESC, a.id DESC LIMIT ?"
        return self._whole(self._link.all(read_approval, query, (*values, limit)))

    def open_approvals(self) -> tuple[StoredApproval, ...]:
        """Returns all open approvals of every namespace, oldest first."""
        return tuple(replace(one, plan=None) for one in self._link.all(read_approval, _EVERY_OPEN))

    def plan(self, namespace: str, plan: str) -> StoredPlan | None:
        return next(iter(self._link.all(read_plan, _ONE_PLAN, (namespace, plan))), None)

    def open_plans(self) -> tuple[StoredPlan, ...]:
        """Returns all open plans of every namespace, oldest first."""
        return self._link.all(read_plan, _OPEN_PLANS)

    def steps_of(self, namespace: str, plans: Collection[str]) -> tuple[StoredApproval, ...]:
        return self._in_order(self._link.all(read_approval, _STEPS, (namespace, json_texts(sorted(plans)))))

    def displays(self, namespace: str, approvals: Collection[str]) -> Mapping[str, tuple[Display, ...]]:
        found: dict[str, tuple[Display, ...]] = {}
        ids = json_texts(sorted(approvals))
        for approval, one in self._link.all(_display, _DISPLAYS, (namespace, ids)):
            found[approval] = (*found.get(approval, ()), one)
        return found

    def limits(self, namespace: str) -> ApprovalLimits:
        for most, hourly, speed in self._link.all(_limits, _LIMITS, (namespace,)):
            return ApprovalLimits(namespace=namespace, open=most, hourly=hourly, speed=speed)
        return ApprovalLimits(namespace=namespace)

    def lock_holds(
        self, namespace: str, acts: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], tuple[StoredApproval, ...]]:
        """Returns, by (task, action digest), the open, denied or narrowed approvals, oldest first."""
        found = self._lock_holds(namespace, sorted(acts)) if acts else ()
        sorted_out: dict[tuple[str, str], tuple[StoredApproval, ...]] = {}
        for one in self._whole(found):
            key = (one.question.task, one.question.act)
            sorted_out[key] = (*sorted_out.get(key, ()), one)
        return sorted_out

    def lock_approval(self, namespace: str, approval: str) -> StoredApproval | None:
        """As `approval`, locked."""
        return self._first(self._link.locked(read_approval, _ONE, (namespace, approval), CHANGING))

    def lock_narrowed(self, namespace: str, digest: str) -> StoredApproval | None:
        """As `narrowed_to`, locked."""
        return self._first(self._link.locked(read_approval, _NARROWED, (namespace, digest), CHANGING))

    def lock_last_used(self, namespace: str, task: str, act: str) -> StoredApproval | None:
        """Returns the most recently requested approval that was used for this action, locked, or None."""
        return self._first(self._link.locked(read_approval, _LAST_USED, (namespace, task, act), CHANGING))

    def lock_open(self, namespace: str, tasks: Collection[str]) -> tuple[StoredApproval, ...]:
        return self._whole(
            self._link.all(read_approval, _OF_TASKS, (namespace, json_texts(sorted(tasks)))),
        )

    def lock_plan(self, namespace: str, plan: str) -> StoredPlan | None:
        """As `plan`, locked."""
        return next(iter(self._link.locked(read_plan, _ONE_PLAN, (namespace, plan), CHANGING)), None)

    def lock_plans(self, namespace: str, tasks: Collection[str]) -> tuple[StoredPlan, ...]:
        return self._link.all(read_plan, _PLANS_OF_TASKS, (namespace, json_texts(sorted(tasks))))

    def lock_steps(self, namespace: str, plans: Collection[str]) -> tuple[StoredApproval, ...]:
        return self.steps_of(namespace, plans)

    def insert_plan(self, plan: StoredPlan) -> None:
        self._link.change(_INSERT_PLAN.text, _plan_row(plan))

    def move_plan(self, namespace: str, change: PlanChange) -> None:
        (before, was_used), (after, used) = change.before, change.after
        head = (after.value, used, change.finished, change.reason)
        if self._link.change(_MOVE_PLAN, (*head, namespace, change.id, before.value, was_used)) != 1:
            self._link.conflict("the state of a plan")

    def count_open(self, namespace: str, task: str) -> int:
        return self._link.whole(_COUNT, (namespace, task))

    def count_asked(self, namespace: str, agent: str, since: Instant) -> int:
        return self._link.whole(_ASKED, (namespace, since, agent))

    def insert_approvals(self, approvals: Sequence[StoredApproval]) -> None:
        self._link.change_many(_INSERT.text, [_row(one) for one in approvals])

    def move_approvals(self, namespace: str, changes: Sequence[ApprovalChange]) -> None:
        rows = [
            (one.after.value, one.finished, one.reason, namespace, one.id, one.before.value)
            for one in changes
        ]
        if self._link.change_many(_MOVE, rows) != len(rows):
            self._link.conflict("the state of an approval")

    def put_waiter(self, namespace: str, approval: str, waiter: Waiter) -> None:
        values = (waiter.connection, waiter.request, waiter.until, namespace, approval)
        if self._link.change(_WAIT, values) != 1:
            self._link.conflict("the state of an approval")

    def put_answer(self, namespace: str, approval: str, answer: Answer) -> None:
        values = _ANSWER.values(
            namespace=namespace,
            approval=approval,
            person=answer.person,
            kind=answer.kind.value,
            person_key=answer.key,
            at=answer.at,
            received=answer.received,
            statement=answer.statement,
            signature=answer.signature,
            acr="" if answer.sign_in is None else answer.sign_in.acr,
            authenticated=0 if answer.sign_in is None else answer.sign_in.at,
            token="" if answer.sign_in is None else answer.sign_in.token,
            session="" if answer.sign_in is None else answer.sign_in.session,
        )
        self._link.change(_ANSWER.text, values)

    def put_display(self, namespace: str, approval: str, display: Display) -> None:
        self._link.change(_DISPLAY, (namespace, approval, display.person, display.at, display.length))

    def put_limits(self, limits: ApprovalLimits) -> None:
        self._link.change(_PUT_LIMITS, (limits.namespace, limits.open, limits.hourly, limits.speed))

    def _lock_holds(self, namespace: str, acts: list[tuple[str, str]]) -> tuple[StoredApproval, ...]:
        return self._link.all(read_approval, _HOLDS, (namespace, json_texts(acts)))

    def _in_order(self, found: tuple[StoredApproval, ...]) -> tuple[StoredApproval, ...]:
        return tuple(sorted(self._whole(found), key=lambda one: (one.question.plan, one.question.step)))

    def _first(self, found: tuple[StoredApproval, ...]) -> StoredApproval | None:
        return next(iter(self._whole(found)), None)

    def _whole(self, found: tuple[StoredApproval, ...]) -> tuple[StoredApproval, ...]:
        if not found:
            return ()
        given: dict[str, list[Answer]] = {}
        ids = json_texts([one.question.id for one in found])
        for approval, answer in self._answers(found[0].question.namespace, ids):
            given.setdefault(approval, []).append(answer)
        return tuple(replace(one, answers=tuple(given.get(one.question.id, ()))) for one in found)

    def _answers(self, namespace: str, ids: str) -> Iterable[tuple[str, Answer]]:
        return self._link.all(read_answer, _ANSWERS, (namespace, ids))


def _display(approval: str, person: str, at: int, length: int) -> tuple[str, Display]:
    return approval, Display(person=person, at=Instant(at), length=length)


def _limits(most: int, hourly: int, speed: int) -> tuple[int, int, int]:
    return most, hourly, speed


def _row(one: StoredApproval) -> tuple[Value, ...]:
    question, waiter = one.question, one.waiter
    return _INSERT.values(
        namespace=question.namespace,
        id=question.id,
        action=question.action,
        task=question.task,
        act=question.act,
        state=one.state.value,
        question=question.canonical,
        connection=waiter.connection,
        request=waiter.request,
        waits=waiter.until,
        asked=question.asked,
        finished=one.finished,
        reason=one.reason,
        narrows=question.narrows,
        plan=question.plan,
        retried=question.retried,
    )


def read_approval(  # noqa: PLR0913, PLR0917  # the columns of a row, in order
    question: bytes,
    state: str,
    connection: str,
    request: str,
    waits: int,
    finished: int,
    reason: str,
    plan: bytes | None,
) -> StoredApproval:
    return StoredApproval(
        question=parse_question(bytes(question)),
        state=ApprovalState(state),
        waiter=Waiter(connection=connection, request=request, until=Instant(waits)),
        finished=Instant(finished),
        reason=reason,
        plan=None if plan is None else parse_plan(bytes(plan)),
    )


def read_answer(  # noqa: PLR0913, PLR0917  # the columns of a row, in order
    approval: str,
    kind: str,
    person: str,
    key: str,
    at: int,
    received: int,
    statement: bytes,
    signature: bytes,
    acr: str = "",
    authenticated: int = 0,
    token: str = "",
    session: str = "",
) -> tuple[str, Answer]:
    """Builds (approval, answer) from columns; an answer to an amendment has no sign-in columns."""
    answer = Answer(
        kind=AnswerKind(kind),
        person=person,
        key=key,
        at=Instant(at),
        received=Instant(received),
        statement=bytes(statement),
        signature=bytes(signature),
        sign_in=AnswerSignIn(acr=acr, at=Instant(authenticated), token=token, session=session)
        if token or session
        else None,
    )
    return approval, answer


def _plan_row(one: StoredPlan) -> tuple[Value, ...]:
    return _INSERT_PLAN.values(
        namespace=one.plan.namespace,
        id=one.plan.id,
        task=one.plan.task,
        agent=one.agent,
        state=one.state.value,
        used=one.used,
        plan=one.plan.canonical,
        asked=one.plan.asked,
        finished=one.finished,
        reason=one.reason,
    )


def read_plan(  # the columns of a row, in order
    plan: bytes, agent: str, state: str, used: int, finished: int, reason: str
) -> StoredPlan:
    return StoredPlan(
        plan=parse_plan(bytes(plan)),
        agent=agent,
        state=ApprovalState(state),
        used=used,
        finished=Instant(finished),
        reason=reason,
    )
