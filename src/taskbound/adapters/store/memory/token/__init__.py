"""Tokens, and what was used once, in memory."""

from __future__ import annotations

from taskbound.adapters.store.memory.token.claim import MemoryClaims

__all__ = ["MemoryClaims"]
