"""Bearers: one is made for a task, shown once, and looked at again at each call that it brings.

1. Whoever is in charge of a task makes one, from outside of every run and gateway; the surface sees to the
   latter. A task that has ended gets none.
2. A new one takes the place of the one before in the transaction of its record.
3. A connection that was opened with a bearer is its task's for good: nothing that runs beside it, above it or
   after it is looked at. It is looked at again with each call, so that one whose place is taken opens nothing
   more, at whatever daemon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.audit.events import TaskBearerMade
from taskbound.core.task import (
    ENDED,
    NoTaskError,
    TaskEndedError,
    TaskExpiredError,
    bearer_digest,
    bearer_of,
    require_in_charge,
    require_same_bearer,
    task_of_bearer,
)
from taskbound.ports.task import StoredBearer

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.task import Task
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction

__all__ = ["hold_bearer", "make_bearer", "open_bearer"]


def make_bearer(means: Means, namespace: str, task: str, actor: Actor) -> str:
    """A new bearer of the task, which is kept nowhere (rules 1 and 2).

    Raises:
        NoTaskError: It is not known.
        NotInChargeError: Another person asked for it, and its agent is another's.
        TaskEndedError: It has ended.
        TaskExpiredError: Its deadline has come.
    """
    bearer = bearer_of(task, means.chance.secret())

    def work(tx: Transaction) -> None:
        now = means.clock.now()
        found = next(iter(tx.tasks.lock_tree(namespace, task)), None)
        if found is None:
            raise NoTaskError(f"no task is named `{task}`", remedy="list them with `taskbound task list`")
        agent = tx.identities.agent(namespace, found.agent)
        require_in_charge(found, agent.owner if agent else "", actor.name)
        _require_going(found, now)
        event = TaskBearerMade(
            task=task,
            agent=found.agent,
            replaced=tx.bearers.bearer(namespace, task) is not None,
            by=actor.name,
            proof=actor.proof,
        )
        tx.bearers.put_bearer(
            StoredBearer(namespace=namespace, task=task, digest=bearer_digest(bearer), made=now)
        )
        tx.audit.append(namespace, means.writer, [event], now)

    means.store.write(work)
    return bearer


def open_bearer(means: Means, namespace: str, bearer: str) -> tuple[Task, str]:
    """The task that a bearer opens, and the bearer's digest.

    Raises:
        BadBearerError: It opens none.
        TaskEndedError: Its task has ended.
        TaskExpiredError: The task's deadline has come.
    """
    digest = bearer_digest(bearer)
    return hold_bearer(means, namespace, task_of_bearer(bearer), digest), digest


def hold_bearer(means: Means, namespace: str, task: str, digest: str) -> Task:
    """The task of a bearer that was taken before, looked at again (rule 3); raises as `open_bearer`."""
    with means.store.read() as snapshot:
        kept = snapshot.bearers.bearer(namespace, task)
        found = snapshot.tasks.task(namespace, task)
    require_same_bearer(kept.digest if kept is not None else "", digest)
    if found is None:
        raise NoTaskError(f"no task is named `{task}`")
    _require_going(found, means.clock.now())
    return found


def _require_going(task: Task, now: Instant) -> None:
    """Go on only with a task that may still do something, now or once it is resumed."""
    if task.state in ENDED:
        raise TaskEndedError(f"the task has ended ({task.state.value})")
    if now >= task.deadline:
        raise TaskExpiredError("the task has passed its deadline")
