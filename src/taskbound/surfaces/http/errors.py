"""Errors before a request has a meaning, and statuses that differ from the family's (`FAMILIES`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping


class BadHttpError(MalformedError):
    """The request is not strict HTTP/1.1, or is ambiguous."""

    code = "bad-http"
    remedy = "send one HTTP/1.1 request at a time, each header once"


class NoLengthError(MalformedError):
    """The request does not state the length of its body."""

    code = "no-length"
    remedy = "send `Content-Length` and no `Transfer-Encoding`"


class HeadTooLargeError(MalformedError):
    """The request has too many or too long headers."""

    code = "head-too-large"
    remedy = "send fewer or shorter headers"


class SlowClientError(UnavailableError):
    """The request did not arrive in time."""

    code = "slow-client"
    remedy = "send the request at once"


class FrontFullError(UnavailableError):
    """The server has reached its limit of connections."""

    code = "front-full"
    remedy = "try again later, and close what is not used"


class ForeignHostError(DeniedError):
    """The request names another host than this server's: a page may stand behind it."""

    code = "foreign-host"
    remedy = "connect to the name and port that it is served at; for a gateway 127.0.0.1, [::1] or localhost"


class ForeignOriginError(DeniedError):
    """The request was made by a page of another origin."""

    code = "foreign-origin"
    remedy = "send no `Origin`, or that of the server itself"


class UnknownPathError(MalformedError):
    """Nothing is served at this path."""

    code = "unknown-path"
    remedy = "look at `/openapi.json`; of a gateway use `/mcp`, or `/mcp/AGENT`, and no query"


class VerbError(MalformedError):
    """The path takes no such HTTP method."""

    code = "http-method"
    remedy = "use a method of `Allow`; of MCP each message is a POST"

    def __init__(self, message: str, *, allow: str = "") -> None:
        """`allow` are its methods in the form of `Allow`; empty if only the server knows."""
        super().__init__(message)
        self.allow = allow


class ContentTypeError(MalformedError):
    """The body is declared as something other than plain JSON in UTF-8."""

    code = "content-type"
    remedy = "send `Content-Type: application/json` and no `Content-Encoding`"


class NotAcceptableError(MalformedError):
    """The client accepts no form in which this can be answered."""

    code = "not-acceptable"
    remedy = "send `Accept: application/json`, and to a gateway `text/event-stream` beside it"


STATUSES: Final[Mapping[str, int]] = {
    "foreign-host": 403,
    "foreign-origin": 403,
    "unknown-path": 404,
    "http-method": 405,
    "not-acceptable": 406,
    "slow-client": 408,
    "no-length": 411,
    "too-large": 413,
    "content-type": 415,
    "head-too-large": 431,
}
"""Rule 2."""


class TooManyRequestsError(UnavailableError):
    """An address or a principal sends too many requests."""

    code = "too-many-requests"
    remedy = "wait for as long as `Retry-After` says"
