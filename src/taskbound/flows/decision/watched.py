"""What is told of calls while they are decided, to whoever watches one: how long each stage took.

1. Stages are `evaluate`, which each call has by itself, and `commit`, which calls share that wait together:
   each is told of it with the number of those in its group.
2. A call that came to be judged anew, as what it rests on changed, has either stage once more.
"""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from taskbound.flows.decision.evaluate import Call


_NOBODY: Final = nullcontext()


class Watched(Protocol):
    """Whoever watches a call; told from whatever thread decides."""

    def stage(self, name: str, *, group: int = 0) -> AbstractContextManager[object]:
        """What is around a stage; `group` says how many calls share it, and 0 that none is meant to."""


def watched(name: str, calls: Sequence[Call], *, shared: bool) -> AbstractContextManager[object]:
    """What is around a stage of these calls (rule 1); nothing where nobody watches one."""
    watching = [one.watch for one in calls if one.watch is not None]
    if not watching:
        return _NOBODY
    around = ExitStack()
    for one in watching:
        around.enter_context(one.stage(name, group=len(calls) if shared else 0))
    return around
