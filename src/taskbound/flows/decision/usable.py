"""Whether a tool can be called at all, and the answer where there is no action to decide.

A tool that acts, and each kind of credential, has an owner who has not left (law 9). An undeclared effect
counts as the worst.
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
    """Returns the tool if this agent may call it; `mints` says whether it is a credential kind."""
    if tool is None or tool.server.is_target is not mints:
        raise UnknownToolError(f"no tool `{name}` is pinned for agent `{agent}`")
    if tool.server.agents and agent not in tool.server.agents:
        raise UnknownToolError(f"no tool `{name}` is pinned for agent `{agent}`")
    pinned = tool.pinned
    if pinned.state not in _USABLE:
        raise ToolChangedError(f"tool `{name}` is not the one that was pinned ({pinned.state})")
    if not mints and effect_of(tool.definition, pinned.effect) is Effect.READ:
        return tool
    owner = persons.get(pinned.owner)
    if owner is None or owner.state is not PersonState.PRESENT:
        who = f"`{pinned.owner}` owns it and has left" if pinned.owner else "it has no owner"
        raise ToolWithoutOwnerError(f"tool `{pinned.name}` acts, and has no owner: {who}")
    return tool


def require_told(pinned: PinnedTool, *, unwatched: bool | None) -> None:
    """Requires a caller that reports outcomes if and only if the tool does; None means as declared."""
    if unwatched is None or unwatched is pinned.unwatched:
        return
    if unwatched:
        raise OutcomeWatchedError(
            f"what comes of `{pinned.name}` must be reported, and this caller would not"
        )
    raise OutcomeUnwatchedError(f"what comes of `{pinned.name}` is not reported, as the tool declares")


class UndecidedError(UnavailableError):
    """An unexpected error prevented the decision; nothing was allowed."""

    code = "undecided"
    remedy = "look at the daemon's log, and report it"


class ContendedError(UnavailableError):
    """What the decision rests on kept changing."""

    code = "contended"
    remedy = "try again"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDecided:
    """No action was decided: the bytes are invalid, or nothing could be recorded."""

    refusal: Refuse
    recorded: bool = False
    """Whether there is a record of it."""
