"""Agents and their keys, who answers for them, what a person may grant, and an agent's risk.

Of `agent`:

1. An agent is active only with an owner, an approver, and a monitor that has
   acknowledged a test event (law 9); what it lacks is named.
2. Owner and approvers must be persons of the organisation, today.
3. A suspended agent acts no more; activating it again asks for everything anew.
4. An active one is never left without an approver: it is suspended first, and that is told.

Of `agent_key`:

1. The private half stays with the signer; here is the public half, by whose id the agent is known.
2. An agent has one key that counts. A new one ends the one before at once.
3. What is signed with it says only who the agent is: for us, for a minute, and once (rfc7523bis).

Of `grantable`:

1. A task must be within all of this together; what one task is given takes nothing from the next, so that a
   limit in it is one of each task by itself.
2. Who is gone or not known may grant nothing, whatever their groups may.
3. Nobody gives what they don't have: who says what somebody may grant, may grant that and what was said
   before. Only the account that owns the data directory may say anything.
4. A scope in steps says what is done in which order, which is a task's matter: it can't be granted from.

Of `risk`:

1. Its owner or any of its approvers raises the level: raising only refuses or asks more.
2. One of its approvers lowers it, and not the human who said the level that stands as long as another
   human who is here approves for the agent. Linked persons are one human.
3. The level that stands is not said again: nothing would have changed.
4. An agent that is not there is of high risk; where several answer for one call, the highest level counts.
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
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import Selector
from taskbound.core.scope import Missed, Scope, cover
from taskbound.core.scope.algebra import NotCovers, covers
from taskbound.core.token.values import agent_name
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
    """Levels, in order."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


_ORDER: Final = {one: number for number, one in enumerate(Risk)}


def parse_risk(text: str) -> Risk:
    """The level of this name.

    Raises:
        BadRiskError: No level is named so.
    """
    for one in Risk:
        if one.value == text:
            return one
    raise BadRiskError(f"`{text[:64]}` is no level of risk", where="level")


def parse_risk_reason(text: str) -> str:
    """Why a level is said.

    Raises:
        BadRiskError: It is blank, or longer than 500 characters.
    """
    if not text.strip() or len(text) > _REASON:
        raise BadRiskError(
            f"a reason has 1 to {_REASON} characters", where="reason", remedy="say why with `--reason`"
        )
    return text


def highest(levels: Iterable[Risk | None]) -> Risk:
    """The highest of these, None being that of an agent that is not there (rule 4)."""
    return max((one or Risk.HIGH for one in levels), key=_ORDER.__getitem__, default=Risk.HIGH)


def set_level(agent: Agent, level: Risk, by: str, persons: Mapping[str, Person]) -> Agent:
    """The agent, of this risk from now on.

    Args:
        agent: As it is.
        level: What is said of it.
        by: Name of the person who says so.
        persons: Everybody of the namespace.

    Raises:
        SameRiskError: It is of this risk.
        NotAnsweringError: Somebody says so who does not answer for it.
        OwnRiskError: They would take back alone what they said.
    """
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
    """What may happen to an agent's tasks."""

    REGISTERED = "registered"
    ACTIVE = "active"
    SUSPENDED = "suspended"


class AgentEvent(Enum):
    """What can happen to an agent."""

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
    """A workload that acts, with those who answer for it."""

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
    """Who said so; empty where nobody has."""


def lacks(agent: Agent, persons: Mapping[str, Person]) -> tuple[str, ...]:
    """What the agent still lacks to be active, in words; empty when it lacks nothing (rules 1 and 2)."""
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
    """Go on only when somebody answers for the agent.

    Raises:
        InactiveAgentError: It lacks something (law 9).
    """
    missing = lacks(agent, persons)
    if missing:
        raise InactiveAgentError(f"agent `{agent.name}` can't be active: {'; '.join(missing)}")


def require_active(agent: Agent, persons: Mapping[str, Person]) -> None:
    """Go on only when the agent is active and somebody still answers for it.

    Raises:
        InactiveAgentError: It is not active, or lacks something (law 9).
    """
    if agent.state is not AgentState.ACTIVE:
        raise InactiveAgentError(f"agent `{agent.name}` is {agent.state.value}")
    require_complete(agent, persons)


def require_approver(agent: Agent) -> None:
    """Go on only when somebody approves for the agent, or it is not active (rule 4).

    Raises:
        InactiveAgentError: Nobody would.
    """
    if agent.state is AgentState.ACTIVE and not agent.approvers:
        raise InactiveAgentError(
            f"agent `{agent.name}` is active and can't be without an approver",
            remedy="name an approver, or suspend it first with `taskbound agent suspend`",
        )


def move_agent(agent: Agent, event: AgentEvent, persons: Mapping[str, Person]) -> Agent:
    """The agent after the event.

    Raises:
        WrongStateError: The event can't happen now.
        InactiveAgentError: It is to be active and lacks something.
    """
    state = AGENT_TRANSITIONS.advance(agent.state, event)
    moved = replace(agent, state=state, version=agent.version + 1)
    if state is AgentState.ACTIVE:
        require_complete(moved, persons)
        return moved
    # Rule 3: what was acknowledged before a suspension proves nothing after it.
    return replace(moved, acknowledged=None, challenge="")


def acknowledge(agent: Agent, challenge: str, now: Instant) -> Agent:
    """The agent with its monitor acknowledged; a challenge serves once.

    Args:
        agent: The agent.
        challenge: SHA-256, hex, of the code that was typed.
        now: When.

    Raises:
        MonitorCodeError: No test event is open, or the code is another one.
    """
    if not agent.challenge or agent.challenge != challenge:
        raise MonitorCodeError(f"that is not the code that the monitor of `{agent.name}` received")
    return replace(agent, challenge="", acknowledged=now, version=agent.version + 1)


ASSERTION_LIFE: Final[Duration] = seconds(60)
"""How long what is signed with such a key lives (rule 3)."""


class UnknownAgentKeyError(DeniedError):
    """No agent has such a key, or not any more."""

    code = "unknown-agent-key"
    remedy = "make one with `taskbound agent key renew`; a new key ends the one before"


class NotAgentProcessError(DeniedError):
    """Who asks is no process of a running task of that agent."""

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
    """The agent as a client of ours is named: as in tokens, so that two namespaces never share a name."""
    return agent_name(namespace, agent)


def selector_of_key(key: AgentKey) -> Selector:
    """What a credential by this key selects."""
    return Selector(
        namespace=key.namespace, agent=key.agent, kind=WorkloadKind.KEY, issuer="", subjects=(key.kid,)
    )


_TOLD = 3


class OutsideGrantableError(DeniedError):
    """The task would be given what the person who asks for it may not grant."""

    code = "outside-grantable"
    remedy = "leave it out, or ask somebody who may grant it: see `taskbound person show`"


class NotGiverError(DeniedError):
    """Somebody says what may be granted and may not grant it themselves."""

    code = "not-giver"
    remedy = "ask somebody who may grant all of it, or the account that owns the data directory"


class BadGrantableError(MalformedError):
    """What can't be said of a person or a group."""

    code = "bad-grantable"
    remedy = "give a scope without steps, `--ceiling` or `--nothing`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """All that a person may grant."""

    person: str
    grantable: Grantable
    """The union of what is said of them and of their groups (rule 1)."""
    sources: Mapping[str, str]
    """By grant of the union: where it comes from, such as "g0 of group `payers`"."""


def parse_grantable(grantable: Grantable) -> Grantable:
    """What can be said of a person or a group.

    Raises:
        BadGrantableError: It is a scope in steps (rule 4).
    """
    if isinstance(grantable, Scope) and grantable.steps:
        raise BadGrantableError("what may be granted has no steps")
    return grantable


def reach_of(name: str, persons: Mapping[str, Person], groups: Iterable[Group]) -> Reach:
    """All that this person may grant (rules 1 and 2)."""
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
    """Go on only with a scope that this person may grant.

    Raises:
        OutsideGrantableError: They may not.
    """
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
    """Go on only when this person may say that somebody may grant this from now on (rule 3).

    Raises:
        NotGiverError: They may not grant all of it, or of what was said before.
    """
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
    """Why this person may not grant one call, in words; empty when they may."""
    match reach.grantable:
        case Breadth.CEILING:
            return ""
        case Breadth.NOTHING:
            return f"`{reach.person}` may grant nothing"
        case Scope() as grantable:
            found = cover(grantable, tool, arguments, schema)
            return f"`{reach.person}` may not grant it" if isinstance(found, Missed) else ""


def why_not(
    reach: Reach,
    agent: Agent,
    tool: str,
    arguments: Mapping[str, JsonValue],
    schema: Mapping[str, JsonValue] | None,
) -> str:
    """Why a task of this agent that covers one call could not be had from this person; empty if it could."""
    if isinstance(cover(agent.ceiling, tool, arguments, schema), Missed):
        return f"the ceiling of agent `{agent.name}` does not cover it, so nobody may grant it"
    return misses(reach, tool, arguments, schema)


def uncovered_words(answer: NotCovers, sources: Mapping[str, str], who: str) -> str:
    """What is not covered, in a person's words, the first three told in full.

    Args:
        answer: What the comparison found.
        sources: Where the wider grants come from, by id; what has no source is called by its id.
        who: Who says no, such as "the ceiling names".
    """
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
    """The grant under another id, and its limits under their keys."""
    old = len(grant.id)
    return replace(
        grant,
        id=name,
        totals=tuple(replace(one, key=name + one.key[old:]) for one in grant.totals),
        rates=tuple(replace(one, key=name + one.key[old:]) for one in grant.rates),
    )
