"""Public keys that tokens are checked with, read strictly from JSON Web Keys (RFC 7517).

1. A key says its algorithm, and is used with no other (RFC 8725bis §3.1): `ES256` on P-256, `Ed25519`
   (RFC 9864), or `EdDSA` with the curve Ed25519, the older name that many issuers still write.
2. Exactly the members `kty`, `crv`, `x` (and `y`), `kid`, `alg`, `use`: what isn't known isn't skipped.
   Anything private or secret is refused by name, whatever else is wrong.
3. Coordinates are of exact length, and a point that is good for a key (`curve`).
4. A `kid` is a plain word that is only ever compared: it opens no file, no row and no address.
5. A set has 1 to 16 keys whose `kid` differ.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.action import Limits, canonical, escape_text, parse_object
from taskbound.wire.jose.compact import decode_base64url, encode_base64url
from taskbound.wire.jose.curve import on_ed25519, on_p256
from taskbound.wire.jose.errors import JwkMembersError, JwkPointError, JwkPrivateError, JwkSetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue

__all__ = ["KID", "Algorithm", "Jwk", "parse_jwk", "parse_jwks"]

KID: Final = re.compile(r"[A-Za-z0-9._~:=@+-]{1,128}", re.ASCII)
"""What a `kid` may look like, in a key and in a header."""

_LIMITS: Final = Limits(size=65_536, depth=3, parts=64)
_MOST_KEYS: Final = 16
_SHOWN: Final = 64
_COORDINATE: Final = 32
_SECRET: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})


class Algorithm(Enum):
    """What a signature is made with; there are no others, and none with a secret that both sides know."""

    ES256 = "ES256"
    ED25519 = "Ed25519"
    EDDSA = "EdDSA"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    kty: str
    crv: str
    coordinates: tuple[str, ...]


_FORMS: Final[Mapping[Algorithm, _Form]] = {
    Algorithm.ES256: _Form(kty="EC", crv="P-256", coordinates=("x", "y")),
    Algorithm.ED25519: _Form(kty="OKP", crv="Ed25519", coordinates=("x",)),
    Algorithm.EDDSA: _Form(kty="OKP", crv="Ed25519", coordinates=("x",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Jwk:
    """A public key and the one algorithm that it is for."""

    kid: str
    algorithm: Algorithm
    x: bytes
    y: bytes = b""
    """Empty for Ed25519, whose key is one coordinate and a sign."""

    @property
    def members(self) -> dict[str, str]:
        """The key as the members of a JSON Web Key."""
        return {**self._required, "kid": self.kid, "alg": self.algorithm.value, "use": "sig"}

    @property
    def thumbprint(self) -> str:
        """The name that the key itself has, whatever its `kid` says (RFC 7638 §3)."""
        return encode_base64url(hashlib.sha256(canonical({**self._required})).digest())

    @property
    def _required(self) -> dict[str, str]:
        form = _FORMS[self.algorithm]
        named = zip(form.coordinates, (self.x, self.y), strict=False)
        return {"kty": form.kty, "crv": form.crv} | {name: encode_base64url(raw) for name, raw in named}


def parse_jwk(members: Mapping[str, JsonValue]) -> Jwk:
    """One public key.

    Raises:
        JwkPrivateError: It has a private member (rule 2).
        JwkMembersError: It has others than a key has, or other values (rules 1, 2, 4).
        JwkPointError: Its coordinates are no key (rule 3).
    """
    if _SECRET & members.keys() or members.get("kty") == "oct":
        raise JwkPrivateError("the key has private members; only public keys are read")  # 2
    algorithm = _algorithm(members.get("alg"))
    form = _FORMS[algorithm]
    wanted = {"kty": form.kty, "crv": form.crv, "alg": algorithm.value, "use": "sig"}
    for name, value in wanted.items():
        if members.get(name) != value:
            raise JwkMembersError(f"a key for {algorithm.value} has `{name}` `{value}`", where=name)
    known = {*wanted, *form.coordinates, "kid"}
    if strange := sorted(members.keys() - known):
        shown = escape_text(strange[0][:_SHOWN])
        raise JwkMembersError(f"a key for {algorithm.value} has no member `{shown}`", where=shown)  # 2
    kid = members.get("kid")
    if not isinstance(kid, str) or KID.fullmatch(kid) is None:
        raise JwkMembersError("`kid` is a word of 1 to 128 letters, digits and `._~:=@+-`", where="kid")  # 4
    x, *rest = (_coordinate(members.get(name), name) for name in form.coordinates)
    y = rest[0] if rest else b""
    if not (on_p256(x, y) if algorithm is Algorithm.ES256 else on_ed25519(x)):
        raise JwkPointError(f"the coordinates are no public key on {form.crv}", where="x")  # 3
    return Jwk(kid=kid, algorithm=algorithm, x=x, y=y)


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


def _algorithm(name: JsonValue) -> Algorithm:
    known = {one.value: one for one in Algorithm}
    if not isinstance(name, str) or name not in known:
        raise JwkMembersError(f"a key's `alg` is one of {', '.join(known)}", where="alg")
    return known[name]


def _coordinate(text: JsonValue, name: str) -> bytes:
    raw = decode_base64url(text) if isinstance(text, str) else None
    if raw is None or len(raw) != _COORDINATE:
        raise JwkMembersError(f"`{name}` is {_COORDINATE} bytes in base64url", where=name)
    return raw
