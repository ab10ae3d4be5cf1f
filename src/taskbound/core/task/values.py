"""What a task is: declared before the agent acts, and ended for good.

For whom it is and until when never changes. What it may do changes by a step (`step`) or
an amendment (`amendment`), and whether it may by its state: the row's version counts all of
these, and a decision names the version it read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.task.errors import TaskSyntaxError
from taskbound.core.task.holds import Holds
from taskbound.core.task.state import TASK_TRANSITIONS, TaskEvent, TaskState

if TYPE_CHECKING:
    from taskbound.core.scope import Scope
    from taskbound.core.scope.algebra import Share
    from taskbound.core.task.evidence import Evidence
    from taskbound.core.task.spent import Spent


LIFETIME_LIMIT: Final = 30 * 24 * 3600
"""Seconds that any task lives at most."""
_LEARNING_LIMIT: Final = 14 * 24 * 3600
_PURPOSE_LIMIT: Final = 500
_DECLARED: Final = Instant(0)


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
    spent: tuple[Spent, ...] = ()
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
    """A scope and a lifetime kept under a name, to make tasks of."""

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
    """The task after the event.

    Raises:
        WrongStateError: The event can't happen now (rule 1).
    """
    state = TASK_TRANSITIONS.advance(task.state, event)
    return replace(task, state=state, version=task.version + 1)


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
    if not 1 <= seconds <= LIFETIME_LIMIT:
        raise TaskSyntaxError(
            f"a task lives 1 to {LIFETIME_LIMIT} seconds, not {seconds}",
            where="seconds",
            remedy="give a shorter or longer time with `--for`",
        )
    return seconds


def require_learning_lifetime(seconds: int) -> None:
    """Go on only with a lifetime that a task to learn from may have, at most 14 days.

    Raises:
        TaskSyntaxError: It is longer.
    """
    if seconds > _LEARNING_LIMIT:
        raise TaskSyntaxError(
            f"a task to learn from lives at most {_LEARNING_LIMIT} seconds, not {seconds}",
            where="seconds",
            remedy="give at most 14 days with `--for 14d`",
        )
