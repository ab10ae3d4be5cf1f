"""What an exchange begins tasks with, and in whose name; from whatever thread it waits for the signer in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.token import agent_name
from taskbound.flows.means import Actor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.identity.proof import Principal
    from taskbound.core.task import Task, TaskEvent
    from taskbound.core.token import Token
    from taskbound.flows.means import Moved
    from taskbound.flows.task import ChildOrder, TaskOrder


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


def actor_of(principal: Principal) -> Actor:
    """An agent that acts for itself, as records have it."""
    return Actor(name=agent_name(principal.namespace, principal.name), proof=principal.proof.words)


def in_name_of(person: str, subject: Token, principal: Principal) -> Actor:
    """The person in whose name an agent acts, as records have it: with the token, and who showed it."""
    shower = agent_name(principal.namespace, principal.name)
    return Actor(name=person, proof=f"token:{subject.id} shown by {shower}")
