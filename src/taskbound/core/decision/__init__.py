"""The answer for one action: evaluated from what was read, settled from what is locked."""

from __future__ import annotations

from taskbound.core.decision.quota import Allowance, Dropped, Quota, TooManyRefusalsError
from taskbound.core.decision.settle import ActHistory, Locked, Settled, Settlement, presentation_names, settle
from taskbound.core.decision.values import (
    Basis,
    Decision,
    Evaluated,
    Hold,
    Permit,
    Presented,
    Proposal,
    Reason,
    Refuse,
    Repeated,
    Stale,
    Verdict,
    refusal,
)

__all__ = [
    "ActHistory",
    "Allowance",
    "Basis",
    "Decision",
    "Dropped",
    "Evaluated",
    "Hold",
    "Locked",
    "Permit",
    "Presented",
    "Proposal",
    "Quota",
    "Reason",
    "Refuse",
    "Repeated",
    "Settled",
    "Settlement",
    "Stale",
    "TooManyRefusalsError",
    "Verdict",
    "presentation_names",
    "refusal",
    "settle",
]
