"""Channels to agents' monitors."""

from __future__ import annotations

from typing import Protocol

from taskbound.core.errors import MalformedError, UnavailableError


class BadMonitorError(MalformedError):
    """The address names no supported monitor."""

    code = "bad-monitor"
    remedy = "use `file:/absolute/path` or `exec:/absolute/path/of/a/program`"


class MonitorUnreachableError(UnavailableError):
    """The monitor did not take the message."""

    code = "monitor-unreachable"
    remedy = "mend the monitor, or register the agent with another"


class Monitor(Protocol):
    """MUST return only once the receiver synced it (or exit status 0), within 10 seconds; else retried."""

    def parse(self, address: str) -> str:
        """Returns the normalized address; raises BadMonitorError."""

    def deliver(self, address: str, message: bytes) -> None:
        """Delivers a JSON document without line end; raises MonitorUnreachableError."""
