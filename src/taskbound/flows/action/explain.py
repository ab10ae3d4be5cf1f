"""Why an action was answered as it was, and whether its record replays to the same answer.

Replaying computes scope and policy again from what the row holds: the canonical
arguments, the task's scope and the facts that policies read. What a decision took
from the standing of that moment (a task's end, the kill switch, what was left of a
limit) is not computed again: it stands in the record that the log proves.

Of what was outside of the scope it says whether the task's requester could grant it today.

A row can be edited by whoever reaches the database, a record can't without being noticed:
a row that is not what its digest and its record say is called so, and nothing of it is replayed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskbound.core.action import make_action, parse_object
from taskbound.core.audit import ActionDecided, parse_record
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity.grantable import reach_of, why_not
from taskbound.core.policy import Forbidden, Held, Permitted, PolicyRequest, conclude
from taskbound.core.scope import Missed, cover
from taskbound.core.tool import parse_definition
from taskbound.flows.decision.facts import parse_fact

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.scope import Covered
    from taskbound.core.task import Task
    from taskbound.flows.means import Means
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Snapshot
    from taskbound.ports.tool import PinnedTool

__all__ = ["Explanation", "UnknownActionError", "explain"]

_PLACED = 60_000_000
"""µs after which a decision's record surely has its place in the log, where it can be found."""
_RECORDED = (
    "task", "agent", "tool", "server", "definition", "digest", "act_key", "decision", "grant", "bundle",
    "scope", "attempt", "connection",
)  # fmt: skip  # a list of words reads better as words
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
    learning: bool
    """Whether its task is to learn from."""
    could_grant: str
    """Of what was outside of the scope: `yes: …`, or `no: …` with why its requester can't have it."""


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
        edited = _edited(snapshot, kept, means.clock.now())
        could = "" if edited else _could_grant(snapshot, kept, task, tool)
    facts = (
        f"attempt {kept.attempt}",
        f"scope {kept.scope or '(none)'}",
        f"policy bundle {kept.bundle}",
        f"server {kept.server or '(none)'}",
        f"definition {kept.definition or '(none)'}",
        *(f"{name} {value.replace(chr(10), ' ')}" for name, value in kept.facts),
    )
    if edited:
        replay = f"different: {edited}"
    elif kept.code in _STANDING:
        replay = f"not computed: `{kept.code}` comes from the standing of that moment, which the log records"
    elif task is None or tool is None or tool.digest != kept.definition:
        replay = "not computed: the task or the pinned tool is another one now"
    elif kept.at < task.since or kept.scope != task.scope.digest:
        replay = "not computed: the task has entered another step since, or its scope was amended"
    elif kept.bundle != means.policy.bundle:
        replay = "not computed: another policy bundle is in force now"
    else:
        arguments, schema = parse_object(kept.arguments), parse_definition(tool.definition).input_schema
        request = PolicyRequest(
            namespace=kept.namespace,
            agent=kept.agent,
            tool=kept.tool,
            server=tool.server,
            task=kept.task,
            arguments=arguments,
            definition=tool.digest,
            schema=schema,
            facts={name: parse_fact(name, value) for name, value in kept.facts},
        )
        covered = cover(task.scope, kept.tool, arguments, schema, step=task.step)
        replay = _replay(means, kept, covered, request)
    return Explanation(
        action=kept,
        facts=facts,
        replay=replay,
        learning=task is not None and task.learning,
        could_grant=could,
    )


def _could_grant(snapshot: Snapshot, kept: StoredAction, task: Task | None, tool: PinnedTool | None) -> str:
    agent = snapshot.identities.agent(kept.namespace, kept.agent)
    if kept.code != "outside-scope" or task is None or tool is None or agent is None:
        return ""
    identities = snapshot.identities
    reach = reach_of(task.requester, identities.persons(kept.namespace), identities.groups(kept.namespace))
    schema = parse_definition(tool.definition).input_schema
    why = why_not(reach, agent, kept.tool, parse_object(kept.arguments), schema)
    return f"no: {why}" if why else f"yes: `{task.requester}` may grant it"


def _edited(snapshot: Snapshot, kept: StoredAction, now: Instant) -> str:
    """How the row is not what was decided, in words; empty when nothing shows it."""
    try:
        made = make_action(
            namespace=kept.namespace,
            task=kept.task,
            agent=kept.agent,
            tool=kept.tool,
            server=kept.server,
            definition=kept.definition,
            arguments=parse_object(kept.arguments),
        )
    except MalformedError:
        return "its arguments can't be read: the row was changed"
    if (made.arguments, made.digest, made.act_key) != (kept.arguments, kept.digest, kept.act_key):
        return "its digest is of another action: the row was changed"
    place = snapshot.audit.place(kept.namespace, kept.id)
    if place is None:
        return "the log holds no record of it" if now - kept.at > _PLACED else ""
    event = parse_record(snapshot.audit.records(place, 1)[0]).event
    if not isinstance(event, ActionDecided) or event.action != kept.id:
        return "the record that it names is of something else: the row was changed"
    for name in _RECORDED:
        if getattr(event, name) != getattr(kept, name):
            return f"its record in the log has another {name.replace('_', ' ')}: the row was changed"
    return ""


def _replay(means: Means, kept: StoredAction, covered: Covered | Missed, request: PolicyRequest) -> str:
    if isinstance(covered, Missed):
        return _compare(kept, "refuse", "outside-scope")
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
