"""Whether coordinates are a public key: the two curves that signatures here are on.

Only public numbers are computed with, so nothing here has to take the same time for all of them. Signatures
are computed elsewhere, by a library that is made for it.

1. P-256 (FIPS 186-5, SEC 2 §2.4.2): both coordinates below the field's prime, and the curve's equation holds.
   Its cofactor is 1, so every such point is of the right order.
2. Ed25519 (RFC 8032 §5.1.3): the one encoding of a point (`y` below the prime), and the point is of large
   order: eight times it is not the neutral one, which leaves no `x` of zero to have a sign. With a point of
   small order one signature would be right for any message.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ED25519_ORDER", "P256_ORDER", "on_ed25519", "on_p256"]

P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""How many points P-256 has: `r` and `s` of a signature lie below it."""
ED25519_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
"""The order of Ed25519's base point: `S` of a signature lies below it."""

_P256_PRIME: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
_P256_B: Final = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B

_ED_PRIME: Final = 2**255 - 19
_ED_D: Final = -121665 * pow(121666, -1, _ED_PRIME) % _ED_PRIME
_ED_ROOT: Final = pow(2, (_ED_PRIME - 1) // 4, _ED_PRIME)
_COFACTOR_DOUBLINGS: Final = 3


def on_p256(x: bytes, y: bytes) -> bool:
    """Whether the coordinates are a point of P-256 (rule 1)."""
    across, up = int.from_bytes(x), int.from_bytes(y)
    if across >= _P256_PRIME or up >= _P256_PRIME:
        return False
    return (up * up - (across * across * across - 3 * across + _P256_B)) % _P256_PRIME == 0


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
