"""Approval requests for held actions: questions, signed answers, and single use."""

from __future__ import annotations

from taskbound.flows.approval.answers import Approvals, end_of_tasks
from taskbound.flows.approval.circle import QuestionUpdate, ground_of
from taskbound.flows.approval.fatigue import pause_asking
from taskbound.flows.approval.hold.holds import HoldBatch, look_at_holds
from taskbound.flows.approval.hold.judging import as_held

__all__ = [
    "Approvals",
    "HoldBatch",
    "QuestionUpdate",
    "as_held",
    "end_of_tasks",
    "ground_of",
    "look_at_holds",
    "pause_asking",
]
