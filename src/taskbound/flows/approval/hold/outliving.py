"""Holds that outlive their calls: what people are asked stays open though nobody waits for the answer.

1. Its task says so, by its template, and never the call: no agent keeps its questions open by itself.
2. Who asked over a network can't be told from whoever asks the same for that task: until when it waits is
   until when its question stays open without anybody coming back, and keeps nobody else from resuming it.
3. Who waits and is lost gives way at once to the same call from elsewhere: its question is used by whoever
   comes first, once, and the other is told that it is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant
from taskbound.core.decision.holder import is_afar
from taskbound.core.task import Holds
from taskbound.ports.approval import Waiter

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.core.task import Task
    from taskbound.ports.approval import StoredApproval


NOBODY: Final = Waiter(connection="", request="", until=Instant(0))
"""Who waits for a question whose call is over."""


def outlives(task: Task | None) -> bool:
    """Whether what people are asked of this task's calls stays open when they are over (rule 1)."""
    return task is not None and task.holds is Holds.OUTLIVE_CALL


def waits_until(one: StoredApproval, task: Task | None, lost: Collection[tuple[str, str]]) -> Instant:
    """Until when nobody but the presentation that waits resumes it (rules 2 and 3).

    Args:
        one: The open question.
        task: Its task.
        lost: (namespace, connection) of whoever is gone, and may be back.
    """
    if is_afar(one.waiter.connection):
        return NOBODY.until
    gone = (one.question.namespace, one.waiter.connection) in lost
    return NOBODY.until if gone and outlives(task) else one.waiter.until
