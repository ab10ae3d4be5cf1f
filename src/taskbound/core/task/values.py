"""A task: declaration, state machine, heartbeat and holds.

`values`: agent, requester and deadline never change. Steps, amendments and state changes increment the
version that decisions name.

`live`: a task is live if it runs, its deadline has not passed and every ancestor is live (design 4.3).

`heartbeat`: A bound connection is the task's heartbeat. A task that declares a heartbeat is paused after
that many seconds without one, and ends if it is not resumed within its grace. An open hold stops this
clock only. Each task has one due instant, in an index. After a clock jump heartbeats are processed before
due tasks (law 10). A daemon restart restarts the wait for a heartbeat; a running grace continues.

`holds`: A hold ends when its call is canceled or its caller disconnects. A template may keep it open until
its deadline; the same call from any connection of the agent resumes it.

`unclaimed`: A task begun by an exchange or a consent is unclaimed until its token is signed or the client
admitted. An unclaimed task ends after a minute.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.task.errors import (
    NoTaskError,
    TaskEndedError,
    TaskExpiredError,
    TaskNotStartedError,
    TaskPausedError,
    TaskSyntaxError,
)
from taskbound.core.transition import Transitions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.scope import Scope
    from taskbound.core.scope.algebra import Share
    from taskbound.core.task.evidence import Evidence
    from taskbound.core.task.spent import GrantUsage


class Holds(Enum):
    """What happens to a hold when its call ends; values are the words in templates."""

    END_WITH_CALL = "end-with-the-call"
    OUTLIVE_CALL = "outlive-the-call"


_WORDS: Final = {one.value: one for one in Holds}


def parse_holds(word: str) -> Holds:
    if not word:
        return Holds.END_WITH_CALL
    try:
        return _WORDS[word]
    except KeyError as error:
        known = " or ".join(f"`{one}`" for one in _WORDS)
        raise TaskSyntaxError(f"holds can't be `{word}`", where="holds", remedy=f"say {known}") from error


class TaskState(Enum):
    """State of a task; the last five are ended."""

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
    """Events that change the state of a task."""

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


LIFETIME_LIMIT: Final = 30 * 24 * 3600
"""Seconds that any task lives at most."""
_LEARNING_LIMIT: Final = 14 * 24 * 3600
_PURPOSE_LIMIT: Final = 500
_DECLARED: Final = Instant(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskHead:
    """The part of a task that is read again under lock when a decision is committed."""

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
    """A declared task: agent, requester, purpose, scope, deadline."""

    namespace: str
    id: str
    agent: str
    requester: str
    purpose: str
    evidence: tuple[Evidence, ...]
    scope: Scope
    state: TaskState
    parent: str
    root: str
    """The id of the tree's first task: this one's own when it has no parent."""
    started: Instant
    deadline: Instant
    version: int = 1
    learning: bool = False
    """Whether it is to learn from: shown as such wherever the task or its actions are."""
    step: int = 0
    """Which step of its scope it is in, counted from 0; it only goes forward (`step`)."""
    scope_version: int = 1
    """How often its scope was given: 1, and one more for each amendment."""
    since: Instant = _DECLARED
    """When its scope or step became what they are; 0 when both are as it was declared."""
    base: tuple[tuple[str, int], ...] = ()
    """Of a child: what each of its limits held when it was carved, by key (`child`)."""
    shares: tuple[Share, ...] = ()
    """Of a child: which grant of its parent each of its own is charged to, and what that took."""
    heartbeat: int = 0
    """Seconds within which a connection must be bound to it, or it is paused; 0 for none."""
    grace: int = 0
    """Seconds that it may stay paused so before it ends."""
    holds: Holds = Holds.END_WITH_CALL
    """What becomes of its held actions when their calls are over."""
    over: tuple[tuple[str, int], ...] = ()
    """By limit: what the last amendment gave of it, less what it permits; never above zero."""
    spent: tuple[GrantUsage, ...] = ()
    """What was spent until the last amendment, also of grants that it has no more (`spent`)."""
    for_token: bool = False
    """Whether it was begun for a client that shows a token, by an exchange or a consent, and for no other."""

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
    """A named scope and lifetime from which tasks are made."""

    namespace: str
    name: str
    scope: Scope
    seconds: int
    purpose: str
    heartbeat: int = 0
    """Seconds of the heartbeat of a task that names none of its own; 0 for none."""
    grace: int = 0
    holds: Holds = Holds.END_WITH_CALL
    """Of the tasks that are made of it."""
    version: int = 1


def move_task(task: Task, event: TaskEvent) -> Task:
    """Returns the task after the event; raises WrongStateError if the event is not allowed."""
    state = TASK_TRANSITIONS.advance(task.state, event)
    return replace(task, state=state, version=task.version + 1)


def parse_purpose(text: str) -> str:
    """Returns the purpose, 1 to 500 characters; raises TaskSyntaxError."""
    if not text.strip() or len(text) > _PURPOSE_LIMIT:
        raise TaskSyntaxError(f"a purpose has 1 to {_PURPOSE_LIMIT} characters", where="purpose")
    return text


def parse_lifetime(seconds: int) -> int:
    """Returns a lifetime of 1 second to 30 days, in seconds; raises TaskSyntaxError."""
    if not 1 <= seconds <= LIFETIME_LIMIT:
        raise TaskSyntaxError(
            f"a task lives 1 to {LIFETIME_LIMIT} seconds, not {seconds}",
            where="seconds",
            remedy="give a shorter or longer time with `--for`",
        )
    return seconds


def require_learning_lifetime(seconds: int) -> None:
    """Raises TaskSyntaxError above 14 days, the maximum for a learning task."""
    if seconds > _LEARNING_LIMIT:
        raise TaskSyntaxError(
            f"a task to learn from lives at most {_LEARNING_LIMIT} seconds, not {seconds}",
            where="seconds",
            remedy="give at most 14 days with `--for 14d`",
        )


_DEPTH_LIMIT: Final = 32


def require_live(task: str, heads: Mapping[str, TaskHead], now: Instant) -> None:
    """Raises unless the task and every ancestor in `heads` are live."""
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
    """The earliest deadline of the task and its ancestors; raises NoTaskError."""
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
    """Raises unless the task and its ancestors are neither unknown, ended nor expired; paused is allowed."""
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


LEAST: Final = 5
"""Seconds: less than a gateway may be gone without its permits being given up."""
MOST: Final = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """What is awaited for a task, and when it is due."""

    namespace: str
    task: str
    due: Instant
    missed: bool
    """Whether the heartbeat was missed, so that this is the end of the grace."""


def parse_heartbeat(heartbeat: int, grace: int) -> None:
    """Raises TaskSyntaxError unless both are 0 or both are 5 seconds to a day."""
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
    """The wait after a heartbeat; None for a task that declares none."""
    if not task.heartbeat:
        return None
    due = Instant(now + seconds(task.heartbeat))
    return Heartbeat(namespace=task.namespace, task=task.id, due=due, missed=False)


def await_grace(task: Task, now: Instant) -> Heartbeat:
    """The wait for a resumption, after a missing heartbeat."""
    due = Instant(now + seconds(task.grace))
    return Heartbeat(namespace=task.namespace, task=task.id, due=due, missed=True)


def is_young(heartbeat: Heartbeat, task: Task, now: Instant) -> bool:
    """True if the last heartbeat is too recent to write another one."""
    return heartbeat.due - now > seconds(task.heartbeat) * 2 // 3


WAITS: Final = seconds(60)
"""How long a task waits to be claimed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclaimed:
    """A note that a task has no holder yet."""

    namespace: str
    task: str
    until: Instant
    """When the task ends if it is still unclaimed."""


def leave_unclaimed(task: Task, now: Instant) -> Unclaimed:
    return Unclaimed(namespace=task.namespace, task=task.id, until=Instant(now + WAITS))
