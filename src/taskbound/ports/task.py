"""Stored tasks and amendments."""

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
    """A stored amendment with its answers."""

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
    """A state change of one amendment."""

    id: str
    before: AmendmentState
    after: AmendmentState
    finished: Instant
    reason: str


class AmendmentReads(Protocol):
    """Reads amendments, per namespace."""

    def amendment(self, namespace: str, amendment: str) -> StoredAmendment | None:
        pass

    def amendments(
        self,
        namespace: str,
        *,
        states: Collection[AmendmentState] = (),
        task: str = "",
        limit: int = 50,
        before: str = "",
    ) -> tuple[StoredAmendment, ...]:
        """Returns amendments, newest first; empty filters match all; `before` is the last id so far."""

    def open_amendments(self) -> tuple[StoredAmendment, ...]:
        """Returns open amendments of all namespaces, oldest first, without answers. MUST use an index."""


class AmendmentWrites(AmendmentReads, Protocol):
    """Writes amendments; locks last until the end of the transaction."""

    def lock_amendment(self, namespace: str, amendment: str) -> StoredAmendment | None:
        pass

    def lock_open(self, namespace: str, tasks: Collection[str]) -> tuple[StoredAmendment, ...]:
        """Locks all open ones of these tasks, by id."""

    def denied(self, namespace: str, task: str, scope: str) -> bool:
        pass

    def count_open(self, namespace: str, tasks: Collection[str]) -> dict[str, int]:
        pass

    def count_asked(self, namespace: str, agent: str, since: Instant) -> int:
        pass

    def insert_amendment(self, amendment: StoredAmendment) -> None:
        """Inserts without answers. MUST raise `ConflictError` for an existing id or a second open one."""

    def move_amendments(self, namespace: str, changes: Collection[AmendmentChange]) -> None:
        """MUST be one conditional statement each and raise `ConflictError` if one is not `before`."""

    def put_answer(self, namespace: str, amendment: str, answer: Answer) -> None:
        """Adds an answer. MUST raise `ConflictError` if the person gave one of this kind."""


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
    """Reads tasks, per namespace."""

    def task(self, namespace: str, task: str) -> Task | None:
        pass

    def tasks(
        self,
        namespace: str,
        *,
        agent: str = "",
        states: Collection[TaskState] = (),
        limit: int = 50,
        before: str = "",
    ) -> tuple[Task, ...]:
        """Returns tasks, newest first; empty filters match all; `before` is the last id so far."""

    def due(self, now: Instant, *, limit: int = 100) -> tuple[Task, ...]:
        """Returns live tasks of all namespaces past their deadline, oldest first. MUST use an index."""

    def heads(self, namespace: str, tasks: Collection[str]) -> Mapping[str, TaskHead]:
        """Returns the heads of these tasks and all their ancestors, by id."""

    def children(self, namespace: str, task: str) -> tuple[Task, ...]:
        """Returns all live descendants, nearest first."""

    def lineage(self, namespace: str, task: str) -> tuple[Task, ...]:
        """Returns the task and its ancestors in any state, nearest first; empty if unknown."""

    def tree(self, namespace: str, root: str) -> tuple[Task, ...]:
        """Returns every task of this root's tree in any state, in start order."""

    def overdue(self, now: Instant, *, limit: int = 100) -> tuple[Heartbeat, ...]:
        """Returns overdue heartbeats of all namespaces, oldest first. MUST use an index."""

    def heartbeats(self, namespace: str, tasks: Collection[str]) -> Mapping[str, Heartbeat]:
        pass

    def remainders(self, namespace: str, task: str) -> Mapping[str, int]:
        pass

    def count(self, namespace: str, state: TaskState, *, learning: bool = False) -> int:
        """Returns the number of tasks in this state, only learning ones if asked."""

    def templates(self, namespace: str) -> tuple[Template, ...]:
        pass

    def template(self, namespace: str, name: str) -> Template | None:
        pass

    def evidence(self, namespace: str, digest: str) -> str:
        """Returns the stored token of this digest, or ''."""

    def accounts(self, namespace: str, tasks: Collection[str]) -> frozenset[int]:
        pass

    def runs(self, namespace: str, boot: str) -> tuple[Run, ...]:
        """Returns this boot's runs whose task has not ended."""

    def registered(self, boot: str) -> tuple[Run, ...]:
        """Returns every run of this boot in any namespace, whatever its task's state."""

    def of_runs(self, namespace: str, tasks: Collection[str]) -> frozenset[str]:
        """Returns those of these tasks with a run of any boot, live or not."""


class TaskWrites(TaskReads, Protocol):
    """Writes tasks; `expect` is the row's required version, 0 if it must not exist."""

    def lock_heads(self, namespace: str, tasks: Collection[str]) -> Mapping[str, TaskHead]:
        """As `heads`, locked."""

    def lock_tree(self, namespace: str, task: str) -> tuple[Task, ...]:
        """Returns the task and live descendants, nearest first. MUST exclude `lock_heads`."""

    def lock_remainders(self, namespace: str, tasks: Collection[str]) -> Mapping[str, Mapping[str, int]]:
        """Locks and returns the remainders of each limit by task, for each task asked for."""

    def put_task(self, task: Task, *, expect: int) -> None:
        """Writes the task. MUST raise `ConflictError` for another version."""

    def open_limits(self, namespace: str, task: str, limits: Mapping[str, int]) -> None:
        """Inserts a new task's limits. MUST raise `ConflictError` if it has one of them."""

    def close_limits(self, namespace: str, task: str) -> None:
        """Deletes a task's limits, so that others can be opened."""

    def put_heartbeat(self, heartbeat: Heartbeat) -> None:
        pass

    def drop_heartbeat(self, namespace: str, task: str) -> None:
        pass

    def set_remainders(self, namespace: str, changes: Mapping[tuple[str, str], tuple[int, int]]) -> None:
        """Changes (task, limit) from first to second. MUST raise `ConflictError`, and refuse negatives."""

    def put_template(self, template: Template, *, expect: int) -> None:
        """Writes the template. MUST raise `ConflictError` for another version."""

    def drop_template(self, namespace: str, name: str) -> None:
        pass

    def keep_evidence(self, namespace: str, digest: str, token: str) -> None:
        """Stores the token under its digest, unless stored."""

    def keep_account(self, namespace: str, task: str, uid: int) -> None:
        """Stores the account of the task's agent, unless stored."""

    def put_run(self, run: Run) -> None:
        """Registers a run, replacing one of the same process."""


class UnclaimedReads(Protocol):
    """Reads unclaimed tasks."""

    def due(self, now: Instant, *, limit: int = 100) -> tuple[Unclaimed, ...]:
        """Returns due notes of all namespaces, oldest first. MUST use an index."""

    def note(self, namespace: str, task: str) -> Unclaimed | None:
        """Returns the task's note; None if claimed or never noted."""


class UnclaimedWrites(UnclaimedReads, Protocol):
    """Writes notes; a caller that decides by one must hold the lock of the task's row."""

    def put(self, note: Unclaimed) -> None:
        """Inserts a note of a task written in this transaction. MUST raise `ConflictError` if noted."""

    def drop(self, namespace: str, task: str) -> None:
        pass
