"""The format of a token: read strictly before anything else, and written.

Of `gate`:

Rules, strongest first:

1. A token is one text: what is accepted re-encodes to itself, and there is no second spelling of its
   segments, of its signature (`s` in the lower half; RFC 8032's `S` below the order) or of a member. Of kinds
   that others sign a signature may have a second one: there no flipped bit passes either, but whoever wants
   to know a token again goes by what it says (`jti` of its issuer), or by `payload_digest`, and never by its
   text.
2. The key says the algorithm. The header may only agree: it chooses neither key material, nor algorithm,
   nor anything that would be fetched. What it may hold is its kind's to say (`header`).
3. `typ` is one of the expected kind, character by character.
4. The issuer is the one whose keys these are, the audience the one that is named, both compared whole.
5. Now is inside its times: `exp` is exact and exclusive; only `iat` and `nbf` may lie ahead, by the kind's
   skew.
6. Unverified and verified are two types, and only `verify_jws` makes the second.

What a signature is worth is computed outside, by a `SignatureCheck` that is passed in: this package is a
part of what agents' processes and clients may import, and those carry no cryptography.

Of `write`:

1. Header and claims are canonical JSON (RFC 8785): the digest of the claims is known before they are written.
2. What is to be signed is looked at first, as the gate will: nothing is signed that our own gate refuses.
3. The signature has the form that the kind asks for; who signs says which key it is.
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
    """Whom to believe: one issuer, its keys, and the one audience that its tokens must be for."""

    issuer: str
    """Its name as it stands in `iss`; of a trust domain, its name as it stands in `sub`."""
    audience: str
    """Empty only for a kind that is for nobody in particular."""
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
        """The SHA-256 of the compact text; a token of ours has one text (rule 1)."""
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


def parse_jws(text: str, *, kind: TokenKind) -> UnverifiedJws:
    """The token that the text claims to be.

    Raises:
        MalformedError: It can't be read as a token of this kind.
    """
    compact = split_compact(text, size=kind.size)  # 1
    header = parse_header(compact.header, kind.header)
    if header.typ != kind.typ and header.typ not in kind.header.or_typ:
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
    """Go on only when the signature is the key's (rules 1 and 2).

    Raises:
        TokenSignatureError: The signature is none of the key's algorithm, or a second spelling.
        TokenUnprovenError: It is not the key's.
    """
    require_form(compact.signature, key, lower_s=lower_s)  # 1
    check.verify(compact, key)


def _issuer(jws: UnverifiedJws) -> str:
    """Who the token says that issued it, as a `Trust` names issuers."""
    if jws.kind.issuing is Issuing.DOMAIN:
        return jws.claimed.subject.removeprefix("spiffe://").partition("/")[0]
    return jws.claimed.issuer


def _key(jws: UnverifiedJws, keys: tuple[Jwk, ...]) -> Jwk:
    """The one key that the token can be signed with (rule 2).

    Raises:
        TokenKeyError: There is none with its name, or it has no name and there are several.
        TokenAlgorithmError: It is for another algorithm, or one that this kind of token isn't signed with.
    """
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
    """The token of this kind that says this.

    Args: claims: What it says. kind: Its kind. key: The public key that it will be verified with; its `kid`
    goes into the header. sign: Makes the signature of some bytes by that key: for ES256 `r` and `s`, 32 bytes
    each, `s` the lower one.

    Raises:
        TokenAlgorithmError: Tokens of this kind aren't signed with such a key.
        TokenClaimsError: The claims are not those of this kind (rule 2).
        TokenLifetimeError: It would live too long, or not at all (rule 2).
        TokenSizeError: It would be too large (rule 2).
        TokenSignatureError: The signature is none of this key's (rule 3).
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
    """The first segment (rule 1), which is the same for all tokens of a kind by one key."""
    return encode_base64url(canonical({"alg": alg, "kid": kid, "typ": typ}))


def parse_access_token(text: str) -> UnverifiedJws:
    """The access token that the text claims to be; nothing of it is verified.

    Raises:
        MalformedError: The text is not an access token.
    """
    try:
        return parse_jws(text, kind=TASK_TOKEN)
    except TokenClaimsError:
        try:
            return parse_jws(text, kind=SERVICE_TOKEN)
        except TokenClaimsError:
            return parse_jws(text, kind=PERSON_TOKEN)
