"""Which task a connection's calls belong to (design 5).

1. The nearest process of the peer's ancestry that ever registered a run of this boot decides, known by pid
   and start time, in whatever namespace it registered. Its task is the only one, also after it has ended:
   then the daemon refuses.
2. A peer outside every run has the one running task of its agent, or the one that it names. A task that a run
   is registered for, of any boot, or that was begun for a client that shows a token, is not reachable so.
3. Where the connection had a task before, which has ended, rule 2 gives it only a task that a person started
   later, not a delegated one, which has a parent. The change is recorded before the first call.
4. Otherwise a refusal that says how to open one.
5. The account under which an agent runs for a task is kept with the task, before its first call: whoever has
   the account can do what the agent does, and approves nothing of it (I-31).
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
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Snapshot, Transaction


_ENOUGH: Final = 2
"""Running tasks that are looked for: with more than one, the task is ambiguous."""


def bind(  # noqa: PLR0913 - what names a peer, each by its name
    means: Means,
    namespace: str,
    agent: str,
    *,
    boot: str,
    ancestry: Sequence[tuple[int, int]],
    named: str = "",
    last: str = "",
) -> Task:
    """The task of a connection.

    Args:
        means: What flows are given.
        namespace: Of the connection.
        agent: Of the connection.
        boot: The machine's boot id.
        ancestry: (pid, start time) of the peer and its ancestors, nearest first.
        named: The task that is meant; empty where it is not said.
        last: The task that the connection belonged to before; empty without one.

    Raises:
        NoTaskError: No task of the agent can be reached from there, or not the one that is named.
        AmbiguousTaskError: More than one runs, no run is registered, and no task is named.
        TaskEndedError: The task of the registered run has ended.
        TaskExpiredError: Its deadline has passed.
        DeniedError: The task that is named is not live.
    """
    now = means.clock.now()
    with means.store.read() as snapshot:
        run = nearest_run(snapshot, namespace, boot, ancestry)
        if run is not None:
            return _as_named(_registered(snapshot, namespace, agent, run, now), named)  # 1
        if named:
            return _named(snapshot, namespace, agent, named, now)  # 2
        live = _free(snapshot, namespace, agent, now, last)
    if len(live) == 1:
        return live[0]  # 2
    if live:
        raise AmbiguousTaskError(f"more than one task runs for agent `{agent}`")
    which = "no task that a person started since the last one ended" if last else "no task"
    raise NoTaskError(f"{which} runs for agent `{agent}` outside `taskbound run`")  # 4


def nearest_run(
    snapshot: Snapshot, namespace: str, boot: str, ancestry: Sequence[tuple[int, int]]
) -> Run | None:
    """The run that decides for a peer (rule 1); None for a peer outside every run.

    Of one process that registered in several namespaces, the run of this namespace.

    Args:
        snapshot: Where runs stand.
        namespace: Of the connection.
        boot: The machine's boot id.
        ancestry: (pid, start time) of the peer and its ancestors, nearest first.
    """
    runs: dict[tuple[int, int], Run] = {}
    for run in snapshot.tasks.registered(boot):
        process = (run.pid, run.started)
        if process not in runs or run.namespace == namespace:
            runs[process] = run
    return next((runs[process] for process in ancestry if process in runs), None)


def follow(means: Means, task: Task, before: str, *, connection: str, proof: str) -> None:
    """Record that a connection whose task has ended belongs to another one now (rule 3)."""
    event = TaskFollowed(task=task.id, before=before, agent=task.agent, connection=connection, proof=proof)
    now = means.clock.now()
    means.store.write(lambda tx: tx.audit.append(task.namespace, means.writer, [event], now))


def keep_account(means: Means, task: Task, uid: int) -> None:
    """Keep that the task's agent runs under this account (rule 5)."""
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
    run = Run(namespace=namespace, task=task, boot=boot, pid=pid, started=started)

    def work(tx: Transaction) -> None:
        now = means.clock.now()
        heads = tx.tasks.lock_heads(namespace, {task})
        require_live(task, heads, now)
        event = RunRegistered(
            task=task, agent=heads[task].agent, pid=pid, started=started, by=actor.name, proof=actor.proof
        )
        tx.tasks.put_run(run)
        tx.audit.append(namespace, means.writer, [event], now)

    means.store.write(work)


def _registered(snapshot: Snapshot, namespace: str, agent: str, run: Run, now: Instant) -> Task:
    """The task of the run above, if it is this agent's and may still do something (rule 1)."""
    found = snapshot.tasks.task(namespace, run.task) if run.namespace == namespace else None
    if found is None or found.agent != agent:
        raise NoTaskError(
            f"this process belongs to the task `{run.task}` of `taskbound run`, which is not one of agent"
            f" `{agent}` in namespace `{namespace}`"
        )
    require_going(found.id, snapshot.tasks.heads(namespace, {found.id}), now)
    return found


def _free(snapshot: Snapshot, namespace: str, agent: str, now: Instant, last: str) -> list[Task]:
    """Up to two running tasks that a connection outside every run may have (rules 2 and 3)."""
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
    """Whether a connection of the one before may go on in this task (rule 3)."""
    return not task.parent and task.started >= before.started


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
