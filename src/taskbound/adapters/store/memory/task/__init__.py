"""Tasks, their amendments, and notes of those that nobody claimed, in memory."""

from __future__ import annotations

from taskbound.adapters.store.memory.task.amendment import MemoryAmendments
from taskbound.adapters.store.memory.task.tasks import MemoryTasks
from taskbound.adapters.store.memory.task.unclaimed import MemoryUnclaimed

__all__ = ["MemoryAmendments", "MemoryTasks", "MemoryUnclaimed"]
