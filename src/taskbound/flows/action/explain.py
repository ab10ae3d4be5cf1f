"""Why an action was answered as it was, and whether its record replays to the same answer.

Replaying computes scope and policy again from what the row holds: the canonical
arguments, the task's scope, the facts that policies read and the bundle that was in
force. What a decision took from the standing of that moment (a task's end, the kill
switch, what was left of a limit) is not computed again: it stands in the record that
the log proves.

Of what was outside of the scope it says whether the task's requester could grant it today.

A row can be edited by whoever reaches the database, a record can't without being noticed:
a row that is not what its digest and its record say is called so, and nothing of it is replayed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.action import parse_object
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError
from taskbound.core.identity.grantable import reach_of, why_not
from taskbound.core.policy import DamagedBundleError, conclude, grants_for, turns_within
from taskbound.core.scope import Missed
from taskbound.core.tool import parse_definition
from taskbound.flows.action.again import NotAsked, ask_again, edited, word_of

if TYPE_CHECKING:
    from taskbound.core.task import Task
    from taskbound.flows.action.again import Again
    from taskbound.flows.means import Means
    from taskbound.ports.action import StoredAction
    from taskbound.ports.policy import PolicyEngine
    from taskbound.ports.store import Snapshot
    from taskbound.ports.tool import PinnedTool


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
    grants: tuple[str, ...]
    """The grants of the task's scope that cover it, in words, or what kept the nearest from it."""
    asked: tuple[str, ...]
    """The policies whose head fits it; the others were not asked."""
    arguments: tuple[str, ...]
    """The arguments that they read."""
    turns: tuple[str, ...]
    """What of the scope and of all that was read would have led to another answer, each alone."""
    could_grant: str
    """Of what was outside of the scope: `yes: …`, or `no: …` with why its requester can't have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What asking again shows beside the answer."""

    grants: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    turns: tuple[str, ...] = ()


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
        changed = edited(snapshot, kept, means.clock.now())
        could = "" if changed else _could_grant(snapshot, kept, task, tool)
        again = NotAsked(why=changed) if changed else ask_again(snapshot, kept)
        engine = _engine(means, snapshot, kept)
    facts = (
        f"attempt {kept.attempt}",
        f"scope {kept.scope or '(none)'}",
        f"policy bundle {kept.bundle}",
        f"server {kept.server or '(none)'}",
        f"definition {kept.definition or '(none)'}",
        *(f"{name} {value.replace(chr(10), ' ') or '(none)'}" for name, value in kept.facts),
    )
    seen = _Seen()
    if changed:
        replay = f"different: {changed}"
    elif isinstance(again, NotAsked):
        replay = f"not computed: {again.why}"
    elif isinstance(engine, str):
        replay = f"not computed: {engine}"
    else:
        replay = _replay(engine, again)
        seen = _see(engine, again)
    return Explanation(
        action=kept,
        facts=facts,
        replay=replay,
        grants=seen.grants,
        asked=seen.asked,
        arguments=seen.arguments,
        turns=seen.turns,
        learning=task is not None and task.learning,
        could_grant=could,
    )


def _engine(means: Means, snapshot: Snapshot, kept: StoredAction) -> PolicyEngine | str:
    """The engine of the bundle that the action was decided under; in words why there is none."""
    try:
        return means.policy.engine(snapshot, kept.namespace, kept.bundle)
    except DamagedBundleError as error:
        return error.message


def _see(engine: PolicyEngine, again: Again) -> _Seen:
    """Which grants and which policies it met, and what of these would have led to another answer."""
    found = grants_for(again.scope, again.request, step=again.step)
    grants = found.covering or found.nearest
    try:
        trace = engine.trace(again.request)
        turned = turns_within(again.scope, again.request, trace, engine.answer, step=again.step).found
    except KeyError:  # a record of before holds fewer facts than policies read, and of what is outside none
        return _Seen(grants=grants)
    return _Seen(
        grants=grants,
        asked=trace.candidates,
        arguments=trace.arguments,
        turns=tuple(f"{one.change}: {one.answer}" for one in turned),
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


def _replay(engine: PolicyEngine, again: Again) -> str:
    kept, covered = again.kept, again.covered
    if isinstance(covered, Missed):
        return _compare(kept, "refuse", "outside-scope")
    decision, code = word_of(conclude(engine.answer(again.request)), again)
    if decision == kept.decision == "permit" and kept.grant not in {one.grant for one in covered.payers}:
        return f"different: grant {kept.grant} does not cover it now"
    return _compare(kept, decision, code)


def _compare(kept: StoredAction, decision: str, code: str) -> str:
    if (kept.decision, kept.code) == (decision, code):
        return "same"
    if kept.code == "outside-scope" and decision == "permit":
        return "not computed: the scope of an ancestor or the agent's ceiling did not cover it then"
    return f"different: it would be {decision}{f' ({code})' if code else ''} now"
