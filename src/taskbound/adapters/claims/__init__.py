"""What a service did with transaction tokens, stored so that it survives the service."""

from __future__ import annotations

from taskbound.adapters.claims.shared import Seal, SharedClaims
from taskbound.adapters.claims.sqlite import SqliteClaims

__all__ = ["Seal", "SharedClaims", "SqliteClaims"]
