"""Questions about held actions, their answers, and what became of them, in the store; and what they name."""

from __future__ import annotations

from taskbound.ports.approval.operands import FarOperands, Operands
from taskbound.ports.approval.store import ApprovalReads, ApprovalWrites
from taskbound.ports.approval.values import ApprovalChange, PlanChange, StoredApproval, StoredPlan, Waiter

__all__ = [
    "ApprovalChange",
    "ApprovalReads",
    "ApprovalWrites",
    "FarOperands",
    "Operands",
    "PlanChange",
    "StoredApproval",
    "StoredPlan",
    "Waiter",
]
