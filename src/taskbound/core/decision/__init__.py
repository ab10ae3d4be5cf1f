"""The answer for one action: evaluated from what was read, settled from what is locked."""

from __future__ import annotations

from taskbound.core.decision.act import CHANGES, ActHistory, AttemptGround, changed_since
from taskbound.core.decision.hold import (
    PAUSES,
    HoldOverError,
    HoldPlaces,
    Narrowed,
    OpenHold,
    PlanPlace,
    Waiting,
)
from taskbound.core.decision.locked import Locked, Settled, Settlement
from taskbound.core.decision.paying import require_payable
from taskbound.core.decision.quota import Allowance, Dropped, Quota, TooManyRefusalsError
from taskbound.core.decision.settle import presentation_names, settle
from taskbound.core.decision.values import (
    Basis,
    Decision,
    Evaluated,
    Hold,
    Holding,
    Narrows,
    Permit,
    Planned,
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
    "CHANGES",
    "PAUSES",
    "ActHistory",
    "Allowance",
    "AttemptGround",
    "Basis",
    "Decision",
    "Dropped",
    "Evaluated",
    "Hold",
    "HoldOverError",
    "HoldPlaces",
    "Holding",
    "Locked",
    "Narrowed",
    "Narrows",
    "OpenHold",
    "Permit",
    "PlanPlace",
    "Planned",
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
    "Waiting",
    "changed_since",
    "presentation_names",
    "refusal",
    "require_payable",
    "settle",
]
