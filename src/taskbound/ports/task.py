"""Ports of tasks and amendments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.approval import Answer
    from taskbound.core.approval.amendment import AmendmentQuestion, AmendmentState
    from taskbound.core.task import Heartbeat, Task, TaskHead, TaskState, Template
    from taskbound.core.task.values import Unclaimed


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A process whose descendants' connections belong to a task."""

    namespace: str
    task: str
    boot: str
    """The machine's boot id: a pid means nothing after a restart."""
    pid: int
    started: int
    """The process's start time in clock ticks since boot."""


class TaskReads(Protocol):
    """Reads tasks of one namespace at a time."""

    def task(self, namespace: str, task: str) -> Task | None:
        """The task of this id."""

    def tasks(
        self,
        namespace: str,
        *,
        agent: str = "",
        states: Collection[TaskState] = (),
        limit: int = 50,
        before: str = "",
    ) -> tuple[Task, ...]:
        """Tasks, newest first; empty filters take all; `before` is the last id of the page before."""

    def due(self, now: Instant, *, limit: int = 100) -> tuple[Task, ...]:
        """Tasks of any namespace, not ended, whose deadline has come: oldest first, answered by an index."""

    def heads(self, namespace: str, tasks: Collection[str]) -> Mapping[str, TaskHead]:
        """The heads of these tasks and all their ancestors, by id."""

    def children(self, namespace: str, task: str) -> tuple[Task, ...]:
        """All descendants that are not ended, nearest first."""

    def lineage(self, namespace: str, task: str) -> tuple[Task, ...]:
        """The task and all its ancestors, whatever their state, nearest first; empty when it is not known."""

    def tree(self, namespace: str, root: str) -> tuple[Task, ...]:
        """Every task of the tree of this first task, whatever their state, in the order of their start."""

    def overdue(self, now: Instant, *, limit: int = 100) -> tuple[Heartbeat, ...]:
        """Heartbeats of any namespace that were due: oldest first, answered by an index."""

    def heartbeats(self, namespace: str, tasks: Collection[str]) -> Mapping[str, Heartbeat]:
        """By task: what of these tasks is waited for."""

    def remainders(self, namespace: str, task: str) -> Mapping[str, int]:
        """What is left of each limit, by the limit's name."""

    def count(self, namespace: str, state: TaskState, *, learning: bool = False) -> int:
        """How many tasks are in this state; of those to learn from, if asked so."""

    def templates(self, namespace: str) -> tuple[Template, ...]:
        """Every template, by name."""

    def template(self, namespace: str, name: str) -> Template | None:
        """The template of this name."""

    def evidence(self, namespace: str, digest: str) -> str:
        """The signed token that has this digest; empty when none was kept."""

    def accounts(self, namespace: str, tasks: Collection[str]) -> frozenset[int]:
        """The accounts under which the agent has run for any of these tasks."""

    def runs(self, namespace: str, boot: str) -> tuple[Run, ...]:
        """Every registered run of this boot whose task has not ended."""

    def registered(self, boot: str) -> tuple[Run, ...]:
        """Every run of this boot that was ever registered, in any namespace, whatever became of its task."""

    def of_runs(self, namespace: str, tasks: Collection[str]) -> frozenset[str]:
        """Those of these tasks that a run is registered for, of any boot, also where its process is gone."""


class TaskWrites(TaskReads, Protocol):
    """Writes them; `expect` is the version that the row must have, 0 for a row that must not exist."""

    def lock_heads(self, namespace: str, tasks: Collection[str]) -> Mapping[str, TaskHead]:
        """As `heads`, locked against change until the end of the transaction."""

    def lock_tree(self, namespace: str, task: str) -> tuple[Task, ...]:
        """The task, ended or not, and all its descendants that are not ended, nearest first.

        All MUST be locked against `lock_heads` and against change, so that until the end of the
        transaction nothing is decided for one of them, and nothing begins beneath one.
        """

    def lock_remainders(self, namespace: str, tasks: Collection[str]) -> Mapping[str, Mapping[str, int]]:
        """By task, each that was asked for: what is left of each limit, locked against change."""

    def put_task(self, task: Task, *, expect: int) -> None:
        """Write the task. MUST raise `ConflictError` when the version is not `expect`."""

    def open_limits(self, namespace: str, task: str, limits: Mapping[str, int]) -> None:
        """Write the limits of a new task. MUST raise `ConflictError` when it has one of them."""

    def close_limits(self, namespace: str, task: str) -> None:
        """Take the limits of a task away, so that others can be opened."""

    def put_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Wait for this, instead of what was waited for of the task."""

    def drop_heartbeat(self, namespace: str, task: str) -> None:
        """Wait for nothing of this task; nothing happens when nothing was waited for."""

    def set_remainders(self, namespace: str, changes: Mapping[tuple[str, str], tuple[int, int]]) -> None:
        """By (task, limit): from what it must be to what it becomes.

        MUST raise `ConflictError` on a mismatch, and refuse what is less than nothing.
        """

    def put_template(self, template: Template, *, expect: int) -> None:
        """Write the template. MUST raise `ConflictError` when the version is not `expect`."""

    def drop_template(self, namespace: str, name: str) -> None:
        """Forget the template; nothing happens when there is none."""

    def keep_evidence(self, namespace: str, digest: str, token: str) -> None:
        """Keep the token under its digest; nothing happens when it is kept already."""

    def keep_account(self, namespace: str, task: str, uid: int) -> None:
        """Keep that the agent ran under this account; nothing happens when it is kept already."""

    def put_run(self, run: Run) -> None:
        """Register a run; the same process again is replaced."""


class UnclaimedReads(Protocol):
    """Reads them."""

    def due(self, now: Instant, *, limit: int = 100) -> tuple[Unclaimed, ...]:
        """Those of any namespace whose time has come: oldest first, answered by an index."""

    def note(self, namespace: str, task: str) -> Unclaimed | None:
        """The note of this task; None when somebody claimed it, or it was never noted."""


class UnclaimedWrites(UnclaimedReads, Protocol):
    """Writes them. Who reads or drops one to decide on it holds a lock of the task's row."""

    def put(self, note: Unclaimed) -> None:
        """Note a task that is written in the same transaction. MUST raise `ConflictError` if it is noted."""

    def drop(self, namespace: str, task: str) -> None:
        """Forget the note; nothing happens when there is none."""
