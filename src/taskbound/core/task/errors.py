"""Why a task gives no authority, or can't be declared."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError


class TaskSyntaxError(MalformedError):
    """A task was declared with something that can't be."""

    code = "bad-task"
    remedy = "change that as it says, and ask again: nothing was done"


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


class NotInChargeError(DeniedError):
    """This is for the one who asked for the task, or for the owner of its agent."""

    code = "not-in-charge"
    remedy = "ask one of the two"


class OutsideParentError(DeniedError):
    """The child would be permitted more than its parent permits now, or has left."""

    code = "outside-parent"
    remedy = "give the child less, or ask for a task of its own"


class LongerThanParentError(DeniedError):
    """The child would live longer than its parent."""

    code = "longer-than-parent"
    remedy = "give a shorter time with `--for`, or none: then it ends with its parent"


class TreeTooLargeError(DeniedError):
    """The task stands too deep in its tree, or the tree has too many tasks that are not ended."""

    code = "tree-too-large"
    remedy = "end what is done, or hand on from a task further up"


class NoStepError(DeniedError):
    """The task is in the last of its steps, or has none."""

    code = "no-step"
    remedy = "ask for a new task: a step is never entered twice"


class NotNextStepError(DeniedError):
    """The step that was named is not the next one."""

    code = "not-next-step"
    remedy = "look at the task with `taskbound task show`: steps are entered one by one, and only forward"


class WideningError(DeniedError):
    """The amended scope is not shown to permit less than the task has left."""

    code = "amendment-widens"
    remedy = "give it less, or ask those who approve for its agent: `taskbound task amend --reason`"


class NotWideningError(DeniedError):
    """Nobody has to approve this amendment: the scope is a narrower one."""

    code = "amendment-narrows"
    remedy = "give it to the task at once with `taskbound task amend`"


class AmendmentOpenError(DeniedError):
    """An amendment of the task waits for an answer already."""

    code = "amendment-open"
    remedy = "wait for the answer, or withdraw it with `taskbound approval withdraw`"


class AmendmentDeniedError(DeniedError):
    """A person has denied this very scope to this task, and a denial is final."""

    code = "amendment-denied"
    remedy = "ask for less, or for a new task"
