"""The HTTP front's own refusals and their status codes (MCP 2026-07-28, Streamable HTTP)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.errors import DeniedError, MalformedError
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.gateway.errors import code_of
from taskbound.surfaces.http.errors import STATUSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.errors import TaskboundError


OVER: Final = frozenset({"task-ended", "task-expired", "no-task"})
"""Codes of the daemon that say that a task is over."""


class NoTokenError(DeniedError):
    """The request has no token."""

    code = "token-missing"
    remedy = (
        "send `Authorization: DPoP TOKEN` with a `DPoP` proof, or `Bearer TOKEN`; `resource_metadata` of the"
        " answer's `WWW-Authenticate` says who gives tokens"
    )

    def __init__(self, message: str, *, agent: str) -> None:
        """Keeps the agent whose gateway was requested."""
        super().__init__(message)
        self.agent = agent


class TokenFormError(MalformedError):
    """The `Authorization` header holds no valid token."""

    code = "token-form"
    remedy = "send `Authorization: DPoP TOKEN` or `Bearer TOKEN` once, and `DPoP` with the first alone"


class NoAgentNamedError(DeniedError):
    """The path names no agent; each agent has a gateway of its own."""

    code = "no-agent-named"
    remedy = "ask `/mcp/AGENT`: tokens are of one agent's gateway each"


class HeaderMismatchError(MalformedError):
    """A header contradicts the body, or a required header is missing."""

    code = "header-mismatch"
    remedy = "send `MCP-Protocol-Version`, `Mcp-Method`, `Mcp-Name` and `Mcp-Param-…` as the body has them"


class NoSessionError(MalformedError):
    """A request of a revision with sessions names none."""

    code = "no-session"
    remedy = "send `initialize`, then the `Mcp-Session-Id` that it gave with each request"


class UnknownSessionError(DeniedError):
    """The session has ended or does not belong to this task."""

    code = "unknown-session"
    remedy = "send `initialize` again"


_UNPROVEN: Final = 401
_STATUS: Final[Mapping[str, int]] = {
    **STATUSES,
    "token-missing": 401,
    **dict.fromkeys(OVER, 401),
    "other-token-kind": 403,
    "no-agent-named": 404,
    "unknown-session": 404,
    "unknown-method": 404,
    "too-many-requests": 429,
}
RPC_STATUS: Final[Mapping[int, int]] = {-32601: 404, -32020: 400, -32021: 400, -32022: 400}
"""The status of an answer of MCP 2026-07-28 that is this error; every other one has 200."""


def status_of(error: TaskboundError) -> int:
    """Returns the HTTP status of a refusal: 503 if the front can't serve now, else a client error."""
    found = _STATUS.get(code_of(error))
    if found is not None:
        return found
    if isinstance(error, RefusedByDaemonError) and error.fault.family == "unproven":
        return _UNPROVEN
    return 400 if isinstance(error, MalformedError) else 503
