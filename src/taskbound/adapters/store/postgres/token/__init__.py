"""Tokens, clients, and what was used once, in rows that several daemons write."""

from __future__ import annotations

from taskbound.adapters.store.postgres.token.authorization import PostgresAuthorizations
from taskbound.adapters.store.postgres.token.claim import PostgresClaims
from taskbound.adapters.store.postgres.token.shared import PostgresSharedClaims
from taskbound.adapters.store.postgres.token.tokens import PostgresTokens

__all__ = ["PostgresAuthorizations", "PostgresClaims", "PostgresSharedClaims", "PostgresTokens"]
