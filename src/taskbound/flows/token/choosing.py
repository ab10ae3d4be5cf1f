"""What a person can let a client in to, for those who show it to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.task import TaskState

if TYPE_CHECKING:
    from taskbound.core.task import Task, Template
    from taskbound.core.token.authorization.asked import Asked
    from taskbound.flows.means import Means


_LISTED: Final = 50
"""Tasks and templates at most; of tasks the newest."""
_RUNNING: Final = frozenset({TaskState.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """Tasks of a person's that run, and what a new one is made of."""

    tasks: tuple[Task, ...]
    templates: tuple[Template, ...]


def choices_of(means: Means, found: Asked, person: str) -> Choices:
    """What this person may let the client in to; whether they do is looked at when they answer (`asking`)."""
    space = found.namespace
    if found.is_persons:
        return Choices(tasks=(), templates=())  # nothing is chosen for that
    with means.store.read() as snapshot:
        agent = snapshot.identities.agent(space, found.agent)
        running = snapshot.tasks.tasks(space, agent=found.agent, states=_RUNNING, limit=_LISTED)
        templates = snapshot.tasks.templates(space)
    owner = "" if agent is None else agent.owner
    return Choices(
        tasks=tuple(one for one in running if person in {one.requester, owner}),
        templates=tuple(templates[:_LISTED]),
    )
