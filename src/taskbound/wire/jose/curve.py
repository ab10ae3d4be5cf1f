"""Whether numbers are a public key: the curves that signatures here are on, and RSA's two numbers.

Only public numbers are computed with, so nothing here has to take the same time for all of them. Signatures
are computed elsewhere, by a library that is made for it.

1. P-256, P-384, P-521 (FIPS 186-5, SEC 2 §2.4.2, §2.5.1, §2.6.1): both coordinates below the field's prime,
   and the curve's equation holds. Their cofactor is 1, so every such point is of the right order.
2. Ed25519 (RFC 8032 §5.1.3): the one encoding of a point (`y` below the prime), and the point is of large
   order: eight times it is not the neutral one, which leaves no `x` of zero to have a sign. With a point of
   small order one signature would be right for any message.
3. RSA (RFC 8017 §3.1, FIPS 186-5 §5.1): a modulus of 2,048 to 8,192 bits that is odd, an exponent that is
   odd, from 65,537 on and within 32 bits: a long one would make each verification as slow as a signature.
   Neither begins with a zero byte (RFC 7518 §2: one number, one text).
4. RSA whose primes were made by the library of CVE-2017-15361 (ROCA) is refused: its private half can be
   computed. Such a modulus is a power of 65,537 modulo each of the small primes at once, which chance makes
   of none.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""How many points P-256 has: `r` and `s` of a signature lie below it."""
ED25519_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
"""The order of Ed25519's base point: `S` of a signature lies below it."""
ORDERS: Final[Mapping[str, int]] = {
    "P-256": P256_ORDER,
    "P-384": int(
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973",
        16,
    ),
    "P-521": int(
        "01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
        "FA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409",
        16,
    ),
}
"""How many points each curve of ECDSA has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Curve:
    """`y² = x³ - 3x + b` over a prime field."""

    prime: int
    b: int


_CURVES: Final[Mapping[str, _Curve]] = {
    "P-256": _Curve(
        prime=2**256 - 2**224 + 2**192 + 2**96 - 1,
        b=0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    ),
    "P-384": _Curve(
        prime=2**384 - 2**128 - 2**96 + 2**32 - 1,
        b=int(
            "B3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE814112"
            "0314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF",
            16,
        ),
    ),
    "P-521": _Curve(
        prime=2**521 - 1,
        b=int(
            "0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E1"
            "56193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00",
            16,
        ),
    ),
}

_ED_PRIME: Final = 2**255 - 19
_ED_D: Final = -121665 * pow(121666, -1, _ED_PRIME) % _ED_PRIME
_ED_ROOT: Final = pow(2, (_ED_PRIME - 1) // 4, _ED_PRIME)
_COFACTOR_DOUBLINGS: Final = 3

_RSA_BITS: Final = range(2_048, 8_193)
_RSA_EXPONENT: Final = range(65_537, 2**32)
_ROCA: Final = 65_537
_ROCA_PRIMES: Final = (
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71,
    73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
)  # fmt: skip  # one number a line would be forty lines
"""The odd primes up to 167: of their product the weak keys' primes are powers of 65,537."""


def on_curve(crv: str, x: bytes, y: bytes) -> bool:
    """Whether the coordinates are a point of this curve (rule 1)."""
    curve = _CURVES[crv]
    across, up = int.from_bytes(x), int.from_bytes(y)
    if across >= curve.prime or up >= curve.prime:
        return False
    return (up * up - (across * across * across - 3 * across + curve.b)) % curve.prime == 0


def on_p256(x: bytes, y: bytes) -> bool:
    """Whether the coordinates are a point of P-256 (rule 1)."""
    return on_curve("P-256", x, y)


def is_rsa(modulus: bytes, exponent: bytes) -> bool:
    """Whether the numbers are an RSA key that is strong enough, and not there to keep us busy (rule 3)."""
    if modulus[:1] == b"\0" or exponent[:1] == b"\0":
        return False
    number, power = int.from_bytes(modulus), int.from_bytes(exponent)
    sound = number.bit_length() in _RSA_BITS and number & 1 == 1 and power in _RSA_EXPONENT and power & 1 == 1
    return sound and not all(number % prime in _powers(prime) for prime in _ROCA_PRIMES)


@cache
def _powers(prime: int) -> frozenset[int]:
    """The powers of 65,537 modulo a small prime (rule 4)."""
    return frozenset(pow(_ROCA, exponent, prime) for exponent in range(prime))


def on_ed25519(encoded: bytes) -> bool:
    """Whether the bytes encode a point of Ed25519 that is good for a key (rule 2)."""
    number = int.from_bytes(encoded, "little")
    up = number & ((1 << 255) - 1)
    if up >= _ED_PRIME:
        return False
    across = _across(up)
    if across is None:
        return False
    point = (across, up)
    for _ in range(_COFACTOR_DOUBLINGS):
        point = _double(point)
    return point != (0, 1)


def _across(up: int) -> int | None:
    """One of the two `x` to a `y`, where there are any (RFC 8032 §5.1.3)."""
    square = (up * up - 1) * pow(_ED_D * up * up + 1, -1, _ED_PRIME) % _ED_PRIME
    root = pow(square, (_ED_PRIME + 3) // 8, _ED_PRIME)
    if root * root % _ED_PRIME != square:
        root = root * _ED_ROOT % _ED_PRIME
    return root if root * root % _ED_PRIME == square else None


def _double(point: tuple[int, int]) -> tuple[int, int]:
    """The point twice (RFC 8032 §5.1.4; the equation is complete, so the denominators are never zero)."""
    x, y = point
    product = _ED_D * x * x * y * y
    return (
        2 * x * y * pow(1 + product, -1, _ED_PRIME) % _ED_PRIME,
        (y * y + x * x) * pow(1 - product, -1, _ED_PRIME) % _ED_PRIME,
    )
