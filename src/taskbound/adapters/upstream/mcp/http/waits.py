"""Time limits of exchanges with a server behind a URL."""

from __future__ import annotations

from taskbound.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Seconds for each part of an exchange."""

    answer: float = 600.0
    """Until an answer begins: a server that answers with one document begins when its tool is done."""
    silence: float = 600.0
    """Between two pieces of an answer."""
    greeting: float = 5.0
    """Until calls go out although a server has not said that it took `notifications/initialized`."""
