"""Public keys of tokens (JWK), their algorithms, curves and signatures.

Of `key` (configured and registered keys; an issuer's are read in `foreign`):
1. A key states its algorithm and is used with no other (RFC 8725bis §3.1): `ES256` on P-256, `Ed25519` (RFC
   9864), or `EdDSA` with the curve Ed25519, the older name.
2. Exactly the members `kty`, `crv`, `x` (and `y`), `kid`, `alg`, `use`. A private or secret member is refused
   by name before any other fault.
3. Coordinates have the exact length and are a valid point (`curve`).
4. A `kid` is a plain word that is only compared: it selects no file, row or address.
5. A set has 1 to 16 keys with different `kid`.
Of `algorithm`:
1. No others exist, and none with a shared secret (RFC 8725bis §3.1).
2. ES256, Ed25519 and `EdDSA` are for our and registered keys. RSA and the larger curves are for issuers (RFC
   7518 §3.1, the JWT-SVID standard §2.2): each kind of token lists its own.
Of `curve` (public numbers only, so no constant time; signatures are verified by a library):
1. P-256, P-384, P-521 (FIPS 186-5, SEC 2 §2.4.2, §2.5.1, §2.6.1): both coordinates below the prime, and the
   equation holds. The cofactor is 1, so every such point has the right order.
2. Ed25519 (RFC 8032 §5.1.3): the canonical encoding (`y` below the prime) of a point whose eightfold is not
   the neutral one; with a point of small order one signature would verify for any message.
3. RSA (RFC 8017 §3.1, FIPS 186-5 §5.1): an odd modulus of 2,048 to 8,192 bits and an odd exponent from 65,537
   within 32 bits, as a long one makes verification slow; no leading zero byte (RFC 7518 §2).
4. RSA moduli of CVE-2017-15361 (ROCA) are refused, because their private keys can be computed. Such a modulus
   is a power of 65,537 modulo each of the small primes, which does not occur by chance.
Of `signature`:
1. ECDSA: `r` and `s` of a coordinate's length (RFC 7518 §3.4), above zero and below the order. A kind may
   require the lower of `s` and `order - s`, so that a token has one text.
2. Ed25519: `S` below the order (RFC 8032 §5.1.7).
3. RSA: the length of the modulus, and a number below it (RFC 8017 §8.1.2, §8.2.2).
"""

from __future__ import annotations

import hashlib
import re
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Final

from taskbound.core.action import Limits, canonical, escape_text, parse_object
from taskbound.core.dataclass import dataclass
from taskbound.wire.jose.compact import decode_base64url, encode_base64url
from taskbound.wire.jose.errors import (
    JwkMembersError,
    JwkPointError,
    JwkPrivateError,
    JwkSetError,
    TokenSignatureError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue


class Algorithm(Enum):
    """One algorithm, by its name in `alg`."""

    ES256 = "ES256"
    ED25519 = "Ed25519"
    EDDSA = "EdDSA"
    ES384 = "ES384"
    ES512 = "ES512"
    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyForm:
    """How a key for an algorithm is written."""

    kty: str
    crv: str = ""
    """Empty for RSA."""
    size: int = 0
    """Bytes of each coordinate, and of each half of a signature; 0 for RSA, whose keys say it themselves."""

    @property
    def numbers(self) -> tuple[str, ...]:
        """Returns the members that hold the key."""
        return {"EC": ("x", "y"), "OKP": ("x",)}.get(self.kty, ("n", "e"))


_P256: Final = KeyForm(kty="EC", crv="P-256", size=32)
_ED: Final = KeyForm(kty="OKP", crv="Ed25519", size=32)
_RSA: Final = KeyForm(kty="RSA")

FORMS: Final[Mapping[Algorithm, KeyForm]] = {
    Algorithm.ES256: _P256,
    Algorithm.ED25519: _ED,
    Algorithm.EDDSA: _ED,
    Algorithm.ES384: KeyForm(kty="EC", crv="P-384", size=48),
    Algorithm.ES512: KeyForm(kty="EC", crv="P-521", size=66),
    Algorithm.RS256: _RSA,
    Algorithm.RS384: _RSA,
    Algorithm.RS512: _RSA,
    Algorithm.PS256: _RSA,
    Algorithm.PS384: _RSA,
    Algorithm.PS512: _RSA,
}
"""The keys of each."""

OURS: Final = frozenset({Algorithm.ES256, Algorithm.ED25519, Algorithm.EDDSA})
"""What a key that is configured or registered here may be for."""
SPIFFE: Final = frozenset(Algorithm) - {Algorithm.ED25519, Algorithm.EDDSA}
"""The nine of the JWT-SVID standard."""
FOREIGN: Final = frozenset(Algorithm)
"""What an issuer of an organisation may sign with."""


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
    """Returns whether the coordinates are a point of this curve (rule 1)."""
    curve = _CURVES[crv]
    across, up = int.from_bytes(x), int.from_bytes(y)
    if across >= curve.prime or up >= curve.prime:
        return False
    return (up * up - (across * across * across - 3 * across + curve.b)) % curve.prime == 0


def on_p256(x: bytes, y: bytes) -> bool:
    """Returns whether the coordinates are a point of P-256 (rule 1)."""
    return on_curve("P-256", x, y)


def is_rsa(modulus: bytes, exponent: bytes) -> bool:
    """Returns whether the numbers are a strong RSA key with a bounded exponent (rule 3)."""
    if modulus[:1] == b"\0" or exponent[:1] == b"\0":
        return False
    number, power = int.from_bytes(modulus), int.from_bytes(exponent)
    sound = number.bit_length() in _RSA_BITS and number & 1 == 1 and power in _RSA_EXPONENT and power & 1 == 1
    return sound and not all(number % prime in _powers(prime) for prime in _ROCA_PRIMES)


@cache
def _powers(prime: int) -> frozenset[int]:
    """Returns the powers of 65,537 modulo a small prime (rule 4)."""
    return frozenset(pow(_ROCA, exponent, prime) for exponent in range(prime))


def on_ed25519(encoded: bytes) -> bool:
    """Returns whether the bytes encode a valid Ed25519 key (rule 2)."""
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
    """Returns one of the two `x` for a `y`, or None (RFC 8032 §5.1.3)."""
    square = (up * up - 1) * pow(_ED_D * up * up + 1, -1, _ED_PRIME) % _ED_PRIME
    root = pow(square, (_ED_PRIME + 3) // 8, _ED_PRIME)
    if root * root % _ED_PRIME != square:
        root = root * _ED_ROOT % _ED_PRIME
    return root if root * root % _ED_PRIME == square else None


def _double(point: tuple[int, int]) -> tuple[int, int]:
    """RFC 8032 §5.1.4; the equation is complete, so denominators are never zero."""
    x, y = point
    product = _ED_D * x * x * y * y
    return (
        2 * x * y * pow(1 + product, -1, _ED_PRIME) % _ED_PRIME,
        (y * y + x * x) * pow(1 - product, -1, _ED_PRIME) % _ED_PRIME,
    )


KID: Final = re.compile(r"[A-Za-z0-9._~:=@+-]{1,128}", re.ASCII)
"""What a `kid` may look like, in a key and in a header."""
NAMES: Final = re.compile(r"[!#-\[\]-~]{1,256}", re.ASCII)
"""What it may look like where others chose it: any visible ASCII but quotation marks and backslashes."""

_LIMITS: Final = Limits(size=65_536, depth=3, parts=64)
_MOST_KEYS: Final = 16
_SHOWN: Final = 64
_SECRET: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Jwk:
    """A public key and its one algorithm."""

    kid: str
    """Empty only for the one key of an issuer who gave it no name."""
    algorithm: Algorithm
    x: bytes = b""
    """The first coordinate; empty for RSA."""
    y: bytes = b""
    """Empty for Ed25519, whose key is one coordinate and a sign, and for RSA."""
    modulus: bytes = b""
    """`n` of RSA."""
    exponent: bytes = b""
    """`e` of RSA."""

    @property
    def members(self) -> dict[str, str]:
        """Returns the members of the JSON Web Key."""
        named = {"kid": self.kid} if self.kid else {}
        return {**self._required, **named, "alg": self.algorithm.value, "use": "sig"}

    @property
    def thumbprint(self) -> str:
        """Returns the thumbprint of the key, independent of its `kid` (RFC 7638 §3)."""
        return encode_base64url(hashlib.sha256(canonical({**self._required})).digest())

    @property
    def _required(self) -> dict[str, str]:
        form = FORMS[self.algorithm]
        raw = {"x": self.x, "y": self.y, "n": self.modulus, "e": self.exponent}
        numbers = {name: encode_base64url(raw[name]) for name in form.numbers}
        return {"kty": form.kty, **({"crv": form.crv} if form.crv else {}), **numbers}


def es256_jwk(x: bytes, y: bytes) -> Jwk:
    """Returns an ES256 key with its thumbprint as `kid`; raises JwkPointError (rule 3).

    Coordinates have 32 bytes each.
    """
    if not (len(x) == len(y) == FORMS[Algorithm.ES256].size and on_curve("P-256", x, y)):
        raise JwkPointError("the numbers are no public key on P-256", where="x")
    nameless = Jwk(kid="", algorithm=Algorithm.ES256, x=x, y=y)
    return Jwk(kid=nameless.thumbprint, algorithm=Algorithm.ES256, x=x, y=y)


def parse_jwk(members: Mapping[str, JsonValue]) -> Jwk:
    """Parses a public key; raises JwkPrivateError, JwkMembersError or JwkPointError (rules 1 to 4)."""
    require_public(members)  # 2
    algorithm = _algorithm(members.get("alg"))
    form = FORMS[algorithm]
    wanted = {"kty": form.kty, "crv": form.crv, "alg": algorithm.value, "use": "sig"}
    for name, value in wanted.items():
        if members.get(name) != value:
            raise JwkMembersError(f"a key for {algorithm.value} has `{name}` `{value}`", where=name)
    known = {*wanted, *form.numbers, "kid"}
    if strange := sorted(members.keys() - known):
        shown = escape_text(strange[0][:_SHOWN])
        raise JwkMembersError(f"a key for {algorithm.value} has no member `{shown}`", where=shown)  # 2
    kid = members.get("kid")
    if not isinstance(kid, str) or KID.fullmatch(kid) is None:
        raise JwkMembersError("`kid` is a word of 1 to 128 letters, digits and `._~:=@+-`", where="kid")  # 4
    return read_numbers(members, algorithm, kid=kid)


def parse_jwks(raw: bytes) -> tuple[Jwk, ...]:
    """Parses a document of one key or a set (rule 5; RFC 7517 §5).

    Raises JwkSetError, MalformedError for anything but one strict JSON object, or as `parse_jwk`.
    """
    document = parse_object(raw, limits=_LIMITS)
    if "keys" not in document:
        return (parse_jwk(document),)
    members = document["keys"]
    if document.keys() != {"keys"} or not isinstance(members, list) or not 1 <= len(members) <= _MOST_KEYS:
        raise JwkSetError(f"a set has the one member `keys`, with 1 to {_MOST_KEYS} keys", where="keys")
    keys: dict[str, Jwk] = {}
    for at, one in enumerate(members):
        if not isinstance(one, dict):
            raise JwkSetError("a key is an object", where=f"keys[{at}]")
        key = parse_jwk(one)
        if key.kid in keys:
            raise JwkSetError(f"two keys have the `kid` `{key.kid}`", where=f"keys[{at}]")
        keys[key.kid] = key
    return tuple(keys.values())


def require_public(members: Mapping[str, JsonValue]) -> None:
    """Raises JwkPrivateError for a key with a private member (rule 2)."""
    if _SECRET & members.keys() or members.get("kty") == "oct":
        raise JwkPrivateError("the key has private members; only public keys are read")


def read_numbers(members: Mapping[str, JsonValue], algorithm: Algorithm, *, kid: str) -> Jwk:
    """Returns the key of these members; raises JwkMembersError or JwkPointError (rule 3)."""
    form = FORMS[algorithm]
    read = {name: _number(members.get(name), name, size=form.size) for name in form.numbers}
    match form.kty:
        case "EC":
            good = on_curve(form.crv, read["x"], read["y"])
        case "OKP":
            good = on_ed25519(read["x"])
        case _:
            good = is_rsa(read["n"], read["e"])
    if not good:
        on = f"on {form.crv}" if form.crv else "of RSA with 2,048 to 8,192 bits"
        raise JwkPointError(f"the numbers are no public key {on}", where=form.numbers[0])
    return Jwk(
        kid=kid,
        algorithm=algorithm,
        x=read.get("x", b""),
        y=read.get("y", b""),
        modulus=read.get("n", b""),
        exponent=read.get("e", b""),
    )


def _algorithm(name: JsonValue) -> Algorithm:
    known = {one.value: one for one in Algorithm if one in OURS}
    if not isinstance(name, str) or name not in known:
        raise JwkMembersError(f"a key's `alg` is one of {', '.join(known)}", where="alg")
    return known[name]


def _number(text: JsonValue, name: str, *, size: int) -> bytes:
    raw = decode_base64url(text) if isinstance(text, str) else None
    if raw is None or (size and len(raw) != size):
        count = f"{size} bytes" if size else "a number"
        raise JwkMembersError(f"`{name}` is {count} in base64url", where=name)
    return raw


def require_form(signature: bytes, key: Jwk, *, lower_s: bool) -> None:
    """Raises TokenSignatureError unless the signature can be one of this key (rules 1 to 3)."""
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
