"""Why a tool can't be called at all."""

from __future__ import annotations

from taskbound.core.errors import DeniedError

__all__ = ["ToolChangedError", "UnknownToolError"]


class UnknownToolError(DeniedError):
    """No tool of this name is pinned for this agent."""

    code = "unknown-tool"
    remedy = "use a tool that tools/list names"


class ToolChangedError(DeniedError):
    """The server shows another definition of the tool than the one that was pinned."""

    code = "tool-changed"
    remedy = "ask the person to look at `taskbound tool diff` and to accept it or not"
