"""Explains a recorded decision and replays its scope and policy evaluation.

The replay uses the row's canonical arguments, scope, facts and bundle. It does not replay ended tasks, the
kill switch or remaining limits. A row that differs from its digest or record is reported as edited and not
replayed, because the database can be edited unnoticed and the log cannot. The replay adds only facts that
cannot have changed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.action import make_action, parse_object
from taskbound.core.approval import ApprovalState
from taskbound.core.audit import ActionDecided, parse_record
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity.agent import reach_of, why_not
from taskbound.core.policy import (
    DamagedBundleError,
    Forbidden,
    Held,
    Permitted,
    PolicyRequest,
    conclude,
    grants_for,
    turns_within,
)
from taskbound.core.scope import NotCovered, cover
from taskbound.core.task import evidence_text
from taskbound.core.tool import parse_definition
from taskbound.flows.decision.facts import COVERED, parse_fact

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.policy import Fact, PolicyConclusion
    from taskbound.core.scope import Covered, Scope
    from taskbound.core.task import Task
    from taskbound.flows.means import Adapters
    from taskbound.ports.action import StoredAction
    from taskbound.ports.policy import PolicyEngine
    from taskbound.ports.store import Snapshot
    from taskbound.ports.tool import PinnedTool


_PLACED: Final = 60_000_000
"""µs after which a decision's record surely has its place in the log, where it can be found."""
_RECORDED: Final = (
    "task", "agent", "tool", "server", "definition", "digest", "act_key", "decision", "grant", "bundle",
    "scope", "attempt", "connection",
)  # fmt: skip  # a list of words reads better as words
_STANDING: Final = frozenset(
    {
        "bad-credential-kind",
        "bad-credential-life",
        "bad-credential-parameter",
        "not-renewable",
        "renewal-not-later",
        "renewal-under-way",
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
        "tool-without-owner",
        "exhausted",
        "key-reused",
        "approval-denied",
        "operand-outside",
        "operand-unreadable",
        "approval-narrowed",
        "hold-over",
        "no-approver",
        "not-liftable",
        "too-long-to-show",
        "too-many-holds",
        "too-many-questions",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """The policy request of a recorded action, as it was evaluated."""

    kept: StoredAction
    request: PolicyRequest
    """With the facts that were recorded, and no others."""
    covered: Covered | NotCovered
    """What the task's own scope says of it."""
    scope: Scope
    """The task's own scope."""
    step: int
    """The step of it that was in force."""
    lasting: dict[str, Fact]
    """Facts that can't have changed since."""
    lifted: bool = False
    """Whether policy held it, and people lifted that."""
    narrowed: bool = False
    """Whether a person has narrowed another action to it: it is held until they have answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotReplayable:
    """The reason why policy cannot be asked again."""

    why: str
    of_standing: bool = False
    """Whether the standing of that moment decided, and not policy."""


def rebuild_request(snapshot: Snapshot, kept: StoredAction) -> RecordedRequest | NotReplayable:
    """Rebuilds the policy request of an action whose row is not `edited`, or says why it cannot."""
    if kept.code in _STANDING:
        why = f"`{kept.code}` comes from the standing of that moment, which the log records"
        return NotReplayable(why=why, of_standing=True)
    task = snapshot.tasks.task(kept.namespace, kept.task) if kept.task else None
    tool = snapshot.tools.tool(kept.namespace, kept.tool)
    if task is None or tool is None or tool.digest != kept.definition:
        return NotReplayable(why="the task or the pinned tool is another one now")
    if kept.at < task.since or kept.scope != task.scope.digest:
        return NotReplayable(why="the task has entered another step since, or its scope was amended")
    definition = parse_definition(tool.definition)
    arguments = parse_object(kept.arguments)
    request = PolicyRequest(
        namespace=kept.namespace,
        agent=kept.agent,
        tool=kept.tool,
        server=tool.server,
        task=kept.task,
        arguments=arguments,
        definition=tool.digest,
        schema=definition.input_schema,
        facts={name: parse_fact(name, value) for name, value in kept.facts} | {COVERED: True},
    )
    lifted, narrowed = _asked(snapshot, kept)
    return RecordedRequest(
        kept=kept,
        request=request,
        covered=cover(task.scope, kept.tool, arguments, definition.input_schema, step=task.step),
        scope=task.scope,
        step=task.step,
        lasting=_lasting(kept, task, tool),
        lifted=lifted,
        narrowed=narrowed,
    )


def complete_request(again: RecordedRequest, engine: PolicyEngine) -> PolicyRequest | tuple[str, ...]:
    request = again.request
    wanted = engine.reads_of(request.namespace, request.agent, request.tool, request.server).facts
    facts = again.lasting | dict(request.facts)
    missing = tuple(sorted(wanted - facts.keys()))
    return missing or replace(request, facts={name: facts[name] for name in sorted(wanted)})


def replayed_answer(conclusion: PolicyConclusion, again: RecordedRequest) -> tuple[str, str]:
    """Returns decision and code of a conclusion, assuming coverage and the recorded lift."""
    lifted = again.lifted
    match conclusion:
        case Permitted() if again.narrowed and not lifted:
            return "hold", "held"
        case Permitted():
            return "permit", ""
        case Held() if lifted:
            return "permit", ""
        case Held():
            return "hold", "held"
        case Forbidden() as forbidden:
            return "refuse", forbidden.code


def fact_lines(again: RecordedRequest) -> str:
    return ", ".join(f"{name} {words}" for name, words in again.kept.facts)


def edited(snapshot: Snapshot, kept: StoredAction, now: Instant) -> str:
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


def _asked(snapshot: Snapshot, kept: StoredAction) -> tuple[bool, bool]:
    approval = snapshot.approvals.approval_of(kept.namespace, kept.id)
    if approval is None:
        return False, False
    return approval.state is ApprovalState.CONSUMED, bool(approval.question.narrows)


def _lasting(kept: StoredAction, task: Task, tool: PinnedTool) -> dict[str, Fact]:
    definition = parse_definition(tool.definition)
    effect: dict[str, Fact] = {}
    if not tool.effect:
        effect = dict.fromkeys(("effect", "tool.effect"), definition.effect.value)
    return effect | {
        COVERED: True,
        "flags": kept.flags,
        "agent.name": kept.agent,
        "agent.namespace": kept.namespace,
        "task.evidence": tuple(map(evidence_text, task.evidence)),
        "task.learning": task.learning,
        "task.purpose": task.purpose,
        "task.requester": task.requester,
        "tool.name": kept.tool,
        "tool.open_world": definition.open_world,
        "tool.server": tool.server,
    }


class UnknownActionError(DeniedError):
    """No action has this id."""

    code = "unknown-action"
    remedy = "list them with `taskbound action list`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """An action, the facts its decision read, and the result of replaying it."""

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
    grants: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    turns: tuple[str, ...] = ()


def explain(adapters: Adapters, namespace: str, action: str) -> Explanation:
    with adapters.store.read() as snapshot:
        kept = snapshot.actions.action(namespace, action)
        if kept is None:
            raise UnknownActionError(f"no action is named `{action}`")
        task = snapshot.tasks.task(namespace, kept.task) if kept.task else None
        tool = snapshot.tools.tool(namespace, kept.tool)
        changed = edited(snapshot, kept, adapters.clock.now())
        could = "" if changed else _could_grant(snapshot, kept, task, tool)
        again = NotReplayable(why=changed) if changed else rebuild_request(snapshot, kept)
        engine = _engine(adapters, snapshot, kept)
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
    elif isinstance(again, NotReplayable):
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


def _engine(adapters: Adapters, snapshot: Snapshot, kept: StoredAction) -> PolicyEngine | str:
    try:
        return adapters.policy.engine(snapshot, kept.namespace, kept.bundle)
    except DamagedBundleError as error:
        return error.message


def _see(engine: PolicyEngine, again: RecordedRequest) -> _Seen:
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


def _replay(engine: PolicyEngine, again: RecordedRequest) -> str:
    kept, covered = again.kept, again.covered
    if isinstance(covered, NotCovered):
        return _compare(kept, "refuse", "outside-scope")
    decision, code = replayed_answer(conclude(engine.answer(again.request)), again)
    if decision == kept.decision == "permit" and kept.grant not in {one.grant for one in covered.payers}:
        return f"different: grant {kept.grant} does not cover it now"
    return _compare(kept, decision, code)


def _compare(kept: StoredAction, decision: str, code: str) -> str:
    if (kept.decision, kept.code) == (decision, code):
        return "same"
    if kept.code == "outside-scope" and decision == "permit":
        return "not computed: the scope of an ancestor or the agent's ceiling did not cover it then"
    return f"different: it would be {decision}{f' ({code})' if code else ''} now"
