"""Who acts, in the store, and whoever can tell what proves it."""

from __future__ import annotations

from taskbound.ports.identity.account import AccountReads, AccountWrites, RelyingParty, Wanted
from taskbound.ports.identity.answered import AnsweredWrites
from taskbound.ports.identity.custody import Custody
from taskbound.ports.identity.documents import Documents, Forms, IssuerUnreachableError
from taskbound.ports.identity.identities import IdentityReads, IdentityWrites, PublicHalf, Signatures
from taskbound.ports.identity.service import ServiceReads, ServiceWrites
from taskbound.ports.identity.trust import BundleSource, Svids, TrustReads, TrustWrites
from taskbound.ports.identity.workload import (
    AskingVerifier,
    Awaited,
    Need,
    Verifier,
    WorkloadReads,
    WorkloadWrites,
)

__all__ = [
    "AccountReads",
    "AccountWrites",
    "AnsweredWrites",
    "AskingVerifier",
    "Awaited",
    "BundleSource",
    "Custody",
    "Documents",
    "Forms",
    "IdentityReads",
    "IdentityWrites",
    "IssuerUnreachableError",
    "Need",
    "PublicHalf",
    "RelyingParty",
    "ServiceReads",
    "ServiceWrites",
    "Signatures",
    "Svids",
    "TrustReads",
    "TrustWrites",
    "Verifier",
    "Wanted",
    "WorkloadReads",
    "WorkloadWrites",
]
