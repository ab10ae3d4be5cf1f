"""Cedar as the policy engine."""

from __future__ import annotations

from taskbound.adapters.policy.cedar.apart import ApartLanguage
from taskbound.adapters.policy.cedar.engine import CedarPolicyEngine, base_bundle, rights
from taskbound.adapters.policy.cedar.language import CedarLanguage

__all__ = ["ApartLanguage", "CedarLanguage", "CedarPolicyEngine", "base_bundle", "rights"]
