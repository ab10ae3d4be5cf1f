"""Suggests a scope from permitted calls in the log, or intended calls; unreadable rows are only counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action import parse_object
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.identity import UnknownIdentityError
from taskbound.core.scope.suggest import MAX_CALLS, MadeCall, TooManyCallsError, suggest
from taskbound.core.task import NoTaskError
from taskbound.core.tool import parse_definition

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.core.action import JsonValue
    from taskbound.core.scope.suggest import Suggestion
    from taskbound.core.task import Task
    from taskbound.flows.means import Adapters
    from taskbound.ports.store import Snapshot


_PAGE: Final = 500
_TASKS: Final = 1_000


class MixedAgentsError(MalformedError):
    """The tasks belong to several agents, which share no ceiling."""

    code = "mixed-agents"
    remedy = "name tasks of one agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestOrder:
    """What a scope is to be suggested from."""

    namespace: str
    agent: str = ""
    """Whose ceiling bounds it; that of the tasks when it is empty."""
    tasks: tuple[str, ...] = ()
    since: int = 0
    """Without tasks: what the agent's tasks did from this instant on."""
    calls: tuple[MadeCall, ...] = ()
    """What is meant, besides or instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggested:
    """A suggested scope and its basis."""

    suggestion: Suggestion
    agent: str
    unread: int
    """How many rows could not be read."""


def suggest_scope(adapters: Adapters, order: SuggestOrder) -> Suggested:
    with adapters.store.read() as snapshot:
        tasks = _tasks(snapshot, order)
        names = {one.agent for one in tasks} | ({order.agent} if order.agent else set())
        if len(names) > 1:
            raise MixedAgentsError(f"they are of {len(names)} agents: {', '.join(sorted(names))}")
        agent = snapshot.identities.agent(order.namespace, names.pop()) if names else None
        if order.agent and agent is None:
            raise UnknownIdentityError(f"no agent is named `{order.agent}`")
        calls, unread = list(order.calls), 0
        for task in tasks:
            for made in _made(snapshot, task, order.since if not order.tasks else 0):
                if made is None:
                    unread += 1
                    continue
                calls.append(made)
                if len(calls) > MAX_CALLS:
                    raise TooManyCallsError(f"there are more than {MAX_CALLS} calls")
        schemas = dict(_schemas(snapshot, order.namespace, {one.tool for one in calls}))
    found = suggest(calls, ceiling=agent.ceiling if agent else None, schemas=schemas)
    return Suggested(suggestion=found, agent=agent.name if agent else "", unread=unread)


def _tasks(snapshot: Snapshot, order: SuggestOrder) -> Sequence[Task]:
    if not order.tasks:
        if not order.agent or order.calls:
            return ()
        return snapshot.tasks.tasks(order.namespace, agent=order.agent, limit=_TASKS)
    found: list[Task] = []
    for name in dict.fromkeys(order.tasks):
        task = snapshot.tasks.task(order.namespace, name)
        if task is None:
            raise NoTaskError(f"no task is named `{name}`", remedy="list them with `taskbound task list`")
        found.append(task)
    return found


def _made(snapshot: Snapshot, task: Task, since: int) -> Iterator[MadeCall | None]:
    before = ""
    while True:
        page = snapshot.actions.actions(
            task.namespace, task=task.id, decision="permit", limit=_PAGE, before=before
        )
        for kept in page:
            if kept.at < since:
                return
            try:
                yield MadeCall(tool=kept.tool, arguments=parse_object(kept.arguments), task=task.id)
            except MalformedError:
                yield None
        if len(page) < _PAGE:
            return
        before = page[-1].id


def _schemas(
    snapshot: Snapshot, namespace: str, tools: set[str]
) -> Iterator[tuple[str, dict[str, JsonValue]]]:
    for name in sorted(tools):
        tool = snapshot.tools.tool(namespace, name)
        if tool is not None:
            yield name, dict(parse_definition(tool.definition).input_schema)
