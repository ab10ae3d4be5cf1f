"""What a signature looks like, before anybody computes what it is worth.

1. ECDSA: `r` and `s` of a coordinate's length each (RFC 7518 §3.4), above zero and below the order. Of `s`
   and `order - s`, which are both right, a kind may take the lower one alone: then a token has one text.
2. Ed25519: `S` below the order (RFC 8032 §5.1.7).
3. RSA: as many bytes as the modulus, and a number below it (RFC 8017 §8.1.2, §8.2.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.wire.jose.algorithm import FORMS
from taskbound.wire.jose.curve import ED25519_ORDER, ORDERS
from taskbound.wire.jose.errors import TokenSignatureError

if TYPE_CHECKING:
    from taskbound.wire.jose.key import Jwk


def require_form(signature: bytes, key: Jwk, *, lower_s: bool) -> None:
    """Go on only with a signature that can be one of this key.

    Raises:
        TokenSignatureError: It can't (rules 1 to 3).
    """
    form = FORMS[key.algorithm]
    length = len(key.modulus) if form.kty == "RSA" else 2 * form.size
    if len(signature) != length:
        raise TokenSignatureError(f"the signature has {len(signature)} bytes, not {length}")
    first, second = signature[: form.size], signature[form.size :]
    match form.kty:
        case "EC":
            order = ORDERS[form.crv]
            if not 0 < int.from_bytes(first) < order:
                raise TokenSignatureError("`r` of the signature is out of range")  # 1
            if not 0 < int.from_bytes(second) < order:
                raise TokenSignatureError("`s` of the signature is out of range")  # 1
            if lower_s and int.from_bytes(second) > order // 2:
                raise TokenSignatureError("`s` of the signature is not in the lower half of its range")  # 1
        case "OKP":
            if int.from_bytes(second, "little") >= ED25519_ORDER:
                raise TokenSignatureError("`S` of the signature is out of range")  # 2
        case _:
            if int.from_bytes(signature) >= int.from_bytes(key.modulus):
                raise TokenSignatureError("the signature is no number below its key's modulus")  # 3
