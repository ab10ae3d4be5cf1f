"""Tokens in the store, what was used once, and the keys that sign."""

from __future__ import annotations

from taskbound.ports.token.authorization import AuthorizationReads, AuthorizationWrites, RegisteredClient
from taskbound.ports.token.claim import ClaimWrites
from taskbound.ports.token.key import TokenKey, TokenKeyGoneError, TokenKeyStore, TokenKeyWeakError
from taskbound.ports.token.shared import SharedClaimReads, SharedClaimWrites
from taskbound.ports.token.signer import MadeKey, SignedList, TokenSigner
from taskbound.ports.token.tokens import TokenReads, TokenWrites

__all__ = [
    "AuthorizationReads",
    "AuthorizationWrites",
    "ClaimWrites",
    "MadeKey",
    "RegisteredClient",
    "SharedClaimReads",
    "SharedClaimWrites",
    "SignedList",
    "TokenKey",
    "TokenKeyGoneError",
    "TokenKeyStore",
    "TokenKeyWeakError",
    "TokenReads",
    "TokenSigner",
    "TokenWrites",
]
