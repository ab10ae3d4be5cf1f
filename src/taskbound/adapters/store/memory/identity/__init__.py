"""Who acts, in memory."""

from __future__ import annotations

from taskbound.adapters.store.memory.identity.identities import MemoryIdentities

__all__ = ["MemoryIdentities"]
