"""Why an action was answered as it was, and whether its record replays to the same answer.

Replaying computes scope and policy again from what the row holds: the canonical
arguments, the task's scope and the facts that policies read. What a decision took
from the standing of that moment (a task's end, the kill switch, what was left of a
limit) is not computed again: it stands in the record that the log proves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskbound.core.action import parse_object
from taskbound.core.errors import DeniedError
from taskbound.core.policy import Forbidden, Held, Permitted, PolicyRequest, conclude
from taskbound.core.scope import Missed, cover
from taskbound.core.tool import parse_definition

if TYPE_CHECKING:
    from taskbound.core.scope import Covered
    from taskbound.flows.means import Means
    from taskbound.ports.action import StoredAction

__all__ = ["Explanation", "UnknownActionError", "explain"]

_STANDING = frozenset(
    {
        "stopped",
        "no-task",
        "ambiguous-task",
        "task-ended",
        "task-expired",
        "task-paused",
        "task-not-started",
        "inactive-agent",
        "unknown-identity",
        "unknown-tool",
        "tool-changed",
        "exhausted",
        "key-reused",
    }
)


class UnknownActionError(DeniedError):
    """No action has this id."""

    code = "unknown-action"
    remedy = "list them with `taskbound action list`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """An action, the facts that its decision read, and what replaying it gives."""

    action: StoredAction
    facts: tuple[str, ...]
    replay: str
    """`same`, `not computed: …`, or `different: …`."""


def explain(means: Means, namespace: str, action: str) -> Explanation:
    """The explanation of this action.

    Raises:
        UnknownActionError: There is none.
    """
    with means.store.read() as snapshot:
        kept = snapshot.actions.action(namespace, action)
        if kept is None:
            raise UnknownActionError(f"no action is named `{action}`")
        task = snapshot.tasks.task(namespace, kept.task) if kept.task else None
        tool = snapshot.tools.tool(namespace, kept.tool)
    facts = (
        f"attempt {kept.attempt}",
        f"scope {kept.scope or '(none)'}",
        f"policy bundle {kept.bundle}",
        f"server {kept.server or '(none)'}",
        f"definition {kept.definition or '(none)'}",
        *(f"{name} {value}" for name, value in kept.facts),
    )
    if kept.code in _STANDING:
        replay = f"not computed: `{kept.code}` comes from the standing of that moment, which the log records"
    elif task is None or tool is None or tool.digest != kept.definition:
        replay = "not computed: the task or the pinned tool is another one now"
    elif kept.bundle != means.policy.bundle:
        replay = "not computed: another policy bundle is in force now"
    else:
        schema = parse_definition(tool.definition).input_schema
        covered = cover(task.scope, kept.tool, parse_object(kept.arguments), schema)
        replay = _replay(means, kept, covered, tool.server)
    return Explanation(action=kept, facts=facts, replay=replay)


def _replay(means: Means, kept: StoredAction, covered: Covered | Missed, server: str) -> str:
    if isinstance(covered, Missed):
        return _compare(kept, "refuse", "outside-scope")
    request = PolicyRequest(
        namespace=kept.namespace,
        agent=kept.agent,
        tool=kept.tool,
        server=server,
        facts={name: _typed(name, value) for name, value in kept.facts},
    )
    match conclude(means.policy.answer(request)):
        case Permitted():
            if kept.decision == "permit" and kept.grant not in {one.grant for one in covered.payers}:
                return f"different: grant {kept.grant} does not cover it now"
            return _compare(kept, "permit", "")
        case Held():
            return _compare(kept, "hold", "held")
        case Forbidden() as forbidden:
            return _compare(kept, "refuse", forbidden.code)


def _compare(kept: StoredAction, decision: str, code: str) -> str:
    if (kept.decision, kept.code) == (decision, code):
        return "same"
    if kept.code == "outside-scope" and decision == "permit":
        return "not computed: the scope of an ancestor or the agent's ceiling did not cover it then"
    return f"different: it would be {decision}{f' ({code})' if code else ''} now"


def _typed(name: str, value: str) -> str | int | bool | tuple[str, ...]:
    match name:
        case "attempt":
            return int(value)
        case "covered":
            return value == "true"
        case "flags":
            return tuple(value.split())
        case _:
            return value
