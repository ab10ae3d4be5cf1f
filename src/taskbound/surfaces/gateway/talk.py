"""What one legacy client has asked to hear of, for as long as it is there."""

from __future__ import annotations

from taskbound.core.dataclass import dataclass


@dataclass(slots=True, kw_only=True, eq=False)
class Talk:
    """One client: that of a pipe, or one session of those of a task."""

    begun: bool = False
    """Whether it said that it is initialized, and may be told of what it did not ask for."""
    tasks: bool = False
    """Whether it was told that its calls can be what MCP calls tasks (2025-11-25)."""
    level: str = ""
    """From which level on it hears what servers log; empty until it says so."""
