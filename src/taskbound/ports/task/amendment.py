"""Widening amendments of tasks that people are asked about, their answers, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.core.approval import Answer
    from taskbound.core.approval.amendment import AmendmentQuestion, AmendmentState


_OPEN: Final = Instant(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAmendment:
    """One amendment with all that was said to it, as it is kept."""

    question: AmendmentQuestion
    state: AmendmentState
    answers: tuple[Answer, ...] = ()
    """In the order in which they were received."""
    finished: Instant = _OPEN
    """When it ended or was applied; 0 while it is open."""
    reason: str = ""
    """Why, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendmentChange:
    """A step of one amendment."""

    id: str
    before: AmendmentState
    after: AmendmentState
    finished: Instant
    reason: str


class AmendmentReads(Protocol):
    """Reads amendments of one namespace at a time."""

    def amendment(self, namespace: str, amendment: str) -> StoredAmendment | None:
        """The amendment of this id."""

    def amendments(
        self,
        namespace: str,
        *,
        states: Collection[AmendmentState] = (),
        task: str = "",
        limit: int = 50,
        before: str = "",
    ) -> tuple[StoredAmendment, ...]:
        """Amendments, newest first; empty filters take all; `before` is the last id of the page before."""

    def open_amendments(self) -> tuple[StoredAmendment, ...]:
        """All that are open, of every namespace, oldest first, without answers; answered by an index."""


class AmendmentWrites(AmendmentReads, Protocol):
    """Writes them; what is locked does not change until the end of the transaction."""

    def lock_amendment(self, namespace: str, amendment: str) -> StoredAmendment | None:
        """The amendment of this id, locked."""

    def lock_open(self, namespace: str, tasks: Collection[str]) -> tuple[StoredAmendment, ...]:
        """All open ones of these tasks, locked, by id."""

    def denied(self, namespace: str, task: str, scope: str) -> bool:
        """Whether the scope of this digest was denied to this task."""

    def count_open(self, namespace: str, tasks: Collection[str]) -> dict[str, int]:
        """By task, each of these: how many are open."""

    def count_asked(self, namespace: str, agent: str, since: Instant) -> int:
        """How many of this agent's tasks were asked for at that instant or later."""

    def insert_amendment(self, amendment: StoredAmendment) -> None:
        """Write a new one, without answers.

        One whose id exists MUST raise `ConflictError`, and so MUST a second open one of a task.
        """

    def move_amendments(self, namespace: str, changes: Collection[AmendmentChange]) -> None:
        """Write steps, each in one conditional statement.

        MUST raise `ConflictError` when an amendment is not in its `before` state: it was applied, or is over.
        """

    def put_answer(self, namespace: str, amendment: str, answer: Answer) -> None:
        """Add an answer. MUST raise `ConflictError` when this person has given one of this kind."""
