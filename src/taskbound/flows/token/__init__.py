"""Tokens: issued, signed, verified, revoked; their signing keys; single-use values."""

from __future__ import annotations

from taskbound.flows.token.admitting import (
    Admitted,
    ClientToken,
    ClientTokens,
    exchange_code,
    renew,
    sweep_asked,
)
from taskbound.flows.token.asking import Askings, StartedRequest, resource_of
from taskbound.flows.token.clients import (
    Choices,
    Descriptions,
    add_client,
    choices_of,
    drop_client,
    end_admission,
    give_back_refresh,
    known_client,
)
from taskbound.flows.token.exchange import Exchanges
from taskbound.flows.token.issuing import (
    Issued,
    Issuing,
    PersonTokenOrder,
    TaskTokenOrder,
    Tokens,
    TransactionTokenOrder,
)
from taskbound.flows.token.keys import Published, RowSigner, TokenKeys
from taskbound.flows.token.revoking import revoke_token, sweep_claims, sweep_tokens, use_claim, use_claims
from taskbound.flows.token.verifying import Verification, Verified

__all__ = [
    "Admitted",
    "Askings",
    "Choices",
    "ClientToken",
    "ClientTokens",
    "Descriptions",
    "Exchanges",
    "Issued",
    "Issuing",
    "PersonTokenOrder",
    "Published",
    "RowSigner",
    "StartedRequest",
    "TaskTokenOrder",
    "TokenKeys",
    "Tokens",
    "TransactionTokenOrder",
    "Verification",
    "Verified",
    "add_client",
    "choices_of",
    "drop_client",
    "end_admission",
    "exchange_code",
    "give_back_refresh",
    "known_client",
    "renew",
    "resource_of",
    "revoke_token",
    "sweep_asked",
    "sweep_claims",
    "sweep_tokens",
    "use_claim",
    "use_claims",
]
