"""Evaluating one call, read only, in the order of design 4: parse, identity, task, scope, policy.

1. The bytes are parsed again here, strictly: whoever sent them is not trusted to
   have done so, and they must be their own canonical form, since they are what runs.
2. The first step that finds something in the way ends the evaluation; its error is
   the refusal. Nothing that goes wrong on the way is anything but a refusal.
3. An action must be covered by the scope of its task, of every ancestor, and by the
   agent's ceiling (law 3); limits are the task's own, carved when it was made.
4. What was read is named by version in the proposal's basis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.action import make_action, parse_object
from taskbound.core.decision import (
    Basis,
    Evaluated,
    Hold,
    Presented,
    Proposal,
    Reason,
    Refuse,
    Verdict,
    refusal,
)
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError
from taskbound.core.identity import UnknownIdentityError, require_active
from taskbound.core.policy import Forbidden, Held, Permitted, PolicyRequest, conclude
from taskbound.core.revocation import require_not_stopped
from taskbound.core.scope import Covered, Missed, cover
from taskbound.core.task import NoTaskError, require_live

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.identity import Agent
    from taskbound.core.policy import PolicyAnswer
    from taskbound.core.revocation import KillSwitch
    from taskbound.flows.decision.views import Lineage, ToolView, Views
    from taskbound.ports.policy import PolicyEngine

__all__ = ["Call", "Evaluator", "NotCanonicalError", "ToolChangedError", "UnknownToolError"]

Facts: TypeAlias = "dict[str, str | int | bool | tuple[str, ...]]"

_USABLE: Final = frozenset({"pinned", "text-changed"})
_ASK: Final = "do something else, or ask the owner of the policies"
_POLICY_WORDS: Final = {
    "policy-erred": ("a policy could not be evaluated", "ask the owner of the policies to mend it"),
    "forbidden": ("the organisation's rules forbid it", _ASK),
    "not-permitted": ("no policy permits it", _ASK),
}


class UnknownToolError(DeniedError):
    """No tool of this name is pinned for this agent."""

    code = "unknown-tool"
    remedy = "use a tool that tools/list names"


class NotCanonicalError(MalformedError):
    """The argument bytes are not their own canonical form: what was judged would not be what runs."""

    code = "not-canonical"
    remedy = "send the arguments as RFC 8785 writes them"


class ToolChangedError(DeniedError):
    """The server shows another definition of the tool than the one that was pinned."""

    code = "tool-changed"
    remedy = "ask the person to look at `taskbound tool diff` and to accept it or not"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call as it came from an enforcement point."""

    namespace: str
    agent: str
    task: str
    """The task that the connection is bound to; empty when it is bound to none."""
    unbound: TaskboundError | None
    """Why it is bound to none."""
    connection: str
    request: str
    key: str
    tool: str
    arguments: bytes
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    agent: Agent | None
    lineage: Lineage | None
    tool: ToolView | None
    switch: KillSwitch


class Evaluator:
    """Evaluates calls against views of the store and one bundle of policies."""

    def __init__(self, views: Views, policy: PolicyEngine) -> None:
        """Keep what to read from."""
        self._views = views
        self._policy = policy
        self._reads = tuple(sorted(policy.reads))
        self._reads_outcome = "last_outcome" in policy.reads

    def evaluate(self, call: Call, action_id: str, now: Instant) -> Proposal:
        """The proposal for this call, whatever is in its way.

        Args:
            call: The call.
            action_id: The id that the action will have.
            now: The instant of the evaluation.

        Raises:
            MalformedError: The arguments can't be read; there is no action then.
        """
        arguments = parse_object(call.arguments)
        lineage = self._views.lineage(call.namespace, call.task) if call.task else None
        agent = self._views.agent(call.namespace, call.agent)
        tool = self._views.tool(call.namespace, call.tool)
        action = make_action(
            namespace=call.namespace,
            task=call.task,
            agent=call.agent,
            tool=call.tool,
            server=tool.server.identity if tool else "",
            definition=tool.pinned.digest if tool else "",
            arguments=arguments,
        )
        if action.arguments != call.arguments:
            raise NotCanonicalError("the arguments are not in canonical form")  # 1
        root = lineage.task.root if lineage else call.task
        switch = self._views.kill_switch(call.namespace)
        outcome = ""
        if self._reads_outcome:
            outcome = self._views.last_outcome(root, action.act_key)
        flagged = action.flags()
        flags = tuple(sorted({flag.kind.value for flag in flagged})) if flagged else ()
        facts = self._facts(call, tool, flags, outcome)
        seen = _Seen(agent=agent, lineage=lineage, tool=tool, switch=switch)
        return Proposal(
            id=action_id,
            action=action,
            root=root,
            presented=Presented(connection=call.connection, request=call.request, key=call.key),
            verdict=self._verdict(call, seen, arguments, facts, now),
            basis=self._basis(seen, outcome),
            flags=flags,
            scope=lineage.task.scope.digest if lineage else "",
            facts=tuple([(name, _words(value)) for name, value in facts.items()]),
        )

    def _facts(self, call: Call, tool: ToolView | None, flags: tuple[str, ...], outcome: str) -> Facts:
        facts: Facts = {
            "attempt": 1,
            "covered": True,
            "effect": tool.definition.effect.value if tool else "",
            "flags": flags,
            "last_outcome": outcome,
            "proof": call.proof,
        }
        return {name: facts[name] for name in self._reads}

    def _verdict(
        self, call: Call, seen: _Seen, arguments: dict[str, JsonValue], facts: Facts, now: Instant
    ) -> Verdict:
        try:
            require_not_stopped(seen.switch)
            if seen.agent is None:
                raise UnknownIdentityError(f"no agent is named `{call.agent}`")
            require_active(seen.agent, self._views.persons(call.namespace))
            live = _require_task(call, seen.lineage, now)
            known = _require_tool(call, seen.tool)
        except DeniedError as error:
            return refusal(error)
        covered = _cover(live, seen.agent, known, arguments)
        if isinstance(covered, Refuse):
            return covered
        request = PolicyRequest(
            namespace=call.namespace, agent=call.agent, tool=call.tool, server=known.server.name, facts=facts
        )
        return _conclude(self._policy.answer(request), covered)

    def _basis(self, seen: _Seen, outcome: str) -> Basis:
        return Basis(
            tasks=seen.lineage.versions if seen.lineage else (),
            agent=seen.agent.version if seen.agent else None,
            switch=seen.switch.epoch,
            tool=seen.tool.pinned.version if seen.tool else None,
            bundle=self._policy.bundle,
            last_outcome=outcome,
            reads_outcome=self._reads_outcome,
        )


def _require_task(call: Call, lineage: Lineage | None, now: Instant) -> Lineage:
    if call.unbound is not None and isinstance(call.unbound, DeniedError):
        raise call.unbound
    if lineage is None:
        raise NoTaskError("no task is open for this agent")
    require_live(call.task, lineage.heads, now)
    if lineage.task.agent != call.agent:
        raise NoTaskError(f"task `{call.task}` is not one of agent `{call.agent}`")
    return lineage


def _require_tool(call: Call, tool: ToolView | None) -> ToolView:
    if tool is None or (tool.server.agents and call.agent not in tool.server.agents):
        raise UnknownToolError(f"no tool `{call.tool}` is pinned for agent `{call.agent}`")
    if tool.pinned.state not in _USABLE:
        raise ToolChangedError(f"tool `{call.tool}` is not the one that was pinned ({tool.pinned.state})")
    return tool


def _cover(
    lineage: Lineage, agent: Agent, tool: ToolView, arguments: dict[str, JsonValue]
) -> Covered | Refuse:
    """The grants of the task's scope that cover; a refusal when those above it or the ceiling don't."""
    schema = tool.definition.input_schema
    name = tool.pinned.name
    own = cover(lineage.task.scope, name, arguments, schema)
    if isinstance(own, Missed):
        return _outside(own, "the task's scope")
    for above in lineage.tasks[1:]:
        found = cover(above.scope, name, arguments, schema)
        if isinstance(found, Missed):
            return _outside(found, f"the scope of its ancestor `{above.id}`")
    ceiling = cover(agent.ceiling, name, arguments, schema)
    if isinstance(ceiling, Missed):
        return _outside(ceiling, f"the ceiling of agent `{agent.name}`")
    return own


def _outside(missed: Missed, whose: str) -> Refuse:
    return Refuse(
        code="outside-scope",
        reasons=(Reason(code=missed.code, text=missed.sentence, detail=f"not covered by {whose}"),),
        instead="stay within that, or ask the person for a task that covers it",
    )


def _conclude(answer: PolicyAnswer, covered: Covered) -> Verdict:
    match conclude(answer):
        case Permitted() as permitted:
            return Evaluated(covered=covered, policies=permitted.policies)
        case Held() as held:
            lifters = ", ".join(held.lifters)
            return Hold(
                reasons=tuple(
                    Reason(code="held", text=f"policy `{one}` holds it", detail=f"lifted by {lifters}")
                    for one in held.policies
                ),
                policies=held.policies,
                lifters=held.lifters,
            )
        case Forbidden() as forbidden:
            text, instead = _POLICY_WORDS[forbidden.code]
            reasons = tuple(Reason(code=forbidden.code, text=text, detail=one) for one in forbidden.policies)
            return Refuse(
                code=forbidden.code,
                reasons=reasons or (Reason(code=forbidden.code, text=text),),
                instead=instead,
                policies=forbidden.policies,
            )


def _words(value: str | int | tuple[str, ...]) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return " ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
