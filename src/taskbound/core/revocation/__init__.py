"""The end of authority: the kill switch, and what of the log ends anything (`feed`)."""

from __future__ import annotations

from taskbound.core.revocation.switch import KillSwitch, StoppedError, require_not_stopped, throw

__all__ = ["KillSwitch", "StoppedError", "require_not_stopped", "throw"]
