"""Entering the next step of a task: its own grants come into force, and those of the step before go.

1. Forward only, one step at a time: there is no event that goes back, for nobody. Whoever names a step names
   the next one, so that two who enter it at once enter it once.
2. What the step before granted is gone unless the step says `keep` (`core.scope`). Limits are the task's:
   what was used of one that is kept stays used.
3. It is a change of the task like any other: what was judged before it is judged again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.task.errors import NoStepError, NotNextStepError

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.task.values import Task


def step_name(task: Task) -> str:
    """The name of the step that the task is in; empty when its scope has no steps."""
    return task.scope.steps[task.step].name if task.scope.steps else ""


def enter_step(task: Task, name: str, now: Instant) -> Task:
    """The task in its next step (rule 1).

    Args:
        task: The task.
        name: The name of the next step; empty for whichever it is.
        now: When.

    Raises:
        NoStepError: It is in the last one.
        NotNextStepError: The next one has another name.
    """
    ahead = task.scope.steps[task.step + 1 :]
    if not ahead:
        raise NoStepError(f"task `{task.id}` has no further step")
    if name and ahead[0].name != name:
        raise NotNextStepError(f"the next step of task `{task.id}` is `{ahead[0].name}`, and not `{name}`")
    return replace(task, step=task.step + 1, since=now, version=task.version + 1)
