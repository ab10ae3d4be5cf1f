"""Monitors on this machine: a file that grows by a line, or a program that is given each message."""

from __future__ import annotations

from taskbound.adapters.monitor.local.monitor import LocalMonitor

__all__ = ["LocalMonitor"]
