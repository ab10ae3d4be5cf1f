"""The unit of authority: declared before the agent acts, and ended for good."""

from __future__ import annotations

from taskbound.core.task.child import (
    Refunds,
    deadline_of,
    held,
    refunds,
    require_in_charge,
    require_room,
)
from taskbound.core.task.errors import (
    AmbiguousTaskError,
    LongerThanParentError,
    NoTaskError,
    NotInChargeError,
    OutsideParentError,
    TaskEndedError,
    TaskExpiredError,
    TaskNotStartedError,
    TaskPausedError,
    TaskSyntaxError,
    TreeTooLargeError,
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
    "LongerThanParentError",
    "NoTaskError",
    "NotInChargeError",
    "OutsideParentError",
    "Refunds",
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
    "TreeTooLargeError",
    "deadline_of",
    "ending",
    "held",
    "move_task",
    "parse_lifetime",
    "parse_purpose",
    "refunds",
    "require_in_charge",
    "require_learning_lifetime",
    "require_live",
    "require_room",
]
