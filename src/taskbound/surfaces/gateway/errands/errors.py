"""Errors of polled calls."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError


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
