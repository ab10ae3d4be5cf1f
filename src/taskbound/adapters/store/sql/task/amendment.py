"""Amendments and their answers in SQL; the question is stored as the bytes that people sign."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sqlalchemy import insert

from taskbound.adapters.store.sql.approval import read_answer
from taskbound.adapters.store.sql.rows import CHANGING, Statement, TableGroup, json_texts
from taskbound.adapters.store.sql.schema.approval import amendment_answers, amendments
from taskbound.core.approval.amendment import AmendmentState, parse_amendment
from taskbound.core.clock import Instant
from taskbound.ports.task import StoredAmendment

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from taskbound.adapters.store.sql.rows import Value
    from taskbound.core.approval import Answer
    from taskbound.ports.task import AmendmentChange


COLUMNS: Final = "a.question, a.state, a.finished, a.reason"
_PAGE: Final = f"SELECT {COLUMNS} FROM amendments a WHERE a.namespace = ?"  # noqa: S608  # our own columns
_ONE: Final = f"{_PAGE} AND a.id = ?"
_OPEN: Final = f"""
    SELECT {COLUMNS} FROM amendments a WHERE a.state = 'pending' ORDER BY a.asked, a.id
"""  # noqa: S608  # our own columns
_OF_TASKS: Final = (
    f"{_PAGE} AND a.state = 'pending'"  # noqa: S608  # our own columns
    " AND a.task IN (SELECT value FROM json_each(?)) ORDER BY a.id"
)
_BEFORE: Final = (
    " AND (a.asked, a.id) < (SELECT b.asked, b.id FROM amendments b WHERE b.namespace = ? AND b.id = ?)"
)
_ANSWERS: Final = (
    "SELECT amendment, kind, person, person_key, at, received, statement, signature FROM amendment_answers"
    " WHERE namespace = ? AND amendment IN (SELECT value FROM json_each(?)) ORDER BY received, person, kind"
)
_DENIED: Final = (
    "SELECT count(*) FROM amendments a"
    " WHERE a.namespace = ? AND a.task = ? AND a.wanted = ? AND a.state = 'denied'"
)
_COUNT: Final = (
    "SELECT a.task, count(*) FROM amendments a WHERE a.namespace = ? AND a.state = 'pending'"
    " AND a.task IN (SELECT value FROM json_each(?)) GROUP BY a.task"
)
_ASKED: Final = "SELECT count(*) FROM amendments a WHERE a.namespace = ? AND a.asked >= ? AND a.agent = ?"
_INSERT: Final = Statement(insert(amendments))
_ANSWER: Final = Statement(insert(amendment_answers))
_MOVE: Final = (
    "UPDATE amendments SET state = ?, finished = ?, reason = ? WHERE namespace = ? AND id = ? AND state = ?"
)


class SqlAmendments(TableGroup):
    """Amendments."""

    __slots__ = ()

    def amendment(self, namespace: str, amendment: str) -> StoredAmendment | None:
        return self._first(self._link.all(read_amendment, _ONE, (namespace, amendment)))

    def amendments(
        self,
        namespace: str,
        *,
        states: Collection[AmendmentState] = (),
        task: str = "",
        limit: int = 50,
        before: str = "",
    ) -> tuple[StoredAmendment, ...]:
        """Returns amendments, newest first."""
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
        return self._whole(self._link.all(read_amendment, query, (*values, limit)))

    def open_amendments(self) -> tuple[StoredAmendment, ...]:
        """Returns all open amendments of every namespace, oldest first."""
        return self._link.all(read_amendment, _OPEN)

    def lock_amendment(self, namespace: str, amendment: str) -> StoredAmendment | None:
        """As `amendment`, locked."""
        return self._first(self._link.locked(read_amendment, _ONE, (namespace, amendment), CHANGING))

    def lock_open(self, namespace: str, tasks: Collection[str]) -> tuple[StoredAmendment, ...]:
        return self._whole(self._link.all(read_amendment, _OF_TASKS, (namespace, json_texts(sorted(tasks)))))

    def denied(self, namespace: str, task: str, scope: str) -> bool:
        return self._link.whole(_DENIED, (namespace, task, scope)) > 0

    def count_open(self, namespace: str, tasks: Collection[str]) -> dict[str, int]:
        found = self._link.all(_counted, _COUNT, (namespace, json_texts(sorted(tasks))))
        return dict.fromkeys(tasks, 0) | dict(found)

    def count_asked(self, namespace: str, agent: str, since: Instant) -> int:
        return self._link.whole(_ASKED, (namespace, since, agent))

    def insert_amendment(self, amendment: StoredAmendment) -> None:
        question = amendment.question
        values = _INSERT.values(
            namespace=question.namespace,
            id=question.id,
            task=question.task,
            agent=question.agent,
            wanted=question.after.digest,
            state=amendment.state.value,
            question=question.canonical,
            asked=question.asked,
            finished=amendment.finished,
            reason=amendment.reason,
        )
        self._link.change(_INSERT.text, values)

    def move_amendments(self, namespace: str, changes: Collection[AmendmentChange]) -> None:
        rows = [
            (one.after.value, one.finished, one.reason, namespace, one.id, one.before.value)
            for one in changes
        ]
        if self._link.change_many(_MOVE, rows) != len(rows):
            self._link.conflict("the state of an amendment")

    def put_answer(self, namespace: str, amendment: str, answer: Answer) -> None:
        values = _ANSWER.values(
            namespace=namespace,
            amendment=amendment,
            person=answer.person,
            kind=answer.kind.value,
            person_key=answer.key,
            at=answer.at,
            received=answer.received,
            statement=answer.statement,
            signature=answer.signature,
        )
        self._link.change(_ANSWER.text, values)

    def _first(self, found: tuple[StoredAmendment, ...]) -> StoredAmendment | None:
        return next(iter(self._whole(found)), None)

    def _whole(self, found: tuple[StoredAmendment, ...]) -> tuple[StoredAmendment, ...]:
        if not found:
            return ()
        given: dict[str, list[Answer]] = {}
        ids = json_texts([one.question.id for one in found])
        for amendment, answer in self._answers(found[0].question.namespace, ids):
            given.setdefault(amendment, []).append(answer)
        return tuple(replace(one, answers=tuple(given.get(one.question.id, ()))) for one in found)

    def _answers(self, namespace: str, ids: str) -> Iterable[tuple[str, Answer]]:
        return self._link.all(read_answer, _ANSWERS, (namespace, ids))


def _counted(task: str, count: int) -> tuple[str, int]:
    return task, count


def read_amendment(question: bytes, state: str, finished: int, reason: str) -> StoredAmendment:
    return StoredAmendment(
        question=parse_amendment(bytes(question)),
        state=AmendmentState(state),
        finished=Instant(finished),
        reason=reason,
    )
