"""The unit of authority: declared before the agent acts, and ended for good."""

from __future__ import annotations

from taskbound.core.task.errors import (
    AmbiguousTaskError,
    NoTaskError,
    TaskEndedError,
    TaskExpiredError,
    TaskNotStartedError,
    TaskPausedError,
    TaskSyntaxError,
)
from taskbound.core.task.heartbeat import Heartbeat
from taskbound.core.task.live import require_live
from taskbound.core.task.state import ENDED, TASK_TRANSITIONS, TaskEvent, TaskState, ending
from taskbound.core.task.values import (
    Task,
    TaskHead,
    Template,
    move_task,
    parse_lifetime,
    parse_purpose,
    require_learning_lifetime,
)

__all__ = [
    "ENDED",
    "TASK_TRANSITIONS",
    "AmbiguousTaskError",
    "Heartbeat",
    "NoTaskError",
    "Task",
    "TaskEndedError",
    "TaskEvent",
    "TaskExpiredError",
    "TaskHead",
    "TaskNotStartedError",
    "TaskPausedError",
    "TaskState",
    "TaskSyntaxError",
    "Template",
    "ending",
    "move_task",
    "parse_lifetime",
    "parse_purpose",
    "require_learning_lifetime",
    "require_live",
]
