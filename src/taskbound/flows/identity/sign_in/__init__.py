"""People sign in with their accounts at issuers."""

from __future__ import annotations

from taskbound.flows.identity.sign_in.entering import sweep_sign_ins
from taskbound.flows.identity.sign_in.sign_ins import SignIns
from taskbound.flows.identity.sign_in.values import Begun, Entered, Proven, SignedIn

__all__ = ["Begun", "Entered", "Proven", "SignIns", "SignedIn", "sweep_sign_ins"]
