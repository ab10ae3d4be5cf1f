"""Tokens, and what was used once, in rows."""

from __future__ import annotations

from taskbound.adapters.store.sql.token.claim import SqlClaims

__all__ = ["SqlClaims"]
