"""Who acts, in memory."""

from __future__ import annotations

from taskbound.adapters.store.memory.identity.account import MemoryAccounts
from taskbound.adapters.store.memory.identity.answered import MemoryAnswered
from taskbound.adapters.store.memory.identity.identities import MemoryIdentities
from taskbound.adapters.store.memory.identity.service import MemoryServices
from taskbound.adapters.store.memory.identity.trust import MemoryTrusts
from taskbound.adapters.store.memory.identity.workload import MemoryWorkloads

__all__ = [
    "MemoryAccounts",
    "MemoryAnswered",
    "MemoryIdentities",
    "MemoryServices",
    "MemoryTrusts",
    "MemoryWorkloads",
]
