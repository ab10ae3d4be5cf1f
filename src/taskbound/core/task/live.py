"""Whether a task gives authority now.

A task is live when it runs, its deadline has not come, and every ancestor is live
(design 4.3). Paused is not ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.task.errors import (
    NoTaskError,
    TaskEndedError,
    TaskExpiredError,
    TaskNotStartedError,
    TaskPausedError,
)
from taskbound.core.task.state import ENDED, TaskState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.task.values import TaskHead


_DEPTH_LIMIT: Final = 32


def require_live(task: str, heads: Mapping[str, TaskHead], now: Instant) -> None:
    """Go on only when the task and every ancestor are live (rule 2).

    Args:
        task: The task's id.
        heads: By id, the task and all its ancestors.
        now: When.

    Raises:
        NoTaskError: It or an ancestor is not known.
        TaskEndedError: It or an ancestor has ended.
        TaskExpiredError: A deadline has come.
        TaskPausedError: It or an ancestor is paused.
        TaskNotStartedError: It or an ancestor is only proposed.
    """
    wanted = task
    for _ in range(_DEPTH_LIMIT):
        head = heads.get(wanted)
        if head is None:
            raise NoTaskError(f"task `{wanted}` is not known")
        _require_head(head, now, "the task" if wanted == task else f"its ancestor `{wanted}`")
        if not head.parent:
            return
        wanted = head.parent
    raise NoTaskError(f"task `{task}` has more than {_DEPTH_LIMIT} ancestors")


def deadline_with(task: str, heads: Mapping[str, TaskHead]) -> Instant:
    """The first deadline of the task and its ancestors: nothing that rests on it lasts longer.

    Raises:
        NoTaskError: It or an ancestor is not known.
    """
    first: Instant | None = None
    wanted = task
    for _ in range(_DEPTH_LIMIT):
        head = heads.get(wanted)
        if head is None:
            raise NoTaskError(f"task `{wanted}` is not known")
        first = head.deadline if first is None else min(first, head.deadline)
        if not head.parent:
            return first
        wanted = head.parent
    raise NoTaskError(f"task `{task}` has more than {_DEPTH_LIMIT} ancestors")


def require_going(task: str, heads: Mapping[str, TaskHead], now: Instant) -> None:
    """Go on only with a task that may still do something, now or once it is resumed; its ancestors too.

    Args:
        task: The task's id.
        heads: By id, the task and all its ancestors.
        now: When.

    Raises:
        NoTaskError: It is not known.
        TaskEndedError: It or an ancestor has ended.
        TaskExpiredError: A deadline has come.
    """
    if task not in heads:
        raise NoTaskError(f"task `{task}` is not known")
    for name, head in heads.items():
        _require_goes_on(head, now, "the task" if name == task else f"its ancestor `{name}`")


def _require_goes_on(head: TaskHead, now: Instant, who: str) -> None:
    if head.state in ENDED:
        raise TaskEndedError(f"{who} has ended ({head.state.value})")
    if now >= head.deadline:
        raise TaskExpiredError(f"{who} has passed its deadline")


def _require_head(head: TaskHead, now: Instant, who: str) -> None:
    _require_goes_on(head, now, who)
    if head.state is TaskState.PAUSED:
        raise TaskPausedError(f"{who} is paused")
    if head.state is TaskState.PROPOSED:
        raise TaskNotStartedError(f"{who} has not started")
