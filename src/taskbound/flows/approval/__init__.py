"""Asking people about held actions, taking what they sign, and using it once."""

from __future__ import annotations

from taskbound.flows.approval.answers import Approvals
from taskbound.flows.approval.circle import ground_of
from taskbound.flows.approval.ending import Told
from taskbound.flows.approval.fatigue.room import pause_asking
from taskbound.flows.approval.hold.holds import HoldSheet, look_at_holds
from taskbound.flows.approval.hold.named import as_held
from taskbound.flows.approval.tasks import end_of_tasks

__all__ = [
    "Approvals",
    "HoldSheet",
    "Told",
    "as_held",
    "end_of_tasks",
    "ground_of",
    "look_at_holds",
    "pause_asking",
]
