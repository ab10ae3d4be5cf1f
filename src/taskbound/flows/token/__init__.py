"""Tokens, step by step."""

from __future__ import annotations

from taskbound.flows.token.claims import sweep_claims, use_claim, use_claims

__all__ = ["sweep_claims", "use_claim", "use_claims"]
