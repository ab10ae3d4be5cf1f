"""Whether a tool can be called at all, and the answer where there is no action to decide.

1. Kinds of credentials are tools of targets, and a target has no others: what a server calls so is nothing
   that is minted.
2. A tool that acts has an owner, who is a person and has not left (law 9): what only reads needs none. An
   effect that nobody said is the worst one.
3. Each kind of credential has an owner, whatever its effect: who has one goes on without being asked.
4. Of a tool whose outcome nobody tells nobody is asked by who would tell it, and the other way round: so an
   outcome that is wanted is never given up by the way in which somebody asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import UnavailableError
from taskbound.core.identity import PersonState
from taskbound.core.tool import Effect, effect_of
from taskbound.flows.decision.errors import (
    OutcomeUnwatchedError,
    OutcomeWatchedError,
    ToolChangedError,
    ToolWithoutOwnerError,
    UnknownToolError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.decision import Refuse
    from taskbound.core.identity import Person
    from taskbound.flows.decision.context import ToolView
    from taskbound.ports.tool import PinnedTool


_USABLE: Final = frozenset({"pinned", "text-changed"})


def require_usable(
    tool: ToolView | None, name: str, agent: str, persons: Mapping[str, Person], *, mints: bool
) -> ToolView:
    """The tool, which this agent can ask for.

    Args:
        tool: As it is pinned; None where it is not.
        name: As it was asked for.
        agent: Who asks.
        persons: Every person of the namespace.
        mints: Whether the name is one of a kind of credential.

    Raises:
        UnknownToolError: It is not pinned for this agent.
        ToolChangedError: Its server shows another one now.
        ToolWithoutOwnerError: Nobody answers for it, or who did has left.
    """
    if tool is None or tool.server.is_target is not mints:  # 1
        raise UnknownToolError(f"no tool `{name}` is pinned for agent `{agent}`")
    if tool.server.agents and agent not in tool.server.agents:
        raise UnknownToolError(f"no tool `{name}` is pinned for agent `{agent}`")
    pinned = tool.pinned
    if pinned.state not in _USABLE:
        raise ToolChangedError(f"tool `{name}` is not the one that was pinned ({pinned.state})")
    if not mints and effect_of(tool.definition, pinned.effect) is Effect.READ:
        return tool
    owner = persons.get(pinned.owner)
    if owner is None or owner.state is not PersonState.PRESENT:  # 2, 3
        who = f"`{pinned.owner}` owns it and has left" if pinned.owner else "nobody owns it"
        raise ToolWithoutOwnerError(f"tool `{pinned.name}` acts, and nobody answers for it: {who}")
    return tool


def require_told(pinned: PinnedTool, *, unwatched: bool | None) -> None:
    """Go on only where the outcome is told, or not, as the tool was declared (rule 4).

    Args:
        pinned: The tool.
        unwatched: Whether who asks will tell nothing; None where that is as the tool says.

    Raises:
        OutcomeWatchedError: They will not, and have to.
        OutcomeUnwatchedError: They would, and nobody waits for it.
    """
    if unwatched is None or unwatched is pinned.unwatched:
        return
    if unwatched:
        raise OutcomeWatchedError(f"what comes of `{pinned.name}` has to be told, and nobody would")
    raise OutcomeUnwatchedError(f"what comes of `{pinned.name}` is told by nobody, as it is declared")


class UndecidedError(UnavailableError):
    """Something that nobody foresaw kept this from being decided; nothing was allowed."""

    code = "undecided"
    remedy = "look at the daemon's log, and report it"


class ContendedError(UnavailableError):
    """What the decision depends on kept changing while it was made."""

    code = "contended"
    remedy = "try again"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDecided:
    """There was no action to decide: the bytes could not be read, or nothing could be recorded."""

    refusal: Refuse
    recorded: bool = False
    """Whether there is a record of it."""
