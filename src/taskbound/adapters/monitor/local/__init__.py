"""Local monitors: a file that gets one line a message, or a program."""

from __future__ import annotations

from taskbound.adapters.monitor.local.monitor import LocalMonitor

__all__ = ["LocalMonitor"]
