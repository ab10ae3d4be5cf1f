"""Agents and their keys, their owner and approvers, what a person may grant, and an agent's risk.

Of `agent`:

1. An active agent has an owner, an approver and a monitor that acknowledged a test event (law 9).
2. Owner and approvers must be current persons of the organization.
3. A suspended agent cannot act; activation checks everything again.
4. An active agent that loses its last approver must be suspended first, and the suspension is reported.

Of `agent_key`:

1. The signer holds the private key; the stored public key identifies the agent.
2. An agent has one valid key; a new one replaces it at once.
3. A signature proves only the agent's identity, to this installation, for a minute and once (rfc7523bis).

Of `grantable`:

1. A task must be within the union of what the requester may grant. Limits there apply to each task
   separately.
2. A departed or unknown person may grant nothing, whatever their groups may grant.
3. Only the account that owns the data directory sets a grantable, and only within what its person may grant,
   before and after the change.
4. A scope with steps cannot be a grantable.

Of `risk`:

1. The owner or any approver may raise the level, because that only refuses or asks more.
2. An approver lowers it, but not the human who set the current level while another human approves for the
   agent. Linked persons are one human.
3. Setting the current level again is refused.
4. A missing agent has high risk; of several agents the highest level counts.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Duration, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity.errors import (
    BadRiskError,
    InactiveAgentError,
    MonitorCodeError,
    NotAnsweringError,
    OwnRiskError,
    SameRiskError,
)
from taskbound.core.identity.person import Breadth, PersonState, human_of, humans
from taskbound.core.identity.proof import WorkloadKind, agent_name
from taskbound.core.identity.selector import Selector
from taskbound.core.scope import NotCovered, Scope, cover
from taskbound.core.scope.algebra import NotCovers, covers
from taskbound.core.transition import Transitions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.identity.person import Grantable, Group, Person
    from taskbound.core.scope import Grant
    from taskbound.core.scope.algebra import Uncovered


_REASON: Final = 500


class Risk(Enum):
    """Risk levels, in ascending order."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


_ORDER: Final = {one: number for number, one in enumerate(Risk)}


def parse_risk(text: str) -> Risk:
    for one in Risk:
        if one.value == text:
            return one
    raise BadRiskError(f"`{text[:64]}` is no level of risk", where="level")


def parse_risk_reason(text: str) -> str:
    if not text.strip() or len(text) > _REASON:
        raise BadRiskError(
            f"a reason has 1 to {_REASON} characters", where="reason", remedy="say why with `--reason`"
        )
    return text


def highest(levels: Iterable[Risk | None]) -> Risk:
    return max((one or Risk.HIGH for one in levels), key=_ORDER.__getitem__, default=Risk.HIGH)


def set_level(agent: Agent, level: Risk, by: str, persons: Mapping[str, Person]) -> Agent:
    """Sets the level on behalf of person `by`; raises SameRiskError, NotAnsweringError or OwnRiskError."""
    if level is agent.risk:
        raise SameRiskError(f"the risk of agent `{agent.name}` is {level.value}")  # 3
    if _ORDER[level] > _ORDER[agent.risk]:
        if by not in {agent.owner, *agent.approvers}:
            raise NotAnsweringError(f"only who answers for agent `{agent.name}` raises its risk")  # 1
    else:
        _require_lowering(agent, by, persons)
    return replace(agent, risk=level, risk_by=by, version=agent.version + 1)


def _require_lowering(agent: Agent, by: str, persons: Mapping[str, Person]) -> None:
    if by not in agent.approvers:
        raise NotAnsweringError(f"only an approver of agent `{agent.name}` lowers its risk")  # 2
    said = human_of(agent.risk_by, persons)
    present = [
        one.name for one in map(persons.get, agent.approvers) if one and one.state is PersonState.PRESENT
    ]
    if human_of(by, persons) == said and humans(present, persons) - {said}:
        raise OwnRiskError(
            f"`{by}` said that the risk of agent `{agent.name}` is {agent.risk.value},"
            " and another person approves for it"
        )


class AgentState(Enum):
    """State of an agent."""

    REGISTERED = "registered"
    ACTIVE = "active"
    SUSPENDED = "suspended"


class AgentEvent(Enum):
    """Events that change the state of an agent."""

    ACTIVATE = "activate"
    SUSPEND = "suspend"


AGENT_TRANSITIONS: Final[Transitions[AgentState, AgentEvent]] = Transitions(
    word="the agent",
    moves={
        (AgentState.REGISTERED, AgentEvent.ACTIVATE): AgentState.ACTIVE,
        (AgentState.REGISTERED, AgentEvent.SUSPEND): AgentState.SUSPENDED,
        (AgentState.ACTIVE, AgentEvent.SUSPEND): AgentState.SUSPENDED,
        (AgentState.SUSPENDED, AgentEvent.ACTIVATE): AgentState.ACTIVE,
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A workload that acts, with its owner and approvers."""

    namespace: str
    name: str
    state: AgentState
    owner: str
    approvers: tuple[str, ...]
    monitor: str
    ceiling: Scope
    challenge: str = ""
    """SHA-256 of the code last sent to the monitor; empty when none is open."""
    acknowledged: Instant | None = None
    version: int = 1
    risk: Risk = Risk.LOW
    risk_by: str = ""
    """The person who set it; empty if it was never set."""


def lacks(agent: Agent, persons: Mapping[str, Person]) -> tuple[str, ...]:
    missing: list[str] = []
    if not _present(agent.owner, persons):
        missing.append(f"its owner `{agent.owner}` is not a person of this namespace")
    if not agent.approvers:
        missing.append("it has no approver")
    missing.extend(
        f"its approver `{name}` is not a person of this namespace"
        for name in agent.approvers
        if not _present(name, persons)
    )
    if not agent.monitor:
        missing.append("it has no monitor")
    elif agent.acknowledged is None:
        missing.append("its monitor has not acknowledged a test event")
    return tuple(missing)


def _present(name: str, persons: Mapping[str, Person]) -> bool:
    person = persons.get(name)
    return person is not None and person.state is PersonState.PRESENT


def require_complete(agent: Agent, persons: Mapping[str, Person]) -> None:
    missing = lacks(agent, persons)
    if missing:
        raise InactiveAgentError(f"agent `{agent.name}` can't be active: {'; '.join(missing)}")


def require_active(agent: Agent, persons: Mapping[str, Person]) -> None:
    """Raises InactiveAgentError unless the agent is active and complete (law 9)."""
    if agent.state is not AgentState.ACTIVE:
        raise InactiveAgentError(f"agent `{agent.name}` is {agent.state.value}")
    require_complete(agent, persons)


def require_approver(agent: Agent) -> None:
    if agent.state is AgentState.ACTIVE and not agent.approvers:
        raise InactiveAgentError(
            f"agent `{agent.name}` is active and can't be without an approver",
            remedy="name an approver, or suspend it first with `taskbound agent suspend`",
        )


def move_agent(agent: Agent, event: AgentEvent, persons: Mapping[str, Person]) -> Agent:
    """Returns the agent after the event; raises WrongStateError or InactiveAgentError."""
    state = AGENT_TRANSITIONS.advance(agent.state, event)
    moved = replace(agent, state=state, version=agent.version + 1)
    if state is AgentState.ACTIVE:
        require_complete(moved, persons)
        return moved
    # Rule 3: what was acknowledged before a suspension proves nothing after it.
    return replace(moved, acknowledged=None, challenge="")


def acknowledge(agent: Agent, challenge: str, now: Instant) -> Agent:
    """Acknowledges the monitor; `challenge` is the SHA-256 (hex) of the typed code and is used once."""
    if not agent.challenge or agent.challenge != challenge:
        raise MonitorCodeError(f"that is not the code that the monitor of `{agent.name}` received")
    return replace(agent, challenge="", acknowledged=now, version=agent.version + 1)


ASSERTION_LIFE: Final[Duration] = seconds(60)
"""How long what is signed with such a key lives (rule 3)."""


class UnknownAgentKeyError(DeniedError):
    """No agent has this key, or it was replaced."""

    code = "unknown-agent-key"
    remedy = "make one with `taskbound agent key renew`; a new key ends the one before"


class NotAgentProcessError(DeniedError):
    """The caller is not a process of a running task of that agent."""

    code = "not-agent-process"
    remedy = "ask from beneath `taskbound run`, while its task runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentKey:
    """The public half of an agent's key."""

    namespace: str
    kid: str
    """Its thumbprint (RFC 7638)."""
    agent: str
    public: bytes
    """A JSON Web Key in canonical form."""
    made: Instant
    ended: Instant | None = None
    """When another took its place (rule 2)."""


def client_of(namespace: str, agent: str) -> str:
    """The agent's client id, as in tokens; unique across namespaces."""
    return agent_name(namespace, agent)


def selector_of_key(key: AgentKey) -> Selector:
    return Selector(
        namespace=key.namespace, agent=key.agent, kind=WorkloadKind.KEY, issuer="", subjects=(key.kid,)
    )


_TOLD = 3


class OutsideGrantableError(DeniedError):
    """The task's scope exceeds what the requester may grant."""

    code = "outside-grantable"
    remedy = "leave it out, or ask a person who may grant it: see `taskbound person show`"


class NotGiverError(DeniedError):
    """A person sets a grantable that exceeds what they may grant."""

    code = "not-giver"
    remedy = "ask a person who may grant all of it, or the account that owns the data directory"


class BadGrantableError(MalformedError):
    """The value cannot be a grantable."""

    code = "bad-grantable"
    remedy = "give a scope without steps, `--ceiling` or `--nothing`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Everything that a person may grant."""

    person: str
    grantable: Grantable
    """The union of what is said of them and of their groups (rule 1)."""
    sources: Mapping[str, str]
    """By grant of the union: where it comes from, such as "g0 of group `payers`"."""


def parse_grantable(grantable: Grantable) -> Grantable:
    if isinstance(grantable, Scope) and grantable.steps:
        raise BadGrantableError("what may be granted has no steps")
    return grantable


def reach_of(name: str, persons: Mapping[str, Person], groups: Iterable[Group]) -> Reach:
    person = persons.get(name)
    if person is None or person.state is not PersonState.PRESENT:
        return Reach(person=name, grantable=Breadth.NOTHING, sources={})  # 2
    said = [(person.grantable, f"`{name}`")]
    said += [(one.grantable, f"group `{one.name}`") for one in groups if name in one.everyone]
    if any(grantable is Breadth.CEILING for grantable, _ in said):
        return Reach(person=name, grantable=Breadth.CEILING, sources={})
    grants: dict[bytes, Grant] = {}
    sources: dict[str, str] = {}
    for grantable, whose in said:
        for grant in grantable.grants if isinstance(grantable, Scope) else ():
            key = Scope(grants=(grant,)).canonical
            if key not in grants:
                grants[key] = _renamed(grant, f"g{len(grants)}")
                sources[grants[key].id] = f"{grant.id} of {whose}"
    union: Grantable = Scope(grants=tuple(grants.values())) if grants else Breadth.NOTHING
    return Reach(person=name, grantable=union, sources=sources)


def require_grantable(scope: Scope, reach: Reach) -> None:
    match reach.grantable:
        case Breadth.CEILING:
            return
        case Breadth.NOTHING:
            raise OutsideGrantableError(f"`{reach.person}` may grant nothing")
        case Scope() as grantable:
            answer = covers(grantable, scope)
            if isinstance(answer, NotCovers):
                words = uncovered_words(answer, reach.sources, f"`{reach.person}` may grant")
                where = answer.uncovered[0].tool
                raise OutsideGrantableError(f"`{reach.person}` may not grant it: {words}", where=where)


def require_giver(reach: Reach, before: Grantable, after: Grantable) -> None:
    """Raises NotGiverError if the person's reach does not cover both values."""
    for grantable in (before, after):
        if reach.grantable is Breadth.CEILING or grantable is Breadth.NOTHING:
            continue
        if not isinstance(grantable, Scope) or not isinstance(reach.grantable, Scope):
            raise NotGiverError(f"`{reach.person}` may not grant that themselves")
        answer = covers(reach.grantable, grantable)
        if isinstance(answer, NotCovers):
            words = uncovered_words(answer, reach.sources, f"`{reach.person}` may grant")
            raise NotGiverError(f"`{reach.person}` may not grant that themselves: {words}")


def misses(
    reach: Reach,
    tool: str,
    arguments: Mapping[str, JsonValue],
    schema: Mapping[str, JsonValue] | None,
) -> str:
    """Why this person may not grant one call, in words; empty if they may."""
    match reach.grantable:
        case Breadth.CEILING:
            return ""
        case Breadth.NOTHING:
            return f"`{reach.person}` may grant nothing"
        case Scope() as grantable:
            found = cover(grantable, tool, arguments, schema)
            return f"`{reach.person}` may not grant it" if isinstance(found, NotCovered) else ""


def why_not(
    reach: Reach,
    agent: Agent,
    tool: str,
    arguments: Mapping[str, JsonValue],
    schema: Mapping[str, JsonValue] | None,
) -> str:
    """Why this person cannot give the agent a task that covers the call; empty if they can."""
    if isinstance(cover(agent.ceiling, tool, arguments, schema), NotCovered):
        return f"the ceiling of agent `{agent.name}` does not cover it, so no person may grant it"
    return misses(reach, tool, arguments, schema)


def uncovered_words(answer: NotCovers, sources: Mapping[str, str], who: str) -> str:
    """Describes the first three findings in full. `sources` maps grant ids to their origin; `who` refuses."""
    told = [_sentence(one, sources, who) for one in answer.uncovered[:_TOLD]]
    more = len(answer.uncovered) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")


def _sentence(one: Uncovered, sources: Mapping[str, str], who: str) -> str:
    grant = f"grant {one.grant} (`{one.tool}`)"
    if one.nearest is None:
        return f"{grant} names a tool that no grant {who} names"
    between = "; ".join(gap.sentence for gap in one.gaps)
    return f"{grant} is wider than {sources.get(one.nearest, one.nearest)}, which came nearest: {between}"


def _renamed(grant: Grant, name: str) -> Grant:
    old = len(grant.id)
    return replace(
        grant,
        id=name,
        totals=tuple(replace(one, key=name + one.key[old:]) for one in grant.totals),
        rates=tuple(replace(one, key=name + one.key[old:]) for one in grant.rates),
    )
