"""Questions about held actions, their answers, and what became of them, in the store; and what they name."""

from __future__ import annotations

from taskbound.ports.approval.operands import FarOperands, Operands
from taskbound.ports.approval.store import (
    ApprovalChange,
    ApprovalReads,
    ApprovalWrites,
    StoredApproval,
    Waiter,
)

__all__ = [
    "ApprovalChange",
    "ApprovalReads",
    "ApprovalWrites",
    "FarOperands",
    "Operands",
    "StoredApproval",
    "Waiter",
]
