"""What the HTTP front itself refuses, and the status that each refusal has.

What the gateway refuses as on a pipe has its own errors beside this folder; what of it needs a status of
its own over HTTP stands here too (MCP 2026-07-28, Streamable HTTP).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError
from taskbound.surfaces.gateway.errors import code_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.errors import TaskboundError

__all__ = [
    "OVER",
    "RPC_STATUS",
    "BadHttpError",
    "BearerFormError",
    "ContentTypeError",
    "ForeignHostError",
    "ForeignOriginError",
    "FrontFullError",
    "HeadTooLargeError",
    "HeaderMismatchError",
    "NoBearerError",
    "NoLengthError",
    "NoSessionError",
    "NotAcceptableError",
    "NotLoopbackError",
    "OtherAgentError",
    "SlowClientError",
    "UnknownPathError",
    "UnknownSessionError",
    "VerbError",
    "status_of",
]

OVER: Final = frozenset({"bad-bearer", "task-ended", "task-expired", "no-task"})
"""Codes of the daemon that say that a bearer opens nothing any more."""


class NotLoopbackError(DeniedError):
    """The address to listen on is none of this machine's own loopback."""

    code = "not-loopback"
    remedy = "listen on 127.0.0.1:PORT or [::1]:PORT; a bearer is no proof for other machines"


class BadHttpError(MalformedError):
    """The request is no strict HTTP/1.1, or could be read in two ways."""

    code = "bad-http"
    remedy = "send one HTTP/1.1 request at a time, each header once"


class NoLengthError(MalformedError):
    """The request does not say how long its body is."""

    code = "no-length"
    remedy = "send `Content-Length` and no `Transfer-Encoding`"


class HeadTooLargeError(MalformedError):
    """The headers of the request are longer, or more, than is read."""

    code = "head-too-large"
    remedy = "send fewer or shorter headers"


class SlowClientError(UnavailableError):
    """The request did not arrive in time."""

    code = "slow-client"
    remedy = "send the request at once"


class FrontFullError(UnavailableError):
    """The front serves as many as it can."""

    code = "front-full"
    remedy = "try again later, and close what is not used"


class ForeignHostError(DeniedError):
    """The request was made to a name that is not this machine's loopback: a page may stand behind it."""

    code = "foreign-host"
    remedy = "connect to 127.0.0.1, [::1] or localhost, with the port that is listened on"


class ForeignOriginError(DeniedError):
    """The request was made by a page of another origin."""

    code = "foreign-origin"
    remedy = "send no `Origin`, or that of the front itself"


class UnknownPathError(MalformedError):
    """Nothing is served at this path."""

    code = "unknown-path"
    remedy = "use `/mcp`, or `/mcp/AGENT`, and no query"


class VerbError(MalformedError):
    """The path takes no such HTTP method."""

    code = "http-method"
    remedy = "POST each message; GET hears and DELETE ends a session of MCP 2025-11-25"


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


class ContentTypeError(MalformedError):
    """The body is declared to be something else than plain JSON in UTF-8."""

    code = "content-type"
    remedy = "send `Content-Type: application/json` and no `Content-Encoding`"


class NotAcceptableError(MalformedError):
    """The client takes no form in which this can be answered."""

    code = "not-acceptable"
    remedy = "send `Accept: application/json, text/event-stream`"


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
    "no-bearer": 401,
    **dict.fromkeys(OVER, 401),
    "foreign-host": 403,
    "foreign-origin": 403,
    "other-agent": 404,
    "unknown-path": 404,
    "unknown-session": 404,
    "unknown-method": 404,
    "http-method": 405,
    "not-acceptable": 406,
    "slow-client": 408,
    "no-length": 411,
    "too-large": 413,
    "content-type": 415,
    "head-too-large": 431,
}
RPC_STATUS: Final[Mapping[int, int]] = {-32601: 404, -32020: 400, -32021: 400, -32022: 400}
"""The status of an answer of MCP 2026-07-28 that is this error; every other one has 200."""


def status_of(error: TaskboundError) -> int:
    """The HTTP status of a refusal: 503 for who can't be served now; any other fault is the client's."""
    found = _STATUS.get(code_of(error))
    if found is not None:
        return found
    return 400 if isinstance(error, MalformedError) else 503
