"""The end of authority for everything at once: the kill switch.

1. While it is thrown nothing is permitted; tasks can still be paused and ended.
2. Each throw or lift raises the epoch; a decision names the epoch that it read,
   and is settled only while that epoch stands (design 4.8).
"""

from __future__ import annotations

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError


class StoppedError(DeniedError):
    """The kill switch is on: nothing is permitted in this namespace."""

    code = "stopped"
    remedy = "ask the person who threw it; `taskbound stop --lift` ends it"


@dataclass(frozen=True, slots=True, kw_only=True)
class KillSwitch:
    """Whether everything is stopped, and how often that changed."""

    stopped: bool = False
    epoch: int = 0
    reason: str = ""


def require_not_stopped(switch: KillSwitch) -> None:
    """Go on only while nothing is stopped.

    Raises:
        StoppedError: The kill switch is on (rule 1).
    """
    if switch.stopped:
        raise StoppedError(f"everything is stopped{f': {switch.reason}' if switch.reason else ''}")


def throw(switch: KillSwitch, *, stopped: bool, reason: str) -> KillSwitch:
    """The switch thrown or lifted; the same again changes nothing but the reason's record (rule 2)."""
    if switch.stopped is stopped:
        return switch
    return KillSwitch(stopped=stopped, epoch=switch.epoch + 1, reason=reason)
