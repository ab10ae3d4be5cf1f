"""Tokens, step by step: issued, signed, verified, revoked; the keys that sign them; what is used once."""

from __future__ import annotations

from taskbound.flows.token.admitting import Admitted, exchange_code, renew, sweep_asked
from taskbound.flows.token.asking import Askings, Begun, resource_of
from taskbound.flows.token.choosing import Choices, choices_of
from taskbound.flows.token.claims import sweep_claims, use_claim, use_claims
from taskbound.flows.token.client_tokens import ClientToken, ClientTokens
from taskbound.flows.token.clients import add_client, drop_client, known_client
from taskbound.flows.token.describing import Descriptions
from taskbound.flows.token.ending import end_admission, give_back_refresh
from taskbound.flows.token.exchange import Exchanges
from taskbound.flows.token.issuing import Tokens
from taskbound.flows.token.keys import TokenKeys
from taskbound.flows.token.orders import (
    Issued,
    Issuing,
    PersonTokenOrder,
    TaskTokenOrder,
    TransactionTokenOrder,
)
from taskbound.flows.token.published import Published
from taskbound.flows.token.revoking import revoke_token
from taskbound.flows.token.signing import RowSigner
from taskbound.flows.token.sweeping import sweep_tokens
from taskbound.flows.token.verifying import Verification, Verified

__all__ = [
    "Admitted",
    "Askings",
    "Begun",
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
