"""The gateway's own refusals, and how each error reaches an MCP client.

An unreadable or unsupported message gets a JSON-RPC error; a refused valid call gets a tool result with
`isError`, which a model can act on (MCP, Tools, Error Handling). Taskbound uses no code in a reserved range
(MCP 2026-07-28, Error Codes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.errors import FAMILIES, DeniedError, MalformedError, UnavailableError
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire.mcp.message import SUPPORTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.errors import TaskboundError


PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
UNSUPPORTED_VERSION: Final = -32022
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021


class IdReusedError(MalformedError):
    """The request's id belongs to another open request."""

    code = "id-reused"
    remedy = "give each request an id of its own"


class UnknownMethodError(MalformedError):
    """The gateway does not offer this method."""

    code = "unknown-method"
    remedy = (
        "use a method of tools, resources, prompts, completion or tasks, initialize, server/discover or ping"
    )


class UnsupportedVersionError(MalformedError):
    """The request uses an unsupported revision of MCP."""

    code = "unsupported-version"
    remedy = "use one of the revisions in `supported`"

    def __init__(self, message: str, *, requested: str) -> None:
        super().__init__(message)
        self.requested = requested


class MissingCapabilityError(MalformedError):
    """The request needs a capability that its client did not declare with it."""

    code = "missing-capability"
    remedy = "declare `requiredCapabilities` with the request, if the client has them"

    def __init__(self, message: str, *, required: dict[str, JsonValue]) -> None:
        super().__init__(message)
        self.required = required


class NotInitializedError(MalformedError):
    """A legacy client sent a request before `initialize`."""

    code = "not-initialized"
    remedy = "send `initialize` first, or the modern `_meta` with each request"


class AlreadyInitializedError(MalformedError):
    """A legacy client sent `initialize` twice."""

    code = "already-initialized"
    remedy = "send `initialize` once for each connection"


class BusyError(UnavailableError):
    """The limit of open calls for this connection is reached."""

    code = "busy"
    remedy = "wait for one of the open calls to be answered, then try again"


class UnbridgeableError(DeniedError):
    """The tool's results can't be expressed in the client's revision of MCP."""

    code = "unbridgeable"
    remedy = "use a client that speaks MCP 2026-07-28"


class LapsedError(UnavailableError):
    """The permit expired before the call could be sent."""

    code = "permit-lapsed"
    remedy = "try again"


class BadRepinError(UnavailableError):
    """The server was pinned again between its start and the call."""

    code = "server-repinned"
    remedy = "try again: it is started anew as it is pinned now"


class UnstableToolsError(UnavailableError):
    """The server's tools change faster than the daemon can check them."""

    code = "tools-unstable"
    remedy = "ask the person who pinned the server to look at it"


def _codes(code: int, words: str) -> dict[str, int]:
    return dict.fromkeys(words.split(), code)


RPC_CODES: Final[Mapping[str, int]] = {
    **_codes(
        PARSE_ERROR,
        "bad-frame byte-order-mark bare-return duplicate-key empty-document half-message lone-surrogate"
        " malformed not-finite not-json not-utf8 number-range too-deep too-large too-many-parts trailing-data"
        " unwritable",
    ),
    **_codes(
        INVALID_REQUEST,
        "already-initialized bad-http bad-id bad-jsonrpc batch content-type foreign-host"
        " foreign-origin front-full head-too-large http-method id-reused no-agent-named no-length"
        " no-session not-a-message not-acceptable not-an-object not-initialized slow-client"
        " token-form token-missing unknown-member unknown-path unknown-session",
    ),
    **_codes(HEADER_MISMATCH, "header-mismatch"),
    **_codes(METHOD_NOT_FOUND, "unknown-method"),
    **_codes(MISSING_CAPABILITY, "missing-capability"),
    **_codes(UNSUPPORTED_VERSION, "unsupported-version"),
    **_codes(
        INVALID_PARAMS,
        "bad-answers bad-mcp-task"
        " bad-cursor bad-params bad-server-name bad-tool-name foreign-character key-reused line-separator"
        " mcp-task-has-ended not-a-tool unknown-mcp-task unknown-state",
    ),
    **_codes(INTERNAL_ERROR, "error"),
}


def code_of(error: TaskboundError) -> str:
    """Returns the stable code of an error; for the daemon's errors, the daemon's code."""
    return error.fault.code if isinstance(error, RefusedByDaemonError) else error.code


def rpc_code(error: TaskboundError) -> int:
    found = RPC_CODES.get(code_of(error))
    if found is not None:
        return found
    return FAMILIES[error.family].rpc_code


def data_of(error: TaskboundError) -> bytes:
    data: dict[str, JsonValue] = {"code": code_of(error)}
    if error.advice:
        data["advice"] = error.advice
    if isinstance(error, UnsupportedVersionError):
        data |= {"requested": error.requested, "supported": list(SUPPORTED)}
    if isinstance(error, MissingCapabilityError):
        data["requiredCapabilities"] = error.required
    return canonical(data)


class UnknownErrandError(MalformedError):
    """This client has no MCP task of this name: it never existed, is another client's, or is over."""

    code = "unknown-mcp-task"
    remedy = "make the call again, if it is still needed"


class EndedErrandError(MalformedError):
    """An MCP task that has ended can't be cancelled."""

    code = "mcp-task-has-ended"
    remedy = "ask for its result"


class UncoveredErrandError(DeniedError):
    """The task's scope no longer covers the call, so nothing of it is given out."""

    code = "mcp-task-uncovered"
    remedy = "do something else, or ask the person who opened the task"


class NoRoomError(UnavailableError):
    """The storage bound of this client is reached, so this result is not kept."""

    code = "no-room-for-result"
    remedy = "ask for the results that are there, and make fewer calls at a time"
