"""Errors of tasks: missing authority and refused declarations."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError


class TaskSyntaxError(MalformedError):
    """The declaration of the task is malformed."""

    code = "bad-task"
    remedy = "change that as it says, and ask again: nothing was done"


class NoTaskError(DeniedError):
    """The action belongs to no task (law 1)."""

    code = "no-task"
    remedy = "ask the person to open one with `taskbound task start` or `taskbound run`"


class AmbiguousTaskError(DeniedError):
    """The agent has several running tasks, and the call names none."""

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


class NotInChargeError(DeniedError):
    """Only the requester of the task or the owner of its agent may do this."""

    code = "not-in-charge"
    remedy = "ask one of the two"


class OutsideParentError(DeniedError):
    """The child's scope exceeds what its parent permits now or has left."""

    code = "outside-parent"
    remedy = "give the child less, or ask for a task of its own"


class LongerThanParentError(DeniedError):
    """The child's deadline is after its parent's."""

    code = "longer-than-parent"
    remedy = "give a shorter time with `--for`, or none: then it ends with its parent"


class TreeTooLargeError(DeniedError):
    """The tree of tasks is too deep or has too many open tasks."""

    code = "tree-too-large"
    remedy = "end what is done, or hand on from a task further up"


class NoStepError(DeniedError):
    """The task is in its last step, or has no steps."""

    code = "no-step"
    remedy = "ask for a new task: a step is never entered twice"


class NotNextStepError(DeniedError):
    """The named step is not the next one."""

    code = "not-next-step"
    remedy = "look at the task with `taskbound task show`: steps are entered one by one, and only forward"


class WideningError(DeniedError):
    """The amended scope is not shown to be within the task's remainder."""

    code = "amendment-widens"
    remedy = "give it less, or ask those who approve for its agent: `taskbound task amend --reason`"


class NotWideningError(DeniedError):
    """The amendment is a narrowing and needs no approval."""

    code = "amendment-narrows"
    remedy = "give it to the task at once with `taskbound task amend`"


class AmendmentOpenError(DeniedError):
    """An amendment of the task already awaits an answer."""

    code = "amendment-open"
    remedy = "wait for the answer, or withdraw it with `taskbound approval withdraw`"


class AmendmentDeniedError(DeniedError):
    """A person denied this exact scope for this task; a denial is final."""

    code = "amendment-denied"
    remedy = "ask for less, or for a new task"
