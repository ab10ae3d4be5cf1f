"""Which task a connection's calls belong to (design 6).

1. The task that `taskbound run` registered for the nearest ancestor process, known by
   pid and start time, as long as it has not ended.
2. Otherwise the one running task of the agent. Where a process that stands beneath no run and no gateway
   names which is meant, that one and no other.
3. Otherwise a refusal that says how to open one.
4. The account under which an agent runs for a task is kept with the task, before its first call: whoever has
   the account can do what the agent does, and approves nothing of it (I-31).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.audit import RunRegistered
from taskbound.core.audit.events import TaskAccounted
from taskbound.core.task import AmbiguousTaskError, NoTaskError, TaskState, require_live
from taskbound.ports.task import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.task import Task
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Snapshot, Transaction

__all__ = ["bind", "keep_account", "orphaned_runs", "register_run"]


def bind(
    means: Means,
    namespace: str,
    agent: str,
    *,
    boot: str,
    ancestry: Sequence[tuple[int, int]],
    named: str = "",
) -> Task:
    """The task of a connection.

    Args:
        means: What flows are given.
        namespace: Of the connection.
        agent: Of the connection.
        boot: The machine's boot id.
        ancestry: (pid, start time) of the peer and its ancestors, nearest first.
        named: The task that is meant; empty where it is not said.

    Raises:
        NoTaskError: None runs, or not the one that is named.
        AmbiguousTaskError: More than one runs, no run is registered, and none is named.
        DeniedError: The registered run's task is not live.
    """
    with means.store.read() as snapshot:
        runs = {(run.pid, run.started): run for run in snapshot.tasks.runs(namespace, boot)}
        for process in ancestry:
            run = runs.get(process)
            if run is not None:
                found = _registered(snapshot.tasks.task(namespace, run.task), agent, run)  # 1
                return _as_named(found, named)
        now = means.clock.now()
        if named:
            return _named(snapshot, namespace, agent, named, now)  # 2
        running = snapshot.tasks.tasks(namespace, agent=agent, states={TaskState.RUNNING}, limit=2)
    live = [task for task in running if now < task.deadline]
    if len(live) == 1:
        return live[0]  # 2
    if live:
        raise AmbiguousTaskError(f"more than one task runs for agent `{agent}`")
    raise NoTaskError(f"no task runs for agent `{agent}`")  # 3


def keep_account(means: Means, task: Task, uid: int) -> None:
    """Keep that the task's agent runs under this account (rule 4)."""
    namespace = task.namespace
    with means.store.read() as snapshot:
        if uid in snapshot.tasks.accounts(namespace, {task.id}):
            return
    event = TaskAccounted(task=task.id, agent=task.agent, account=f"peer-uid:{uid}")

    def work(tx: Transaction) -> None:
        if uid in tx.tasks.accounts(namespace, {task.id}):
            return
        tx.tasks.keep_account(namespace, task.id, uid)
        tx.audit.append(namespace, means.writer, [event], means.clock.now())

    means.store.write(work)


def orphaned_runs(means: Means, boot: str, alive: Callable[[int, int], bool]) -> tuple[Run, ...]:
    """Every run of this boot whose task has not ended and whose process has: nobody will end the task.

    Args:
        means: What flows are given.
        boot: The machine's boot id.
        alive: Whether the process of this pid and start time is there.
    """
    with means.store.read() as snapshot:
        spaces = sorted({run.namespace for run in snapshot.tasks.registered(boot)})
        runs = [run for space in spaces for run in snapshot.tasks.runs(space, boot)]
    return tuple(run for run in runs if not alive(run.pid, run.started))


def register_run(  # noqa: PLR0913 - what names a process, each by its name
    means: Means, namespace: str, task: str, actor: Actor, *, boot: str, pid: int, started: int
) -> None:
    """Make this process, and all beneath it, belong to a live task.

    Raises:
        DeniedError: The task is not live.
    """
    with means.store.read() as snapshot:
        require_live(task, snapshot.tasks.heads(namespace, {task}), means.clock.now())
        found = snapshot.tasks.task(namespace, task)
    agent = found.agent if found is not None else ""
    run = Run(namespace=namespace, task=task, boot=boot, pid=pid, started=started)
    event = RunRegistered(task=task, agent=agent, pid=pid, started=started, by=actor.name, proof=actor.proof)

    def work(tx: Transaction) -> None:
        tx.tasks.put_run(run)
        tx.audit.append(namespace, means.writer, [event], means.clock.now())

    means.store.write(work)


def _registered(task: Task | None, agent: str, run: Run) -> Task:
    if task is None or task.agent != agent:
        raise NoTaskError(f"the task `{run.task}` of this run is not one of agent `{agent}`")
    return task


def _as_named(task: Task, named: str) -> Task:
    if named not in {"", task.id}:
        raise NoTaskError(
            f"this process stands in the task `{task.id}`, and in no other",
            remedy="name that one, or none",
        )
    return task


def _named(snapshot: Snapshot, namespace: str, agent: str, named: str, now: Instant) -> Task:
    """The task of this name, which runs for the agent (rule 2)."""
    found = snapshot.tasks.task(namespace, named)
    if found is None or found.agent != agent:
        raise NoTaskError(f"no task of agent `{agent}` has the name that was given")
    require_live(named, snapshot.tasks.heads(namespace, {named}), now)
    return found
