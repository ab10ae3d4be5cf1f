"""Why a line of a pipe is not one message of MCP."""

from __future__ import annotations

from taskbound.core.errors import MalformedError


class BareReturnError(MalformedError):
    """A carriage return stands inside a line, where other readers end it."""

    code = "bare-return"
    remedy = "end each message with one line feed, and write no raw carriage return before it"


class HalfMessageError(MalformedError):
    """The stream ended inside a message."""

    code = "half-message"
    remedy = "end each message with a line feed before closing the stream"


class LineSeparatorError(MalformedError):
    """A text holds a character at which some readers end a line: what follows could be read as a message."""

    code = "line-separator"
    remedy = "leave out U+0085, U+2028 and U+2029"


class BatchError(MalformedError):
    """An array of messages, which one decision can't be made for."""

    code = "batch"
    remedy = "send each message on a line of its own"


class NotAMessageError(MalformedError):
    """A JSON document that is no request, notification or response."""

    code = "not-a-message"
    remedy = "send JSON-RPC 2.0 requests and notifications"


class BadProtocolError(MalformedError):
    """The member `jsonrpc` is missing or is not the text `2.0`."""

    code = "bad-jsonrpc"
    remedy = 'send `"jsonrpc":"2.0"`'


class BadIdError(MalformedError):
    """An id that is no text and no whole number, so that others may read a notification or another id."""

    code = "bad-id"
    remedy = "use a text of at most 200 characters, or a whole number within 2^53 - 1 either way"


class UnknownMemberError(MalformedError):
    """A member stands beside those that a message has."""

    code = "unknown-member"
    remedy = "leave it out: it would not be part of what is decided"


class BadParamsError(MalformedError):
    """The parameters are not what the method takes."""

    code = "bad-params"
    remedy = "see the method in the MCP specification"


class BadMcpTaskError(MalformedError):
    """What is said of a task of MCP, which is not what Taskbound calls one, is not what MCP says."""

    code = "bad-mcp-task"
    remedy = "see Tasks in the MCP specification; where a server wrote it, have the server fixed"
