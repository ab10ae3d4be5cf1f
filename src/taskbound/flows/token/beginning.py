"""What an exchange begins tasks with, from whatever thread it waits for the signer in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.task import Task, TaskEvent
    from taskbound.flows.means import Actor, Moved
    from taskbound.flows.task import ChildOrder, TaskOrder

__all__ = ["Hands", "Starts"]


class Starts(Protocol):
    """Starts tasks and ends them (`flows.task.Tasks`, which itself is used from one thread at a time)."""

    def start(self, order: TaskOrder, actor: Actor) -> Task:
        """The task, running."""

    def end(
        self, namespace: str, task: str, event: TaskEvent, actor: Actor, *, reason: str
    ) -> Sequence[Moved]:
        """End the task and all beneath it; what changed."""


class Hands(Protocol):
    """Hands parts of tasks on (`flows.task.Delegations`, likewise)."""

    def delegate(self, order: ChildOrder, actor: Actor) -> Task:
        """The child, running."""
