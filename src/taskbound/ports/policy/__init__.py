"""The engine that answers for the organisation's rules, and the bundles that are kept."""

from __future__ import annotations

from taskbound.ports.policy.engine import OperationRules, PolicyEngine, PolicyLanguage
from taskbound.ports.policy.kept import BundleActivation, PolicyReader, PolicyWriter, StoredBundle

__all__ = [
    "BundleActivation",
    "OperationRules",
    "PolicyEngine",
    "PolicyLanguage",
    "PolicyReader",
    "PolicyWriter",
    "StoredBundle",
]
