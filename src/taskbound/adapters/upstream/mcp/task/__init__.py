"""MCP tasks: calls that a server answers with a task are awaited and answered once."""

from __future__ import annotations

from taskbound.adapters.upstream.mcp.task.following import Tasks, Wanted
from taskbound.adapters.upstream.mcp.task.waiting import Bounds

__all__ = ["Bounds", "Tasks", "Wanted"]
