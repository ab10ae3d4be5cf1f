"""Where a task stands: every (state, event) has an answer, and an ended task answers no to everything."""

from __future__ import annotations

from enum import Enum
from typing import Final

from taskbound.core.task.errors import TaskSyntaxError
from taskbound.core.transition import Transitions


class TaskState(Enum):
    """Where a task stands; the last five are ended."""

    PROPOSED = "proposed"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REVOKED = "revoked"


ENDED: Final = frozenset(
    {TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED, TaskState.EXPIRED, TaskState.REVOKED}
)


class TaskEvent(Enum):
    """What can happen to a task."""

    START = "start"
    PAUSE = "pause"
    MISS_HEARTBEAT = "miss-heartbeat"
    RESUME = "resume"
    OVERSTAY_GRACE = "overstay-grace"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    EXPIRE = "expire"
    REVOKE = "revoke"


_ENDINGS: Final = {
    TaskEvent.FAIL: TaskState.FAILED,
    TaskEvent.CANCEL: TaskState.CANCELLED,
    TaskEvent.EXPIRE: TaskState.EXPIRED,
    TaskEvent.REVOKE: TaskState.REVOKED,
}
_WAYS: Final = {
    "cancelled": TaskEvent.CANCEL,
    "completed": TaskEvent.COMPLETE,
    "failed": TaskEvent.FAIL,
    "revoked": TaskEvent.REVOKE,
}
_P, _R, _Z = TaskState.PROPOSED, TaskState.RUNNING, TaskState.PAUSED

TASK_TRANSITIONS: Final[Transitions[TaskState, TaskEvent]] = Transitions(
    word="the task",
    moves={
        (_P, TaskEvent.START): _R,
        (_R, TaskEvent.PAUSE): _Z,
        (_R, TaskEvent.MISS_HEARTBEAT): _Z,
        (_Z, TaskEvent.RESUME): _R,
        (_Z, TaskEvent.OVERSTAY_GRACE): TaskState.EXPIRED,
        **{(state, TaskEvent.COMPLETE): TaskState.COMPLETED for state in (_R, _Z)},
        **{(state, event): end for state in (_P, _R, _Z) for event, end in _ENDINGS.items()},
    },
)


def ending(how: str) -> TaskEvent:
    """The event that ends a task so.

    Raises:
        TaskSyntaxError: A task can't end like that by anyone's word.
    """
    ways = {
        "completed": TaskEvent.COMPLETE,
        "failed": TaskEvent.FAIL,
        "cancelled": TaskEvent.CANCEL,
        "revoked": TaskEvent.REVOKE,
    }
    event = ways.get(how)
    if event is None:
        raise TaskSyntaxError(
            f"a task can't end as `{how}`; it can as {', '.join(sorted(ways))}", where="how"
        )
    return event
