"""Whether a token's signature is its key's, computed by a library."""

from __future__ import annotations

from taskbound.adapters.jose.joserfc import JoserfcCheck

__all__ = ["JoserfcCheck"]
