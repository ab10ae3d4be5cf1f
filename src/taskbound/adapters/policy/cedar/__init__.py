"""Cedar as the engine that answers for the organisation's rules."""

from __future__ import annotations

from taskbound.adapters.policy.cedar.engine import CedarPolicyEngine, base_bundle

__all__ = ["CedarPolicyEngine", "base_bundle"]
