"""The unit of authority: declared before the agent acts, and ended for good.

1. Every (state, event) has an answer; an ended task answers no to everything.
2. A task is live when it runs, its deadline has not come, and every ancestor is
   live (design 4.3). Paused is not ended.
3. What a task may do, for whom and until when never changes in place: the row's
   version counts changes of its state, and a decision names the version it read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.transition import Transitions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.scope import Scope

__all__ = [
    "ENDED",
    "TASK_TRANSITIONS",
    "AmbiguousTaskError",
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
    "require_live",
]

_SECOND: Final = 1_000_000
_LIFETIME_LIMIT: Final = 30 * 24 * 3600
_PURPOSE_LIMIT: Final = 500
_DEPTH_LIMIT: Final = 32


class TaskSyntaxError(MalformedError):
    """A task was declared with something that can't be."""

    code = "bad-task"


class NoTaskError(DeniedError):
    """No task, no action (law 1)."""

    code = "no-task"
    remedy = "ask the person to open one with `taskbound task start` or `taskbound run`"


class AmbiguousTaskError(DeniedError):
    """More than one task runs for this agent, and nothing says which one is meant."""

    code = "ambiguous-task"
    remedy = "start the agent under `taskbound run`, or end the other tasks"


class TaskEndedError(DeniedError):
    """The task has ended."""

    code = "task-ended"
    remedy = "ask the person to open a new task"


class TaskExpiredError(DeniedError):
    """The task's deadline has passed."""

    code = "task-expired"
    remedy = "ask the person to open a new task"


class TaskPausedError(DeniedError):
    """The task is paused."""

    code = "task-paused"
    remedy = "ask the person to resume it"


class TaskNotStartedError(DeniedError):
    """The task is proposed and has not started."""

    code = "task-not-started"
    remedy = "ask the person to start it"


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
        **{(state, TaskEvent.FAIL): TaskState.FAILED for state in (_P, _R, _Z)},
        **{(state, TaskEvent.CANCEL): TaskState.CANCELLED for state in (_P, _R, _Z)},
        **{(state, TaskEvent.EXPIRE): TaskState.EXPIRED for state in (_P, _R, _Z)},
        **{(state, TaskEvent.REVOKE): TaskState.REVOKED for state in (_P, _R, _Z)},
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskHead:
    """What of a task must be read again, locked, when a decision is committed."""

    namespace: str
    id: str
    agent: str
    parent: str
    """Empty for a root task."""
    state: TaskState
    deadline: Instant
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A declared piece of work: who, why, what, until when."""

    namespace: str
    id: str
    agent: str
    requester: str
    purpose: str
    evidence: tuple[str, ...]
    scope: Scope
    state: TaskState
    parent: str
    root: str
    """The id of the tree's first task: this one's own when it has no parent."""
    started: Instant
    deadline: Instant
    version: int = 1

    @property
    def head(self) -> TaskHead:
        """The part that decisions read again under lock."""
        return TaskHead(
            namespace=self.namespace,
            id=self.id,
            agent=self.agent,
            parent=self.parent,
            state=self.state,
            deadline=self.deadline,
            version=self.version,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A scope and a lifetime kept under a name, to make tasks of."""

    namespace: str
    name: str
    scope: Scope
    seconds: int
    purpose: str
    version: int = 1


def move_task(task: Task, event: TaskEvent) -> Task:
    """The task after the event.

    Raises:
        WrongStateError: The event can't happen now (rule 1).
    """
    state = TASK_TRANSITIONS.advance(task.state, event)
    return replace(task, state=state, version=task.version + 1)


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


def _require_head(head: TaskHead, now: Instant, who: str) -> None:
    if head.state in ENDED:
        raise TaskEndedError(f"{who} has ended ({head.state.value})")
    if now >= head.deadline:
        raise TaskExpiredError(f"{who} has passed its deadline")
    if head.state is TaskState.PAUSED:
        raise TaskPausedError(f"{who} is paused")
    if head.state is TaskState.PROPOSED:
        raise TaskNotStartedError(f"{who} has not started")


def parse_purpose(text: str) -> str:
    """A purpose that a person can read.

    Raises:
        TaskSyntaxError: Empty or longer than 500 characters.
    """
    if not text.strip() or len(text) > _PURPOSE_LIMIT:
        raise TaskSyntaxError(f"a purpose has 1 to {_PURPOSE_LIMIT} characters", where="purpose")
    return text


def parse_lifetime(seconds: int) -> int:
    """A lifetime in seconds, 1 second to 30 days.

    Raises:
        TaskSyntaxError: Outside that.
    """
    if not 1 <= seconds <= _LIFETIME_LIMIT:
        raise TaskSyntaxError(
            f"a task lives 1 to {_LIFETIME_LIMIT} seconds, not {seconds}",
            where="seconds",
            remedy="give a shorter or longer time with `--for`",
        )
    return seconds
