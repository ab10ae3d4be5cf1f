"""What the HTTP front itself refuses, and the status that each refusal has.

What is refused before a request means anything is `surfaces.http`'s. What the gateway refuses as on a pipe
has its own errors beside this folder; what of it needs a status of its own over HTTP stands here too (MCP
2026-07-28, Streamable HTTP).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.errors import DeniedError, MalformedError
from taskbound.surfaces.gateway.errors import code_of
from taskbound.surfaces.http.errors import STATUSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.errors import TaskboundError

__all__ = [
    "OVER",
    "RPC_STATUS",
    "BearerFormError",
    "HeaderMismatchError",
    "NoBearerError",
    "NoSessionError",
    "NotLoopbackError",
    "OtherAgentError",
    "UnknownSessionError",
    "status_of",
]

OVER: Final = frozenset({"bad-bearer", "task-ended", "task-expired", "no-task"})
"""Codes of the daemon that say that a bearer opens nothing any more."""


class NotLoopbackError(DeniedError):
    """The address to listen on is none of this machine's own loopback."""

    code = "not-loopback"
    remedy = "listen on 127.0.0.1:PORT or [::1]:PORT; a bearer is no proof for other machines"


class NoBearerError(DeniedError):
    """The request has no bearer."""

    code = "no-bearer"
    remedy = "send `Authorization: Bearer …` with what `taskbound task bearer TASK` has shown"


class BearerFormError(MalformedError):
    """What stands as authorization is no bearer."""

    code = "bearer-form"
    remedy = "send `Authorization: Bearer …` once"


class OtherAgentError(DeniedError):
    """The bearer's task is of another agent than the path names."""

    code = "other-agent"
    remedy = "use `/mcp`, or the path of the task's own agent"


class HeaderMismatchError(MalformedError):
    """A header says something else than the body, or what the body needs beside it is missing."""

    code = "header-mismatch"
    remedy = "send `MCP-Protocol-Version`, `Mcp-Method`, `Mcp-Name` and `Mcp-Param-…` as the body has them"


class NoSessionError(MalformedError):
    """A request of a revision with sessions has none."""

    code = "no-session"
    remedy = "send `initialize`, then the `Mcp-Session-Id` that it gave with each request"


class UnknownSessionError(DeniedError):
    """The session is over, or was never this bearer's."""

    code = "unknown-session"
    remedy = "send `initialize` again"


_STATUS: Final[Mapping[str, int]] = {
    **STATUSES,
    "no-bearer": 401,
    **dict.fromkeys(OVER, 401),
    "other-agent": 404,
    "unknown-session": 404,
    "unknown-method": 404,
}
RPC_STATUS: Final[Mapping[int, int]] = {-32601: 404, -32020: 400, -32021: 400, -32022: 400}
"""The status of an answer of MCP 2026-07-28 that is this error; every other one has 200."""


def status_of(error: TaskboundError) -> int:
    """The HTTP status of a refusal: 503 for who can't be served now; any other fault is the client's."""
    found = _STATUS.get(code_of(error))
    if found is not None:
        return found
    return 400 if isinstance(error, MalformedError) else 503
