"""Finds the task of a connection (design 5).

1. The nearest process of the peer's ancestry with a registered run of this boot, by pid and start time and in
   any namespace, decides. Its task is the only one, also after it ended.
2. A peer outside runs gets its agent's only running task, or the one it names. Tasks of runs, or begun for a
   client that shows a token, are excluded.
3. After its task ended, a connection only gets a task that a person started later and that has no parent. The
   change is recorded before the first call.
4. The account that runs the agent is stored with the task before its first call; its person cannot approve
   for the task (I-31).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.audit import RunRegistered
from taskbound.core.audit.events import TaskAccounted, TaskFollowed
from taskbound.core.task import AmbiguousTaskError, NoTaskError, TaskState, require_going, require_live
from taskbound.ports.task import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.task import Task
    from taskbound.flows.means import Actor, Adapters
    from taskbound.ports.store import Snapshot, Transaction


_ENOUGH: Final = 2
"""Running tasks that are looked for: with more than one, the task is ambiguous."""


def bind(  # noqa: PLR0913 - what names a peer, each by its name
    adapters: Adapters,
    namespace: str,
    agent: str,
    *,
    boot: str,
    ancestry: Sequence[tuple[int, int]],
    named: str = "",
    last: str = "",
) -> Task:
    """`ancestry` is (pid, start time), nearest first; `last` is the connection's previous task."""
    now = adapters.clock.now()
    with adapters.store.read() as snapshot:
        run = nearest_run(snapshot, namespace, boot, ancestry)
        if run is not None:
            return _as_named(_registered(snapshot, namespace, agent, run, now), named)
        if named:
            return _named(snapshot, namespace, agent, named, now)
        live = _free(snapshot, namespace, agent, now, last)
    if len(live) == 1:
        return live[0]
    if live:
        raise AmbiguousTaskError(f"more than one task runs for agent `{agent}`")
    which = "no task that a person started since the last one ended" if last else "no task"
    raise NoTaskError(f"{which} runs for agent `{agent}` outside `taskbound run`")


def nearest_run(
    snapshot: Snapshot, namespace: str, boot: str, ancestry: Sequence[tuple[int, int]]
) -> Run | None:
    """Returns the peer's nearest run; of one process's runs in several namespaces, this namespace's."""
    runs: dict[tuple[int, int], Run] = {}
    for run in snapshot.tasks.registered(boot):
        process = (run.pid, run.started)
        if process not in runs or run.namespace == namespace:
            runs[process] = run
    return next((runs[process] for process in ancestry if process in runs), None)


def follow(adapters: Adapters, task: Task, before: str, *, connection: str, proof: str) -> None:
    event = TaskFollowed(task=task.id, before=before, agent=task.agent, connection=connection, proof=proof)
    now = adapters.clock.now()
    adapters.store.write(lambda tx: tx.audit.append(task.namespace, adapters.writer, [event], now))


def keep_account(adapters: Adapters, task: Task, uid: int) -> None:
    """Stores the account that the task's agent runs under."""
    namespace = task.namespace
    with adapters.store.read() as snapshot:
        if uid in snapshot.tasks.accounts(namespace, {task.id}):
            return
    event = TaskAccounted(task=task.id, agent=task.agent, account=f"peer-uid:{uid}")

    def work(tx: Transaction) -> None:
        if uid in tx.tasks.accounts(namespace, {task.id}):
            return
        tx.tasks.keep_account(namespace, task.id, uid)
        tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())

    adapters.store.write(work)


def orphaned_runs(adapters: Adapters, boot: str, alive: Callable[[int, int], bool]) -> tuple[Run, ...]:
    """Returns this boot's runs whose process is gone and whose task has not ended."""
    with adapters.store.read() as snapshot:
        spaces = sorted({run.namespace for run in snapshot.tasks.registered(boot)})
        runs = [run for space in spaces for run in snapshot.tasks.runs(space, boot)]
    return tuple(run for run in runs if not alive(run.pid, run.started))


def register_run(  # noqa: PLR0913 - what names a process, each by its name
    adapters: Adapters, namespace: str, task: str, actor: Actor, *, boot: str, pid: int, started: int
) -> None:
    run = Run(namespace=namespace, task=task, boot=boot, pid=pid, started=started)

    def work(tx: Transaction) -> None:
        now = adapters.clock.now()
        heads = tx.tasks.lock_heads(namespace, {task})
        require_live(task, heads, now)
        event = RunRegistered(
            task=task, agent=heads[task].agent, pid=pid, started=started, by=actor.name, proof=actor.proof
        )
        tx.tasks.put_run(run)
        tx.audit.append(namespace, adapters.writer, [event], now)

    adapters.store.write(work)


def _registered(snapshot: Snapshot, namespace: str, agent: str, run: Run, now: Instant) -> Task:
    found = snapshot.tasks.task(namespace, run.task) if run.namespace == namespace else None
    if found is None or found.agent != agent:
        raise NoTaskError(
            f"this process belongs to the task `{run.task}` of `taskbound run`, which is not one of agent"
            f" `{agent}` in namespace `{namespace}`"
        )
    require_going(found.id, snapshot.tasks.heads(namespace, {found.id}), now)
    return found


def _free(snapshot: Snapshot, namespace: str, agent: str, now: Instant, last: str) -> list[Task]:
    before = snapshot.tasks.task(namespace, last) if last else None
    if last and (before is None or before.agent != agent):
        return []
    found: list[Task] = []
    cursor = ""
    while len(found) < _ENOUGH:
        page = snapshot.tasks.tasks(namespace, agent=agent, states={TaskState.RUNNING}, before=cursor)
        if not page:
            break
        cursor = page[-1].id
        taken = snapshot.tasks.of_runs(namespace, {task.id for task in page})
        found += [
            task
            for task in page
            if now < task.deadline
            and task.id not in taken
            and not task.for_token
            and (before is None or task.id == last or _follows(task, before))
        ]
    return found[:_ENOUGH]


def _follows(task: Task, before: Task) -> bool:
    return not task.parent and task.started >= before.started


def _as_named(task: Task, named: str) -> Task:
    if named not in {"", task.id}:
        raise NoTaskError(
            f"this process stands in the task `{task.id}`, and in no other",
            remedy="name that one, or none",
        )
    return task


def _named(snapshot: Snapshot, namespace: str, agent: str, named: str, now: Instant) -> Task:
    found = snapshot.tasks.task(namespace, named)
    if found is None or found.agent != agent:
        raise NoTaskError(f"no task of agent `{agent}` has the name that was given")
    if snapshot.tasks.of_runs(namespace, {named}):
        raise NoTaskError(
            f"the task `{named}` belongs to the process that registered it with `taskbound run`",
            remedy="ask from beneath that run, or open another task",
        )
    if found.for_token:
        raise NoTaskError(
            f"the task `{named}` was begun for a client that shows a token of it",
            remedy="show that token, or open another task",
        )
    require_live(named, snapshot.tasks.heads(namespace, {named}), now)
    return found
