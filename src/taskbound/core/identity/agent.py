"""Agents, and who answers for them.

1. An agent is active only with an owner, an approver, and a monitor that has
   acknowledged a test event (law 9); what it lacks is named.
2. Owner and approvers must be persons of the organisation, today.
3. A suspended agent acts no more; activating it again asks for everything anew.
4. An active one is never left without an approver: it is suspended first, and that is told.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.identity.errors import InactiveAgentError, MonitorCodeError
from taskbound.core.identity.person import PersonState
from taskbound.core.identity.risk import Risk
from taskbound.core.transition import Transitions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.identity.person import Person
    from taskbound.core.scope import Scope


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
