"""Signed tokens of other systems and of our own: the strict gate, its keys and its kinds."""

from __future__ import annotations

from taskbound.wire.jose.claims import Claims
from taskbound.wire.jose.compact import Compact, encode_base64url
from taskbound.wire.jose.errors import (
    JwkMembersError,
    JwkPointError,
    JwkPrivateError,
    JwkSetError,
    TokenAlgorithmError,
    TokenAudienceError,
    TokenClaimsError,
    TokenEncodingError,
    TokenExpiredError,
    TokenHeaderError,
    TokenIssuerError,
    TokenKeyError,
    TokenKindError,
    TokenLifetimeError,
    TokenNotYetError,
    TokenSegmentsError,
    TokenSignatureError,
    TokenSizeError,
    TokenUnprovenError,
)
from taskbound.wire.jose.gate import (
    Jws,
    SignatureCheck,
    Trust,
    UnverifiedJws,
    parse_jws,
    read_jws,
    verify_jws,
)
from taskbound.wire.jose.key import Algorithm, Jwk, parse_jwk, parse_jwks
from taskbound.wire.jose.kind import EVIDENCE, KINDS, SKEW, ClaimForm, TokenKind

__all__ = [
    "EVIDENCE",
    "KINDS",
    "SKEW",
    "Algorithm",
    "ClaimForm",
    "Claims",
    "Compact",
    "Jwk",
    "JwkMembersError",
    "JwkPointError",
    "JwkPrivateError",
    "JwkSetError",
    "Jws",
    "SignatureCheck",
    "TokenAlgorithmError",
    "TokenAudienceError",
    "TokenClaimsError",
    "TokenEncodingError",
    "TokenExpiredError",
    "TokenHeaderError",
    "TokenIssuerError",
    "TokenKeyError",
    "TokenKind",
    "TokenKindError",
    "TokenLifetimeError",
    "TokenNotYetError",
    "TokenSegmentsError",
    "TokenSignatureError",
    "TokenSizeError",
    "TokenUnprovenError",
    "Trust",
    "UnverifiedJws",
    "encode_base64url",
    "parse_jwk",
    "parse_jwks",
    "parse_jws",
    "read_jws",
    "verify_jws",
]
