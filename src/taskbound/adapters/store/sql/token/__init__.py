"""Tokens, and what was used once, in rows."""

from __future__ import annotations

from taskbound.adapters.store.sql.token.authorization import SqlAuthorizations
from taskbound.adapters.store.sql.token.claim import SqlClaims
from taskbound.adapters.store.sql.token.shared import SqlSharedClaims
from taskbound.adapters.store.sql.token.tokens import SqlTokens

__all__ = ["SqlAuthorizations", "SqlClaims", "SqlSharedClaims", "SqlTokens"]
