"""How risky an agent is right now, as those who answer for it say.

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

from taskbound.core.identity.errors import BadRiskError, NotAnsweringError, OwnRiskError, SameRiskError
from taskbound.core.identity.person import PersonState, human_of, humans

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.identity.agent import Agent
    from taskbound.core.identity.person import Person


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
