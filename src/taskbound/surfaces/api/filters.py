"""What a list may be narrowed to: a word that names nothing is an error, never everything and never nothing.

1. An empty word is no filter.
2. A state or a decision is one of those that there are; an error names them.
3. A task, an agent, a server, a target or an action is one that the namespace knows. A target that was taken
   away is known by what was minted there.
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
    """A list can't be narrowed by this word."""

    code = "bad-filter"
    remedy = "use one of the words that there are, or none"


def task_states(word: str) -> frozenset[TaskState]:
    """The states that a filter names; none for an empty word (rules 1 and 2).

    Raises:
        BadFilterError: No task is ever in such a state.
    """
    _require_one_of(word, (one.value for one in TaskState), what="a task's state", where="state")
    return frozenset(state for state in TaskState if state.value == word)


def require_decision(word: str) -> None:
    """Go on only with a decision that there is (rule 2).

    Raises:
        BadFilterError: It is none.
    """
    _require_one_of(word, _DECISIONS, what="a decision", where="decision")


def require_task(snapshot: Snapshot, namespace: str, name: str) -> None:
    """Go on only with a task that there is (rule 3).

    Raises:
        NoTaskError: There is none of this id.
    """
    if name and snapshot.tasks.task(namespace, name) is None:
        raise NoTaskError(f"no task is named `{name}`", remedy="list them with `taskbound task list`")


def require_target(snapshot: Snapshot, namespace: str, name: str) -> None:
    """Go on only with a target that there is, or was (rule 3).

    Raises:
        UnknownTargetError: There is none of this name, and nothing was ever minted in one.
    """
    if (
        name
        and snapshot.targets.target(namespace, name) is None
        and not snapshot.credentials.credentials(namespace, target=name, limit=1)
    ):
        raise UnknownTargetError(f"no target is named `{shown(name)}`")


def require_action(snapshot: Snapshot, namespace: str, name: str) -> None:
    """Go on only with an action that there is (rule 3).

    Raises:
        UnknownActionError: There is none of this id.
    """
    if name and snapshot.actions.action(namespace, name) is None:
        raise UnknownActionError(f"no action is named `{name}`")


def require_agent(snapshot: Snapshot, namespace: str, name: str) -> None:
    """Go on only with an agent that there is (rule 3).

    Raises:
        UnknownIdentityError: There is none of this name.
    """
    if name and snapshot.identities.agent(namespace, name) is None:
        raise UnknownIdentityError(
            f"no agent is named `{name}`", remedy="list them with `taskbound agent list`"
        )


def require_server(snapshot: Snapshot, namespace: str, name: str) -> None:
    """Go on only with a server or a target that is pinned (rule 3).

    Raises:
        UnknownServerError: There is none of this name.
    """
    if name and snapshot.tools.server(namespace, name) is None:
        raise UnknownServerError(f"no server is named `{name}`")


def _require_one_of(word: str, known: Iterable[str], *, what: str, where: str) -> None:
    words = tuple(known)
    if word and word not in words:
        raise BadFilterError(f"`{word}` is not {what}", where=where, remedy=f"use one of {', '.join(words)}")
