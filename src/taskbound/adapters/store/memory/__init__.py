"""The store in memory: all of a store's duties but one, to outlive the process."""

from __future__ import annotations

from taskbound.adapters.store.memory.store import MemoryStore

__all__ = ["MemoryStore"]
