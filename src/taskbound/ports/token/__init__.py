"""Tokens in the store, and what was used once."""

from __future__ import annotations

from taskbound.ports.token.claim import ClaimWrites

__all__ = ["ClaimWrites"]
