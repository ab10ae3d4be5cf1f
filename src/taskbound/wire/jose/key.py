"""Public keys that tokens are checked with, read strictly from JSON Web Keys (RFC 7517).

1. A key says its algorithm, and is used with no other (RFC 8725bis §3.1): `ES256` on P-256, `Ed25519`
   (RFC 9864), or `EdDSA` with the curve Ed25519, the older name that many issuers still write.
2. Exactly the members `kty`, `crv`, `x` (and `y`), `kid`, `alg`, `use`: what isn't known isn't skipped.
   Anything private or secret is refused by name, whatever else is wrong.
3. Coordinates are of exact length, and a point that is good for a key (`curve`).
4. A `kid` is a plain word that is only ever compared: it opens no file, no row and no address.
5. A set has 1 to 16 keys whose `kid` differ.

This is how keys are read that are configured or registered here; those that an issuer publishes are read in
`foreign`.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from taskbound.core.action import Limits, canonical, escape_text, parse_object
from taskbound.core.dataclass import dataclass
from taskbound.wire.jose.algorithm import FORMS, OURS, Algorithm
from taskbound.wire.jose.compact import decode_base64url, encode_base64url
from taskbound.wire.jose.curve import is_rsa, on_curve, on_ed25519
from taskbound.wire.jose.errors import JwkMembersError, JwkPointError, JwkPrivateError, JwkSetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue


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
    """A public key and the one algorithm that it is for."""

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
        """The key as the members of a JSON Web Key."""
        named = {"kid": self.kid} if self.kid else {}
        return {**self._required, **named, "alg": self.algorithm.value, "use": "sig"}

    @property
    def thumbprint(self) -> str:
        """The name that the key itself has, whatever its `kid` says (RFC 7638 §3)."""
        return encode_base64url(hashlib.sha256(canonical({**self._required})).digest())

    @property
    def _required(self) -> dict[str, str]:
        form = FORMS[self.algorithm]
        raw = {"x": self.x, "y": self.y, "n": self.modulus, "e": self.exponent}
        numbers = {name: encode_base64url(raw[name]) for name in form.numbers}
        return {"kty": form.kty, **({"crv": form.crv} if form.crv else {}), **numbers}


def es256_jwk(x: bytes, y: bytes) -> Jwk:
    """The key for ES256 with these coordinates, 32 bytes each, named after itself: `kid` is its thumbprint.

    Raises:
        JwkPointError: They are no key (rule 3).
    """
    if not (len(x) == len(y) == FORMS[Algorithm.ES256].size and on_curve("P-256", x, y)):
        raise JwkPointError("the numbers are no public key on P-256", where="x")
    nameless = Jwk(kid="", algorithm=Algorithm.ES256, x=x, y=y)
    return Jwk(kid=nameless.thumbprint, algorithm=Algorithm.ES256, x=x, y=y)


def parse_jwk(members: Mapping[str, JsonValue]) -> Jwk:
    """One public key.

    Raises:
        JwkPrivateError: It has a private member (rule 2).
        JwkMembersError: It has others than a key has, or other values (rules 1, 2, 4).
        JwkPointError: Its coordinates are no key (rule 3).
    """
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
    """The keys of a document: one key, or a set of them (rule 5; RFC 7517 §5).

    Raises:
        JwkSetError: It is a set that is empty, too large, or whose keys can't be told apart.
        JwkPrivateError: As `parse_jwk`.
        JwkMembersError: As `parse_jwk`.
        JwkPointError: As `parse_jwk`.
        MalformedError: It is no JSON object (`core.action`).
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
    """Go on only with a key that has nothing private (rule 2).

    Raises:
        JwkPrivateError: It has.
    """
    if _SECRET & members.keys() or members.get("kty") == "oct":
        raise JwkPrivateError("the key has private members; only public keys are read")


def read_numbers(members: Mapping[str, JsonValue], algorithm: Algorithm, *, kid: str) -> Jwk:
    """The key whose numbers these members hold (rule 3).

    Raises:
        JwkMembersError: One is missing, or not written as it is.
        JwkPointError: They are no key.
    """
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
