"""The facts that policies read of a call, and the verdict that follows from policy's answer.

A missing value is the worst of its kind: a tool without annotations writes, destroys, reaches the open world
and is not idempotent; an attempt of unknown time was just now. Policy is asked only about covered calls.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.decision import AttemptFacts, Evaluated, Hold, Holding, Reason, Refuse, changed_since
from taskbound.core.policy import FACTS, LIVED, LOOKED, Fact, FactKind, Forbidden, Held, Permitted, conclude
from taskbound.core.task import evidence_text
from taskbound.core.tool import Effect, effect_of
from taskbound.flows.decision.retries import NOT_CHECKED, PEOPLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.decision import ReadVersions, Verdict
    from taskbound.core.identity import Agent
    from taskbound.core.identity.agent import Risk
    from taskbound.core.policy import PolicyConclusion, PolicyRequest
    from taskbound.core.scope import Covered, Scope
    from taskbound.flows.approval.proof.kept import Vouching
    from taskbound.flows.decision.context import Lineage, ToolView
    from taskbound.flows.decision.retries import Attempts, EffectCheck
    from taskbound.ports.policy import PolicyEngine


Facts: TypeAlias = "dict[str, Fact]"

_SECOND: Final = 1_000_000
COVERED: Final = "covered"
_LATE: Final = frozenset({*LOOKED, LIVED, "check_found", "checked", COVERED})
"""What is looked at only once a call is covered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactsOf:
    """The inputs that a call's facts are computed from."""

    namespace: str
    agent: str
    tool: str
    proof: str
    bundle: str
    flags: tuple[str, ...]
    last_outcome: str
    attempts: Attempts
    """What was before this call; looked up only when a policy reads of it."""
    checked: EffectCheck
    """What declared checks show of the attempts before; looked at only when a policy reads of it."""
    operands: tuple[str, ...]
    """What probes found behind the arguments, each in words; looked at only when a policy reads of it."""
    vouching: Vouching
    """What of the task's evidence stands; verified again only when a policy reads of it."""
    credential_life: int
    """For how many seconds a credential lives by this call; worked out only when a policy reads of it."""
    known_agent: Agent | None
    risk: Risk
    """The highest of the agent and of those of the tasks above."""
    lineage: Lineage | None
    known_tool: ToolView | None
    now: Instant

    def read(self, names: Iterable[str]) -> Facts:
        return {name: _FACTS[name](self) for name in names}


def _effect(seen: FactsOf) -> str:
    tool = seen.known_tool
    return effect_of(tool.definition, tool.pinned.effect).value if tool else Effect.DESTRUCTIVE.value


def _open_world(seen: FactsOf) -> bool:
    return seen.known_tool.definition.open_world if seen.known_tool else True


def _age(seen: FactsOf) -> int:
    return (seen.now - seen.lineage.task.started) // _SECOND if seen.lineage else 0


def _evidence(seen: FactsOf) -> tuple[str, ...]:
    return tuple(map(evidence_text, seen.lineage.task.evidence)) if seen.lineage else ()


def _remaining(seen: FactsOf) -> int:
    return max(0, (seen.lineage.task.deadline - seen.now) // _SECOND) if seen.lineage else 0


def _changed(seen: FactsOf) -> tuple[str, ...]:
    if not seen.attempts.history.attempts:
        return ()
    people = tuple(fact_words(_FACTS[name](seen)) for name in PEOPLE)
    now = AttemptFacts(
        definition=seen.known_tool.pinned.digest if seen.known_tool else "",
        scope=seen.lineage.task.scope.digest if seen.lineage else "",
        policy=seen.bundle,
        operands=seen.operands,
        people=people,
        risk=seen.risk.value,
    )
    return changed_since(seen.attempts.ground, now)


def _last_age(seen: FactsOf) -> int:
    history = seen.attempts.history
    return max(0, (seen.now - history.last_at) // _SECOND) if history.last_action else 0


_FACTS: Final[Mapping[str, Callable[[FactsOf], Fact]]] = {
    "attempt": lambda seen: seen.attempts.history.attempts + 1,
    "changed": _changed,
    "check_found": lambda seen: seen.checked.found,
    "checked": lambda seen: seen.checked.shown.value,
    COVERED: lambda _: True,
    "credential_life": lambda seen: seen.credential_life,
    "effect": _effect,
    "flags": lambda seen: seen.flags,
    "idempotent": lambda seen: seen.known_tool.pinned.idempotent if seen.known_tool else False,
    "last_action": lambda seen: seen.attempts.history.last_action,
    "last_age": _last_age,
    "last_outcome": lambda seen: seen.last_outcome,
    "operands": lambda seen: seen.operands,
    "proof": lambda seen: seen.proof,
    "risk": lambda seen: seen.risk.value,
    "agent.approvers": lambda seen: seen.known_agent.approvers if seen.known_agent else (),
    "agent.name": lambda seen: seen.agent,
    "agent.namespace": lambda seen: seen.namespace,
    "agent.owner": lambda seen: seen.known_agent.owner if seen.known_agent else "",
    "task.age": _age,
    "task.depth": lambda seen: len(seen.lineage.tasks) - 1 if seen.lineage else 0,
    "task.evidence": _evidence,
    "task.learning": lambda seen: bool(seen.lineage and seen.lineage.task.learning),
    "task.proven": lambda seen: seen.vouching.proven,
    "task.purpose": lambda seen: seen.lineage.task.purpose if seen.lineage else "",
    "task.remaining": _remaining,
    "task.requester": lambda seen: seen.lineage.task.requester if seen.lineage else "",
    "task.unproven": lambda seen: seen.vouching.unproven,
    "tool.effect": _effect,
    "tool.name": lambda seen: seen.tool,
    "tool.open_world": _open_world,
    "tool.server": lambda seen: seen.known_tool.server.name if seen.known_tool else "",
}


def fact_words(value: Fact) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return "\n".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def facts_found(words: tuple[tuple[str, str], ...], *, covered: bool | None) -> tuple[tuple[str, str], ...]:
    """Returns the facts of a call refused before policy. `covered` is None if the scopes were not asked."""
    said = {} if covered is None else {COVERED: fact_words(covered)}
    return tuple((name, said.get(name, value)) for name, value in words if name not in _LATE or name in said)


def parse_fact(name: str, words: str) -> Fact:
    match FACTS.get(name, FactKind.TEXT):
        case FactKind.NUMBER:
            return int(words)
        case FactKind.TRUTH:
            return words == "true"
        case FactKind.TEXTS | FactKind.PERSONS:
            return tuple(words.split("\n")) if words else ()
        case FactKind.TEXT | FactKind.PERSON:
            return words


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizedContext:
    """The task, agents and tool of a call, valid until an instant."""

    lineage: Lineage
    agent: Agent
    tool: ToolView
    bounds: tuple[tuple[Scope, str], ...]
    """The ceilings that must cover a call besides the scopes of the line, and whose each is."""
    until: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookups:
    """Values looked up for one call, each if an applicable policy reads it."""

    attempts: Attempts | None = None
    operands: tuple[str, ...] | None = None
    """What probes found behind the arguments, each in words."""
    vouching: Vouching | None = None
    """What of the task's evidence stands."""
    checked: EffectCheck = NOT_CHECKED
    """What declared checks show of the attempts before."""
    credential_life: int = 0
    """For how many seconds a credential lives by it."""
    looked: Instant | None = None
    """When anything of it was looked at; None when nothing was."""


NOTHING_SOUGHT: Final = Lookups()


class PolicyQuery:
    """The policy request of a call, its basis, and the conclusion."""

    __slots__ = ("_concluded", "_policy", "_reads_arguments", "_request", "basis", "words")

    def __init__(
        self, policy: PolicyEngine, request: PolicyRequest, basis: ReadVersions, *, reads_arguments: bool
    ) -> None:
        self._reads_arguments = reads_arguments
        self._policy = policy
        self._request = request
        self._concluded: PolicyConclusion | None = None
        self.basis = basis
        self.words = tuple([(name, fact_words(value)) for name, value in request.facts.items()])

    def conclusion(self, arguments: dict[str, JsonValue]) -> PolicyConclusion:
        """Returns the conclusion; policy is asked once if arguments do not matter."""
        if self._reads_arguments:
            return conclude(self._policy.answer(replace(self._request, arguments=arguments)))
        if self._concluded is None:
            self._concluded = conclude(self._policy.answer(self._request))
        return self._concluded


_ASK: Final = "do something else, or ask the owner of the policies"
_POLICY_WORDS: Final = {
    "unmapped-argument": (
        "a policy reads an argument that can't be told to it",
        "give the argument as the tool's schema says, or ask the owner of the policies",
    ),
    "policy-erred": ("a policy could not be evaluated", "ask the owner of the policies to mend it"),
    "forbidden": ("the organisation's rules forbid it", _ASK),
    "not-permitted": ("no policy permits it", _ASK),
}


def verdict_of(conclusion: PolicyConclusion, covered: Covered) -> Verdict:
    match conclusion:
        case Permitted() as permitted:
            return Evaluated(covered=covered, policies=permitted.policies)
        case Held() as held:
            lifters = ", ".join(held.lifters)
            hold = Hold(
                reasons=tuple(
                    Reason(code="held", text=f"policy `{one}` holds it", detail=f"lifted by {lifters}")
                    for one in held.policies
                ),
                policies=held.policies,
                lifters=held.lifters,
            )
            return Holding(covered=covered, hold=hold)
        case Forbidden() as forbidden:
            text, instead = _POLICY_WORDS[forbidden.code]
            details = forbidden.details or ("",) * len(forbidden.policies)
            reasons = tuple(
                Reason(code=forbidden.code, text=text, detail=f"{one}: {more}" if more else one)
                for one, more in zip(forbidden.policies, details, strict=True)
            )
            return Refuse(
                code=forbidden.code,
                reasons=reasons or (Reason(code=forbidden.code, text=text),),
                instead=instead,
                policies=forbidden.policies,
            )
