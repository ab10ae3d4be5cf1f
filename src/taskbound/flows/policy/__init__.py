"""Bundles of policies: proposed, put in force, taken back, replayed; and the engine of what is in force."""

from __future__ import annotations

from taskbound.flows.policy.engines import Policies
from taskbound.flows.policy.examine import Examined, examine, examine_kept
from taskbound.flows.policy.life import Bundles, Refused
from taskbound.flows.policy.replay import Replay, replay

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
