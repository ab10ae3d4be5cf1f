"""Reads tokens strictly, verifies them, and writes our own.

Of `gate`, strongest rule first:
1. A token has one text: segments, signature (`s` in the lower half; RFC 8032's `S` below the order) and
   members re-encode to themselves. Kinds that others sign may have a second spelling of the signature: replay
   is detected there by the issuer's `jti` or by `payload_digest`, never by the text.
2. The key determines the algorithm, and the header must agree: it selects no key material, algorithm or URL.
   Its members are its kind's (`header`).
3. `typ` is exactly one of the expected kind.
4. Issuer and audience are compared whole with the trusted issuer and the named audience.
5. `exp` is exact and exclusive; only `iat` and `nbf` may lie ahead, by the kind's skew.
6. Unverified and verified are two types, and only `verify_jws` makes the second. Signatures are computed
   outside by a `SignatureCheck`, because agents' processes and clients import this package without
   cryptography.
Of `write`:
1. Header and claims are canonical JSON (RFC 8785), so the digest is known before writing.
2. Claims are checked as the gate will check them before signing.
3. The signature has the form of the kind; the signer selects the key.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from taskbound.core.action import canonical, escape_text
from taskbound.core.dataclass import dataclass
from taskbound.wire.jose.claims import parse_claims, require_claims
from taskbound.wire.jose.compact import encode_base64url, split_compact
from taskbound.wire.jose.errors import (
    TokenAlgorithmError,
    TokenAudienceError,
    TokenClaimsError,
    TokenExpiredError,
    TokenIssuerError,
    TokenKeyError,
    TokenKindError,
    TokenNotYetError,
    TokenSizeError,
)
from taskbound.wire.jose.key import require_form
from taskbound.wire.jose.kinds import PERSON_TOKEN, SERVICE_TOKEN, TASK_TOKEN, Issuing, parse_header

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.wire.jose.claims import Claims
    from taskbound.wire.jose.compact import Compact
    from taskbound.wire.jose.key import Jwk
    from taskbound.wire.jose.kinds import Header, TokenKind


_SHOWN: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The trusted issuer, its keys, and the one audience of its tokens."""

    issuer: str
    """Its name as it stands in `iss`; of a trust domain, its name as it stands in `sub`."""
    audience: str
    """Empty only for a kind without an audience."""
    keys: tuple[Jwk, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedJws:
    """A parsed token of an unproven issuer."""

    compact: Compact
    kind: TokenKind
    header: Header
    claimed: Claims


@dataclass(frozen=True, slots=True, kw_only=True)
class Jws:
    """A token verified at `verified`: its issuer made these claims for us, and it was valid then."""

    compact: Compact
    kind: TokenKind
    key: Jwk
    claims: Claims
    verified: Instant

    @property
    def digest(self) -> str:
        """Returns the SHA-256 of the compact text; our own tokens have one text (rule 1)."""
        return hashlib.sha256(self.compact.text.encode("ascii")).hexdigest()

    @property
    def payload_digest(self) -> str:
        """Returns the SHA-256 of the payload as the issuer wrote it."""
        return hashlib.sha256(self.compact.payload).hexdigest()


class SignatureCheck(Protocol):
    """Verifies signatures."""

    def verify(self, compact: Compact, key: Jwk) -> None:
        """Returns only if the signature over what is signed is the key's.

        MUST use the key's own algorithm, whatever the header says. MUST raise `TokenUnprovenError` otherwise;
        any other error counts as the same. MUST reach nothing outside of this process.
        """


def parse_jws(text: str, *, kind: TokenKind) -> UnverifiedJws:
    """Parses a token of this kind without verifying it; raises MalformedError."""
    compact = split_compact(text, size=kind.size)  # 1
    header = parse_header(compact.header, kind.header)
    if header.typ != kind.typ and header.typ not in kind.header.or_typ:
        shown = escape_text(header.typ[:_SHOWN])
        raise TokenKindError(f"the token is of kind `{shown}`, not `{kind.typ}`", where="typ")  # 3
    claimed = parse_claims(compact.payload, kind=kind)
    return UnverifiedJws(compact=compact, kind=kind, header=header, claimed=claimed)


def verify_jws(jws: UnverifiedJws, *, trust: Trust, check: SignatureCheck, now: Instant) -> Jws:
    """Verifies a token.

    Raises TokenIssuerError or TokenAudienceError (rule 4), TokenKeyError (no key has its `kid`),
    TokenAlgorithmError (rule 2), TokenSignatureError (rule 1), TokenUnprovenError, TokenExpiredError or
    TokenNotYetError (rule 5).
    """
    claims = jws.claimed
    if _issuer(jws) != trust.issuer:
        raise TokenIssuerError(f"the token is by another issuer than `{escape_text(trust.issuer)}`")  # 4
    key = _key(jws, trust.keys)
    require_signature(jws.compact, key=key, check=check, lower_s=jws.kind.header.lower_s)
    again = claims.rest.get(jws.kind.audience_again, trust.audience)
    if claims.audience != trust.audience or again != trust.audience:
        raise TokenAudienceError(f"the token is not for `{escape_text(trust.audience)}`", where="aud")  # 4
    if now >= claims.expires:
        raise TokenExpiredError("the token has expired", where="exp")  # 5
    ahead = max(claims.issued, claims.not_before) - now
    if ahead > jws.kind.skew:
        raise TokenNotYetError("the token's time has not come", where="nbf")  # 5
    return Jws(compact=jws.compact, kind=jws.kind, key=key, claims=claims, verified=now)


def require_signature(compact: Compact, *, key: Jwk, check: SignatureCheck, lower_s: bool = True) -> None:
    """Raises TokenSignatureError or TokenUnprovenError unless the key signed (rules 1 and 2)."""
    require_form(compact.signature, key, lower_s=lower_s)  # 1
    check.verify(compact, key)


def _issuer(jws: UnverifiedJws) -> str:
    """Returns the claimed issuer in the form of `Trust`."""
    if jws.kind.issuing is Issuing.DOMAIN:
        return jws.claimed.subject.removeprefix("spiffe://").partition("/")[0]
    return jws.claimed.issuer


def _key(jws: UnverifiedJws, keys: tuple[Jwk, ...]) -> Jwk:
    names = {one.kid for one in keys}
    kid = jws.header.kid or (names.pop() if len(names) == 1 else "")
    named = [one for one in keys if one.kid == kid]
    if not named:
        raise TokenKeyError(f"the issuer has no key `{escape_text(kid)}`", where="kid")
    for one in named:
        if one.algorithm.value == jws.header.alg and one.algorithm in jws.kind.header.algorithms:
            return one
    raise TokenAlgorithmError(f"the key `{escape_text(kid)}` is not for what `alg` says", where="alg")


def write_jws(
    claims: Mapping[str, JsonValue], *, kind: TokenKind, key: Jwk, sign: Callable[[bytes], bytes]
) -> str:
    """Writes a signed token of this kind.

    `key` is the public key that verifies it, whose `kid` goes into the header. `sign` signs bytes by that
    key: for ES256 `r` and `s`, 32 bytes each, with the lower `s`. Raises TokenAlgorithmError,
    TokenSignatureError (rule 3), or TokenClaimsError, TokenLifetimeError, TokenSizeError (rule 2).
    """
    if key.algorithm not in kind.header.algorithms:
        raise TokenAlgorithmError(f"the key `{key.kid}` is for {key.algorithm.value}", where="alg")
    payload = canonical({**claims})  # 1
    require_claims(claims, payload, kind=kind)  # 2
    signed = f"{_header(key.algorithm.value, key.kid, kind.typ)}.{encode_base64url(payload)}"
    signature = sign(signed.encode("ascii"))
    require_form(signature, key, lower_s=True)  # 3
    text = f"{signed}.{encode_base64url(signature)}"
    if len(text) > kind.size:
        raise TokenSizeError(f"the token has {len(text)} characters; at most {kind.size} are read")  # 2
    return text


@lru_cache(maxsize=64)
def _header(alg: str, kid: str, typ: str) -> str:
    """Cached: it is the same for all tokens of a kind by one key (rule 1)."""
    return encode_base64url(canonical({"alg": alg, "kid": kid, "typ": typ}))


def parse_access_token(text: str) -> UnverifiedJws:
    """Parses an access token of any kind without verifying it; raises MalformedError."""
    try:
        return parse_jws(text, kind=TASK_TOKEN)
    except TokenClaimsError:
        try:
            return parse_jws(text, kind=SERVICE_TOKEN)
        except TokenClaimsError:
            return parse_jws(text, kind=PERSON_TOKEN)
