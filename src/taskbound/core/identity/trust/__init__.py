"""Trust domains: whose word counts about workloads, where it comes from, and until when."""

from __future__ import annotations

from taskbound.core.identity.trust.bundle import EMPTY, MOST_AUTHORITIES, MOST_BYTES, Bundle, parse_bundle
from taskbound.core.identity.trust.domain import (
    BOUND,
    MOST_DOMAINS,
    Trust,
    TrustSource,
    admits,
    confirm,
    parse_trust,
    require_authorities,
)
from taskbound.core.identity.trust.errors import (
    BadBundleError,
    BadTrustError,
    BundleSizeError,
    EmptyTrustError,
    ForeignAuthorityError,
    OlderBundleError,
    StaleTrustError,
    TrustExistsError,
    TrustFileError,
    TrustRefusedError,
    TrustSourceError,
    UnknownTrustError,
)

__all__ = [
    "BOUND",
    "EMPTY",
    "MOST_AUTHORITIES",
    "MOST_BYTES",
    "MOST_DOMAINS",
    "BadBundleError",
    "BadTrustError",
    "Bundle",
    "BundleSizeError",
    "EmptyTrustError",
    "ForeignAuthorityError",
    "OlderBundleError",
    "StaleTrustError",
    "Trust",
    "TrustExistsError",
    "TrustFileError",
    "TrustRefusedError",
    "TrustSource",
    "TrustSourceError",
    "UnknownTrustError",
    "admits",
    "confirm",
    "parse_bundle",
    "parse_trust",
    "require_authorities",
]
