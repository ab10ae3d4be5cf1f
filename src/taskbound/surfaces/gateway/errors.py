"""What the gateway itself refuses, and how each error reaches an MCP client.

1. A message that can't be read or is none the gateway takes is answered with a JSON-RPC
   error; a call that was understood and refused is a tool result with `isError`, because
   that is what a model sees and can act on (MCP, Tools, Error Handling).
2. Codes of JSON-RPC and MCP keep their meanings; no code of ours stands in a reserved range
   (MCP 2026-07-28, Error Codes). Which error it was stands in `error.data`.
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
    """A request's id is that of another one that is still open."""

    code = "id-reused"
    remedy = "give each request an id of its own"


class UnknownMethodError(MalformedError):
    """The gateway offers no such method."""

    code = "unknown-method"
    remedy = (
        "use a method of tools, resources, prompts, completion or tasks, initialize, server/discover or ping"
    )


class UnsupportedVersionError(MalformedError):
    """The request is of a revision of MCP that is not spoken here."""

    code = "unsupported-version"
    remedy = "use one of the revisions in `supported`"

    def __init__(self, message: str, *, requested: str) -> None:
        """Keep what was asked for."""
        super().__init__(message)
        self.requested = requested


class MissingCapabilityError(MalformedError):
    """The request needs a capability that its client has not declared with it."""

    code = "missing-capability"
    remedy = "declare `requiredCapabilities` with the request, if the client has them"

    def __init__(self, message: str, *, required: dict[str, JsonValue]) -> None:
        """Keep what has to be declared."""
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
    """So many calls of this connection are open that another one is not taken."""

    code = "busy"
    remedy = "wait for one of the open calls to be answered, then try again"


class UnbridgeableError(DeniedError):
    """The tool's answers can't be told to a client of this revision of MCP."""

    code = "unbridgeable"
    remedy = "use a client that speaks MCP 2026-07-28"


class LapsedError(UnavailableError):
    """The permit ran out before the call could be sent."""

    code = "permit-lapsed"
    remedy = "try again"


class BadRepinError(UnavailableError):
    """The server was pinned anew between its start and the call."""

    code = "server-repinned"
    remedy = "try again: it is started anew as it is pinned now"


class UnstableToolsError(UnavailableError):
    """The server says that its tools change faster than they can be looked at."""

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
    """The stable word of an error: the daemon's own when it is the daemon's."""
    return error.fault.code if isinstance(error, RefusedByDaemonError) else error.code


def rpc_code(error: TaskboundError) -> int:
    """The JSON-RPC code of an error that is answered as one."""
    found = RPC_CODES.get(code_of(error))
    if found is not None:
        return found
    return FAMILIES[error.family].rpc_code


def data_of(error: TaskboundError) -> bytes:
    """What `error.data` says beside the message: which error it was, and what to do."""
    data: dict[str, JsonValue] = {"code": code_of(error)}
    if error.advice:
        data["advice"] = error.advice
    if isinstance(error, UnsupportedVersionError):
        data |= {"requested": error.requested, "supported": list(SUPPORTED)}
    if isinstance(error, MissingCapabilityError):
        data["requiredCapabilities"] = error.required
    return canonical(data)
