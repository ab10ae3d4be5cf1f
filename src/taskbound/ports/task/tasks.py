"""Tasks, templates, remainders of limits, and registered runs in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.task import Heartbeat, Task, TaskHead, TaskState, Template


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
