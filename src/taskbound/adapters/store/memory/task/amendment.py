"""Amendments that people are asked about, in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.approval.amendment import AmendmentState

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.core.approval import Answer
    from taskbound.core.clock import Instant
    from taskbound.ports.task import AmendmentChange, StoredAmendment

__all__ = ["MemoryAmendments"]


class MemoryAmendments:
    """Reads amendments of a snapshot, and writes them in a transaction."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def amendment(self, namespace: str, amendment: str) -> StoredAmendment | None:
        """The amendment of this id."""
        return self._tables.live().amendments.get((namespace, amendment))

    def amendments(
        self,
        namespace: str,
        *,
        states: Collection[AmendmentState] = (),
        task: str = "",
        limit: int = 50,
        before: str = "",
    ) -> tuple[StoredAmendment, ...]:
        """Amendments, newest first."""
        found = sorted(self._of(namespace), key=_age, reverse=True)
        if before:
            ids = [one.question.id for one in found]
            found = found[ids.index(before) + 1 :] if before in ids else []
        wanted = [
            one
            for one in found
            if (not states or one.state in states) and (not task or one.question.task == task)
        ]
        return tuple(wanted[:limit])

    def open_amendments(self) -> tuple[StoredAmendment, ...]:
        """All that are open, of every namespace, oldest first."""
        found = [one for one in self._tables.live().amendments.values() if _is_open(one)]
        return tuple(replace(one, answers=()) for one in sorted(found, key=_age))

    def lock_amendment(self, namespace: str, amendment: str) -> StoredAmendment | None:
        """The amendment of this id."""
        return self.amendment(namespace, amendment)

    def lock_open(self, namespace: str, tasks: Collection[str]) -> tuple[StoredAmendment, ...]:
        """All open ones of these tasks, by id."""
        found = [one for one in self._of(namespace) if _is_open(one) and one.question.task in tasks]
        return tuple(sorted(found, key=lambda one: one.question.id))

    def denied(self, namespace: str, task: str, scope: str) -> bool:
        """Whether the scope of this digest was denied to this task."""
        return any(
            one.state is AmendmentState.DENIED
            and (one.question.task, one.question.after.digest) == (task, scope)
            for one in self._of(namespace)
        )

    def count_open(self, namespace: str, tasks: Collection[str]) -> dict[str, int]:
        """By task: how many are open."""
        some = [one.question.task for one in self.lock_open(namespace, tasks)]
        return {name: some.count(name) for name in tasks}

    def count_asked(self, namespace: str, agent: str, since: Instant) -> int:
        """How many of this agent's tasks were asked for at that instant or later."""
        return sum(one.question.asked >= since and one.question.agent == agent for one in self._of(namespace))

    def insert_amendment(self, amendment: StoredAmendment) -> None:
        """Write a new one."""
        question = amendment.question
        known = self.amendment(question.namespace, question.id)
        if known is not None or (_is_open(amendment) and self.lock_open(question.namespace, {question.task})):
            self._tables.conflict(f"amendment `{question.id}`")
        self._put(replace(amendment, answers=()))

    def move_amendments(self, namespace: str, changes: Collection[AmendmentChange]) -> None:
        """Write steps."""
        for one in changes:
            now = self.amendment(namespace, one.id)
            if now is None or now.state is not one.before:
                self._tables.conflict("the state of an amendment")
            self._put(replace(now, state=one.after, finished=one.finished, reason=one.reason))

    def put_answer(self, namespace: str, amendment: str, answer: Answer) -> None:
        """Add an answer."""
        now = self.amendment(namespace, amendment)
        given = () if now is None else now.answers
        if now is None or any((one.person, one.kind) == (answer.person, answer.kind) for one in given):
            self._tables.conflict("an answer to the amendment")
        self._put(replace(now, answers=tuple(sorted((*given, answer), key=_turn))))

    def _of(self, namespace: str) -> list[StoredAmendment]:
        every = self._tables.live().amendments.values()
        return [one for one in every if one.question.namespace == namespace]

    def _put(self, one: StoredAmendment) -> None:
        self._tables.amendments.put((one.question.namespace, one.question.id), one)


def _is_open(one: StoredAmendment) -> bool:
    return one.state is AmendmentState.PENDING


def _age(one: StoredAmendment) -> tuple[int, str]:
    return one.question.asked, one.question.id


def _turn(one: Answer) -> tuple[int, str, str]:
    return one.received, one.person, one.kind.value
