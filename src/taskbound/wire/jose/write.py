"""Writing a token of ours: from claims to the one text that the gate takes.

1. Header and claims are canonical JSON (RFC 8785): the digest of the claims is known before they are written.
2. What is to be signed is looked at first, as the gate will: nothing is signed that our own gate refuses.
3. The signature has the form that the kind asks for; who signs says which key it is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from taskbound.core.action import canonical
from taskbound.wire.jose.claims import require_claims
from taskbound.wire.jose.compact import encode_base64url
from taskbound.wire.jose.errors import TokenAlgorithmError, TokenSizeError
from taskbound.wire.jose.signature import require_form

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.wire.jose.key import Jwk
    from taskbound.wire.jose.kind import TokenKind


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
