"""Bundles of policies: proposed, put in force, taken back, replayed; and the engine of what is in force."""

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
