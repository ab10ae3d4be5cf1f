"""Filters of lists: an unknown word is an error, never an empty or a full list.

1. An empty word is no filter.
2. A state or a decision must be an existing one; the error names them.
3. A task, agent, server, target or action must be known to the namespace. A removed target is known by what
   was minted there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.errors import MalformedError
from taskbound.core.identity import UnknownIdentityError
from taskbound.core.task import NoTaskError, TaskState
from taskbound.core.tool.name import shown
from taskbound.flows.action.explain import UnknownActionError
from taskbound.flows.target import UnknownTargetError
from taskbound.flows.tool import UnknownServerError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.ports.store import Snapshot


_DECISIONS: Final = ("permit", "hold", "refuse")


class BadFilterError(MalformedError):
    """The list cannot be narrowed by this word."""

    code = "bad-filter"
    remedy = "use one of the words that there are, or none"


def task_states(word: str) -> frozenset[TaskState]:
    """Returns the states of a filter, empty for no filter (rules 1 and 2); raises BadFilterError."""
    _require_one_of(word, (one.value for one in TaskState), what="a task's state", where="state")
    return frozenset(state for state in TaskState if state.value == word)


def require_decision(word: str) -> None:
    """Raises BadFilterError unless such a decision exists (rule 2)."""
    _require_one_of(word, _DECISIONS, what="a decision", where="decision")


def require_task(snapshot: Snapshot, namespace: str, name: str) -> None:
    """Raises NoTaskError unless the task exists (rule 3)."""
    if name and snapshot.tasks.task(namespace, name) is None:
        raise NoTaskError(f"no task is named `{name}`", remedy="list them with `taskbound task list`")


def require_target(snapshot: Snapshot, namespace: str, name: str) -> None:
    """Raises UnknownTargetError unless the target exists or something was minted in it (rule 3)."""
    if (
        name
        and snapshot.targets.target(namespace, name) is None
        and not snapshot.credentials.credentials(namespace, target=name, limit=1)
    ):
        raise UnknownTargetError(f"no target is named `{shown(name)}`")


def require_action(snapshot: Snapshot, namespace: str, name: str) -> None:
    """Raises UnknownActionError unless the action exists (rule 3)."""
    if name and snapshot.actions.action(namespace, name) is None:
        raise UnknownActionError(f"no action is named `{name}`")


def require_agent(snapshot: Snapshot, namespace: str, name: str) -> None:
    """Raises UnknownIdentityError unless the agent exists (rule 3)."""
    if name and snapshot.identities.agent(namespace, name) is None:
        raise UnknownIdentityError(
            f"no agent is named `{name}`", remedy="list them with `taskbound agent list`"
        )


def require_server(snapshot: Snapshot, namespace: str, name: str) -> None:
    """Raises UnknownServerError unless the server or target is pinned (rule 3)."""
    if name and snapshot.tools.server(namespace, name) is None:
        raise UnknownServerError(f"no server is named `{name}`")


def _require_one_of(word: str, known: Iterable[str], *, what: str, where: str) -> None:
    words = tuple(known)
    if word and word not in words:
        raise BadFilterError(f"`{word}` is not {what}", where=where, remedy=f"use one of {', '.join(words)}")
