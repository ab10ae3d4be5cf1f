"""Whether somebody is still there for a task: what is waited for, and what happens when it does not come.

1. A connection that is bound to the task is its heartbeat. A task whose template or order declares one, and
   that had none for so many seconds, is paused; when it is not resumed within its grace, it ends.
2. A held action stops this clock and no other: who waits for a person is not gone.
3. What is waited for is one instant of each task, found by an index. What a clock that was set forward made
   due at once is looked at after the heartbeats of that moment (law 10): who is there is not paused for it.
4. After a restart of the daemon a heartbeat is waited for anew; a grace that runs goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.task.errors import TaskSyntaxError

if TYPE_CHECKING:
    from taskbound.core.task.values import Task


LEAST: Final = 5
"""Seconds: less than a gateway may be gone without its permits being given up."""
MOST: Final = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """What is waited for of a task."""

    namespace: str
    task: str
    due: Instant
    missed: bool
    """Whether the heartbeat was missed, so that this is the end of the grace."""


def parse_heartbeat(heartbeat: int, grace: int) -> None:
    """Go on only with a heartbeat and a grace that can be declared; 0 and 0 for none.

    Raises:
        TaskSyntaxError: One without the other, or a time outside of 5 seconds to a day.
    """
    if (heartbeat, grace) == (0, 0):
        return
    for name, length in (("heartbeat", heartbeat), ("grace", grace)):
        if not LEAST <= length <= MOST:
            raise TaskSyntaxError(
                f"a {name} is {LEAST} to {MOST} seconds, not {length}",
                where=name,
                remedy="give both `--heartbeat` and `--grace`, or none",
            )


def await_heartbeat(task: Task, now: Instant) -> Heartbeat | None:
    """What is waited for from now on, when somebody was there; None for a task that declares nothing."""
    if not task.heartbeat:
        return None
    due = Instant(now + seconds(task.heartbeat))
    return Heartbeat(namespace=task.namespace, task=task.id, due=due, missed=False)


def await_grace(task: Task, now: Instant) -> Heartbeat:
    """What is waited for from now on, when nobody was there."""
    due = Instant(now + seconds(task.grace))
    return Heartbeat(namespace=task.namespace, task=task.id, due=due, missed=True)


def is_young(heartbeat: Heartbeat, task: Task, now: Instant) -> bool:
    """Whether the last heartbeat is so young that another one need not be written."""
    return heartbeat.due - now > seconds(task.heartbeat) * 2 // 3
