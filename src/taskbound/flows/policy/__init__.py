"""Policy bundles (propose, activate, roll back, replay) and the engine in force."""

from __future__ import annotations

from taskbound.flows.policy.engines import Policies, Replay, replay
from taskbound.flows.policy.life import Bundles, Examined, Refused, examine, examine_kept

__all__ = [
    "Bundles",
    "Examined",
    "Policies",
    "Refused",
    "Replay",
    "examine",
    "examine_kept",
    "replay",
]
