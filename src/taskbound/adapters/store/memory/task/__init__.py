"""Tasks and their amendments, in memory."""

from __future__ import annotations

from taskbound.adapters.store.memory.task.amendment import MemoryAmendments
from taskbound.adapters.store.memory.task.tasks import MemoryTasks

__all__ = ["MemoryAmendments", "MemoryTasks"]
