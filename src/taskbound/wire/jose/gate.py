"""The gate for signed tokens: a text becomes a token that is believed, or one named error.

Rules, strongest first:

1. A token is one text: what is accepted re-encodes to itself, and there is no second spelling of its
   segments, of its signature (`s` in the lower half; RFC 8032's `S` below the order) or of a member.
2. The key says the algorithm. The header may only agree: it chooses neither key material, nor algorithm,
   nor anything that would be fetched. It has the members `alg`, `kid` and `typ`, and no others.
3. `typ` is the one of the expected kind, character by character.
4. The issuer is the one whose keys these are, the audience the one that is named, both compared whole.
5. Now is inside its times: `exp` is exact and exclusive; only `iat` and `nbf` may lie ahead, by the kind's
   skew.
6. Unverified and verified are two types, and only `verify_jws` makes the second.

What a signature is worth is computed outside, by a `SignatureCheck` that is passed in: this package is a
part of what agents' processes and clients may import, and those carry no cryptography.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from taskbound.core.action import Limits, escape_text, parse_object
from taskbound.wire.jose.claims import parse_claims
from taskbound.wire.jose.compact import split_compact
from taskbound.wire.jose.curve import ED25519_ORDER, P256_ORDER
from taskbound.wire.jose.errors import (
    TokenAlgorithmError,
    TokenAudienceError,
    TokenExpiredError,
    TokenHeaderError,
    TokenIssuerError,
    TokenKeyError,
    TokenKindError,
    TokenNotYetError,
    TokenSignatureError,
)
from taskbound.wire.jose.key import KID, Algorithm

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.wire.jose.claims import Claims
    from taskbound.wire.jose.compact import Compact
    from taskbound.wire.jose.key import Jwk
    from taskbound.wire.jose.kind import TokenKind

__all__ = [
    "Header",
    "Jws",
    "SignatureCheck",
    "Trust",
    "UnverifiedJws",
    "parse_header",
    "parse_jws",
    "read_jws",
    "require_signature",
    "verify_jws",
]

_HEADER_LIMITS: Final = Limits(size=512, depth=1, parts=1)
_MEMBERS: Final = frozenset({"alg", "kid", "typ"})
_HALF: Final = 32
_SHOWN: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a header says."""

    alg: str
    kid: str
    typ: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whom to believe: one issuer, its keys, and the one audience that its tokens must be for."""

    issuer: str
    audience: str
    keys: tuple[Jwk, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedJws:
    """A token that can be read, by nobody knows whom."""

    compact: Compact
    kind: TokenKind
    header: Header
    claimed: Claims


@dataclass(frozen=True, slots=True, kw_only=True)
class Jws:
    """A token that was verified at `verified`: what it says, its issuer said, to us, and it held then."""

    compact: Compact
    kind: TokenKind
    key: Jwk
    claims: Claims
    verified: Instant

    @property
    def digest(self) -> str:
        """The SHA-256 of the compact text; a token has one text (rule 1)."""
        return hashlib.sha256(self.compact.text.encode("ascii")).hexdigest()

    @property
    def payload_digest(self) -> str:
        """The SHA-256 of the payload's bytes: of the claims as the issuer wrote them."""
        return hashlib.sha256(self.compact.payload).hexdigest()


class SignatureCheck(Protocol):
    """Says whether a signature is a key's."""

    def verify(self, compact: Compact, key: Jwk) -> None:
        """Return only when the signature is the key's over what is signed.

        MUST use the key's own algorithm, whatever the header says. MUST raise `TokenUnprovenError` when it is
        not; any other error is taken as the same. MUST reach nothing outside of this process.
        """


def read_jws(text: str, *, kind: TokenKind, trust: Trust, check: SignatureCheck, now: Instant) -> Jws:
    """The token that the text is, believed: everything that this module says, in one call.

    Raises:
        MalformedError: It can't be read as a token of this kind.
        DeniedError: It can, and is not believed.
    """
    return verify_jws(parse_jws(text, kind=kind), trust=trust, check=check, now=now)


def parse_jws(text: str, *, kind: TokenKind) -> UnverifiedJws:
    """The token that the text claims to be.

    Raises:
        MalformedError: It can't be read as a token of this kind.
    """
    compact = split_compact(text, size=kind.size)  # 1
    header = parse_header(compact.header)
    if header.typ != kind.typ:
        shown = escape_text(header.typ[:_SHOWN])
        raise TokenKindError(f"the token is of kind `{shown}`, not `{kind.typ}`", where="typ")  # 3
    claimed = parse_claims(compact.payload, kind=kind)
    return UnverifiedJws(compact=compact, kind=kind, header=header, claimed=claimed)


def verify_jws(jws: UnverifiedJws, *, trust: Trust, check: SignatureCheck, now: Instant) -> Jws:
    """The token, believed.

    Raises:
        TokenIssuerError: It is by another issuer (rule 4).
        TokenKeyError: No key of the issuer has its `kid`.
        TokenAlgorithmError: The key is for another algorithm (rule 2).
        TokenSignatureError: Its signature is none of that algorithm (rule 1).
        TokenUnprovenError: Its signature is not the key's.
        TokenAudienceError: It is for somebody else (rule 4).
        TokenExpiredError: Its time is over (rule 5).
        TokenNotYetError: Its time has not come (rule 5).
    """
    claims = jws.claimed
    if claims.issuer != trust.issuer:
        raise TokenIssuerError(f"the token is by another issuer than `{escape_text(trust.issuer)}`")  # 4
    key = next((one for one in trust.keys if one.kid == jws.header.kid), None)
    if key is None:
        raise TokenKeyError(f"the issuer has no key `{escape_text(jws.header.kid)}`", where="kid")
    require_signature(jws.compact, jws.header, key=key, check=check)
    if claims.audience != trust.audience:
        raise TokenAudienceError(f"the token is not for `{escape_text(trust.audience)}`", where="aud")  # 4
    if now >= claims.expires:
        raise TokenExpiredError("the token has expired", where="exp")  # 5
    ahead = max(claims.issued, claims.not_before) - now
    if ahead > jws.kind.skew:
        raise TokenNotYetError("the token's time has not come", where="nbf")  # 5
    return Jws(compact=jws.compact, kind=jws.kind, key=key, claims=claims, verified=now)


def require_signature(compact: Compact, header: Header, *, key: Jwk, check: SignatureCheck) -> None:
    """Go on only when the signature is the key's (rules 1 and 2).

    Raises:
        TokenAlgorithmError: The key is for another algorithm.
        TokenSignatureError: The signature is none of that algorithm, or a second spelling.
        TokenUnprovenError: It is not the key's.
    """
    if header.alg != key.algorithm.value:
        raise TokenAlgorithmError(f"the key `{key.kid}` is for {key.algorithm.value}", where="alg")  # 2
    _require_form(compact.signature, key.algorithm)  # 1
    check.verify(compact, key)


def parse_header(raw: bytes) -> Header:
    """The three members of a header (rule 2).

    Raises:
        TokenHeaderError: There are others, or one is missing or no text.
        MalformedError: It is no JSON object, or says a member twice (`core.action`).
    """
    members = parse_object(raw, limits=_HEADER_LIMITS)
    if strange := sorted(members.keys() - _MEMBERS):
        shown = escape_text(strange[0][:_SHOWN])
        raise TokenHeaderError(f"a header has no member `{shown}`", where=shown)
    texts = {name: value for name, value in members.items() if isinstance(value, str)}
    if texts.keys() != _MEMBERS:
        raise TokenHeaderError("a header has the texts `alg`, `kid` and `typ`")
    if KID.fullmatch(texts["kid"]) is None:
        raise TokenHeaderError("`kid` is a word of 1 to 128 letters, digits and `._~:=@+-`", where="kid")
    return Header(alg=texts["alg"], kid=texts["kid"], typ=texts["typ"])


def _require_form(signature: bytes, algorithm: Algorithm) -> None:
    if len(signature) != 2 * _HALF:
        raise TokenSignatureError(f"the signature has {len(signature)} bytes, not {2 * _HALF}")
    first, second = signature[:_HALF], signature[_HALF:]
    match algorithm:
        case Algorithm.ES256:
            if not 0 < int.from_bytes(first) < P256_ORDER:
                raise TokenSignatureError("`r` of the signature is out of range")
            if not 0 < int.from_bytes(second) <= P256_ORDER // 2:
                raise TokenSignatureError("`s` of the signature is not in the lower half of its range")
        case Algorithm.ED25519 | Algorithm.EDDSA:
            if int.from_bytes(second, "little") >= ED25519_ORDER:
                raise TokenSignatureError("`S` of the signature is out of range")
