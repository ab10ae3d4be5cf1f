"""Tasks in the store, and the amendments that people are asked about."""

from __future__ import annotations

from taskbound.ports.task.amendment import (
    AmendmentChange,
    AmendmentReads,
    AmendmentWrites,
    StoredAmendment,
)
from taskbound.ports.task.tasks import Run, TaskReads, TaskWrites
from taskbound.ports.task.unclaimed import UnclaimedReads, UnclaimedWrites

__all__ = [
    "AmendmentChange",
    "AmendmentReads",
    "AmendmentWrites",
    "Run",
    "StoredAmendment",
    "TaskReads",
    "TaskWrites",
    "UnclaimedReads",
    "UnclaimedWrites",
]
