"""Tokens, clients and claims in SQL."""

from __future__ import annotations

from taskbound.adapters.store.sql.token.authorization import SqlAuthorizations
from taskbound.adapters.store.sql.token.tokens import SqlClaims, SqlSharedClaims, SqlTokens

__all__ = ["SqlAuthorizations", "SqlClaims", "SqlSharedClaims", "SqlTokens"]
