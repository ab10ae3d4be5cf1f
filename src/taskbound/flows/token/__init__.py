"""Tokens, step by step."""

from __future__ import annotations

from taskbound.flows.token.claims import sweep_claims, use_claim, use_claims
from taskbound.flows.token.clients import add_client, drop_client

__all__ = ["add_client", "drop_client", "sweep_claims", "use_claim", "use_claims"]
