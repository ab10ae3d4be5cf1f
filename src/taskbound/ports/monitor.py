"""The channel by which news reaches whoever watches over an agent."""

from __future__ import annotations

from typing import Protocol

from taskbound.core.errors import MalformedError, UnavailableError


class BadMonitorError(MalformedError):
    """The address names no monitor that can be delivered to."""

    code = "bad-monitor"
    remedy = "use `file:/absolute/path` or `exec:/absolute/path/of/a/program`"


class MonitorUnreachableError(UnavailableError):
    """The monitor did not take the message."""

    code = "monitor-unreachable"
    remedy = "mend the monitor, or register the agent with another"


class Monitor(Protocol):
    """Delivers messages to the address that an agent names.

    MUST answer only once the message is durable with the receiver (written and
    synced, or a program's exit status 0), and within 10 seconds; any other end
    is taken as undelivered and tried again. Addresses that can't be understood
    MUST raise `BadMonitorError` in `parse`.
    """

    def parse(self, address: str) -> str:
        """The address in its one normal form.

        Raises:
            BadMonitorError: It names no monitor.
        """

    def deliver(self, address: str, message: bytes) -> None:
        """Bring one message, a JSON document without a line end.

        Raises:
            MonitorUnreachableError: It could not be brought.
        """
