"""Who acts and who answers for it: persons, agents, and what proves them.

1. An agent is active only with an owner, an approver, and a monitor that has
   acknowledged a test event (law 9); what it lacks is named.
2. Owner and approvers must be persons of the organisation, today.
3. A local account read from a socket (`peer-uid`) is recorded, shown and called
   unproven: every program of that account can claim it.
4. A suspended agent acts no more; activating it again asks for everything anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.transition import Transitions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.scope import Scope

__all__ = [
    "AGENT_TRANSITIONS",
    "Agent",
    "AgentEvent",
    "AgentState",
    "BadNameError",
    "InactiveAgentError",
    "MonitorCodeError",
    "PeerProof",
    "Person",
    "PersonState",
    "UnknownIdentityError",
    "UnprovenError",
    "acknowledge",
    "lacks",
    "move_agent",
    "parse_name",
    "require_active",
    "require_complete",
]

_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_NAME_LIMIT: Final = 64


class BadNameError(MalformedError):
    """A name that could be mistaken for another or can't be shown."""

    code = "bad-name"
    remedy = "use 1 to 64 of a-z, 0-9 and `-`, starting with a letter or digit"


class UnknownIdentityError(DeniedError):
    """Nobody of this name is known in the namespace."""

    code = "unknown-identity"
    remedy = "list them with `taskbound agent list` or `taskbound person list`"


class UnprovenError(DeniedError):
    """The caller is not who they would have to be."""

    code = "unproven"


class InactiveAgentError(DeniedError):
    """The agent is registered or suspended, or lacks somebody who answers for it."""

    code = "inactive-agent"
    remedy = "see what it lacks with `taskbound agent show`"


class MonitorCodeError(DeniedError):
    """The code that was typed is not the one that the monitor received."""

    code = "wrong-monitor-code"
    remedy = "have a new one delivered with `taskbound agent activate`"


class PersonState(Enum):
    """A person is of the organisation, or was."""

    PRESENT = "present"
    GONE = "gone"


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
class PeerProof:
    """What the kernel says of the other end of a socket: an account and a process, no more (rule 3)."""

    uid: int
    pid: int
    started: int
    """The process's start time in clock ticks since boot; with the pid it names one process."""

    @property
    def words(self) -> str:
        """How records and screens call it."""
        return f"peer-uid:{self.uid} (unproven)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A human of the organisation, known by a local account until there is better."""

    namespace: str
    name: str
    uid: int
    state: PersonState = PersonState.PRESENT
    version: int = 1


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


def parse_name(text: str, *, what: str) -> str:
    """A name that can stand in keys, records and on screens.

    Raises:
        BadNameError: Empty, too long, or with a character outside a-z, 0-9 and `-`.
    """
    if not 1 <= len(text) <= _NAME_LIMIT or not _LETTERS.issuperset(text) or text[0] == "-":
        raise BadNameError(f"`{text[:_NAME_LIMIT]}` can't be the name of {what}", where=what)
    return text


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
    # Rule 4: what was acknowledged before a suspension proves nothing after it.
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
