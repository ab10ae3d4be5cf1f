"""Tokens, and what was used once, in memory."""

from __future__ import annotations

from taskbound.adapters.store.memory.token.authorization import MemoryAuthorizations
from taskbound.adapters.store.memory.token.claim import MemoryClaims
from taskbound.adapters.store.memory.token.shared import MemorySharedClaims
from taskbound.adapters.store.memory.token.tokens import MemoryTokens

__all__ = ["MemoryAuthorizations", "MemoryClaims", "MemorySharedClaims", "MemoryTokens"]
