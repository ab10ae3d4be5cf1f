"""Credentials: where they stand, what is due, who has them in hand, and what a target calls them."""

from __future__ import annotations

from taskbound.core.credential.due import LONGEST_WAIT, OVERDUE, Step, age_of, due_of, is_overdue, step_of
from taskbound.core.credential.errors import (
    BadCredentialLifeError,
    BadMarkError,
    ForeignNameError,
    HandOutOverError,
    LeaseHeldError,
    LeaseLostError,
)
from taskbound.core.credential.lease import LEASE, MARGIN, is_leased, require_lease
from taskbound.core.credential.move import (
    acknowledge,
    begin_mint,
    begin_revocation,
    end_credential,
    fail_revocation,
    leave_credential,
    prove_gone,
    prove_still_gone,
    reappear,
    renew_credential,
    show_credential,
)
from taskbound.core.credential.name import ID_PREFIX, id_of, name_of, parse_mark, prefix_of
from taskbound.core.credential.state import LIVE, CredentialEvent, CredentialState
from taskbound.core.credential.values import (
    GRACE,
    HANDED_OUT_WITHIN,
    NEVER,
    Credential,
    Lease,
    end_in_target,
    end_of,
    handed_out_until,
)

__all__ = [
    "GRACE",
    "HANDED_OUT_WITHIN",
    "ID_PREFIX",
    "LEASE",
    "LIVE",
    "LONGEST_WAIT",
    "MARGIN",
    "NEVER",
    "OVERDUE",
    "BadCredentialLifeError",
    "BadMarkError",
    "Credential",
    "CredentialEvent",
    "CredentialState",
    "ForeignNameError",
    "HandOutOverError",
    "Lease",
    "LeaseHeldError",
    "LeaseLostError",
    "Step",
    "acknowledge",
    "age_of",
    "begin_mint",
    "begin_revocation",
    "due_of",
    "end_credential",
    "end_in_target",
    "end_of",
    "fail_revocation",
    "handed_out_until",
    "id_of",
    "is_leased",
    "is_overdue",
    "leave_credential",
    "name_of",
    "parse_mark",
    "prefix_of",
    "prove_gone",
    "prove_still_gone",
    "reappear",
    "renew_credential",
    "require_lease",
    "show_credential",
    "step_of",
]
