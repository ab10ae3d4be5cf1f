"""Which methods ask for an action, and which need an id: what of a line that can't be read is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action.errors import DuplicateKeyError
from taskbound.core.tool import METHOD_NAMES
from taskbound.surfaces.gateway.catalog import LISTS
from taskbound.wire.mcp.errors import UnknownMemberError

if TYPE_CHECKING:
    from taskbound.core.errors import TaskboundError
    from taskbound.wire.mcp.salvage import Salvage


CALL: Final = "tools/call"
ACTIONS: Final = frozenset({CALL, *METHOD_NAMES})
"""Requests that are to be actions."""
ERRANDS: Final = ("tasks/cancel", "tasks/get", "tasks/list", "tasks/result", "tasks/update")
"""Requests about calls that their clients come back for."""
_AMBIGUOUS: Final = frozenset({DuplicateKeyError.code, UnknownMemberError.code})
"""Refusals of lines in which one reader finds one method and another one another."""
_WITH_ID: Final = frozenset(
    {
        "initialize",
        "logging/setLevel",
        "ping",
        "resources/unsubscribe",
        "server/discover",
        *ERRANDS,
        "subscriptions/listen",
        "tools/list",
        *ACTIONS,
        *LISTS,
    }
)


def needs_id(method: str) -> bool:
    """Whether a message of this method without an id is no notification, but a request that lost it."""
    return method in _WITH_ID


def may_ask(error: TaskboundError, known: Salvage) -> bool:
    """Whether a refused line asked for an action, or is one that another reader could take so."""
    return known.method is None or known.method in ACTIONS or error.code in _AMBIGUOUS
