"""What is refused before a request means anything, and the statuses that are not the family's (`FAMILIES`).

A surface may know better for what it answers itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    """It serves as many as it can."""

    code = "front-full"
    remedy = "try again later, and close what is not used"


class ForeignHostError(DeniedError):
    """The request was made to a name that is not this server's: a page may stand behind it."""

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
        """Keep which methods it takes, as `Allow` names them; empty where its server knows."""
        super().__init__(message)
        self.allow = allow


class ContentTypeError(MalformedError):
    """The body is declared to be something else than plain JSON in UTF-8."""

    code = "content-type"
    remedy = "send `Content-Type: application/json` and no `Content-Encoding`"


class NotAcceptableError(MalformedError):
    """The client takes no form in which this can be answered."""

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
    """One address, or one principal, asks more often than is answered."""

    code = "too-many-requests"
    remedy = "wait for as long as `Retry-After` says"
