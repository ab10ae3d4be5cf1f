"""Tokens, and what was used once, in rows that several daemons write."""

from __future__ import annotations

from taskbound.adapters.store.postgres.token.claim import PostgresClaims

__all__ = ["PostgresClaims"]
