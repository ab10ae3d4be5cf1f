"""Why a client gets nothing of a call that it came back for."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError


class UnknownErrandError(MalformedError):
    """No MCP task of this name is there for this client: it never was, is another's, or is over."""

    code = "unknown-mcp-task"
    remedy = "make the call again, if it is still needed"


class EndedErrandError(MalformedError):
    """What has ended can't be cancelled."""

    code = "mcp-task-has-ended"
    remedy = "ask for its result"


class UncoveredErrandError(DeniedError):
    """The scope of the task does not cover the call any more, so that nothing of it is given out."""

    code = "mcp-task-uncovered"
    remedy = "do something else, or ask the person who opened the task"


class NoRoomError(UnavailableError):
    """So much is kept for this client already that another result is not."""

    code = "no-room-for-result"
    remedy = "ask for the results that are there, and make fewer calls at a time"
