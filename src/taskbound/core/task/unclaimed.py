"""A task that was begun for somebody who has nothing of it yet, and how long it waits for them.

1. What an exchange or a consent begins is unclaimed until its token is signed, or the client is let in to it.
2. That is a step of less than a second, or of as long as a signer takes. After a minute whoever began it is
   gone without a word: a task that would run for nobody ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, seconds
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from taskbound.core.task.values import Task


WAITS: Final = seconds(60)
"""How long a task waits to be claimed (rule 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclaimed:
    """A note that nobody has anything of a task yet."""

    namespace: str
    task: str
    until: Instant
    """When it ends, if nobody has claimed it by then."""


def leave_unclaimed(task: Task, now: Instant) -> Unclaimed:
    """The note of a task that begins now."""
    return Unclaimed(namespace=task.namespace, task=task.id, until=Instant(now + WAITS))
