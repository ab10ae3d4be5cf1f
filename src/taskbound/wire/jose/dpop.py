"""Verifies DPoP proofs (RFC 9449), and normalizes the URIs that they name.

Of `dpop`:
1. There is one proof, of at most 8,192 characters.
2. It is a token in compact form (`compact`).
3. It has `jti`, `htm`, `htu` and `iat`, each in its form; further claims are ignored.
4. `typ` is `dpop+jwt`. The header has exactly `alg`, `jwk` and `typ`.
5. `alg` is ES256.
6. The signature is its own key's. Both ES256 spellings are accepted, because libraries write either: replay
   is detected by key and `jti`, never by the text.
7. `jwk` has nothing private.
8. `htm` is exactly the method of the request.
9. `htu` is the request's address, both normalized (`uri`), without query and fragment. The address is our
   configured one, never one that the request states.
10. `nonce` is the one that was issued, if one was.
11. `iat` lies at most 60 seconds behind and 30 ahead of now.
12. With an access token, `ath` is its digest and the key the one to which it is bound. Without one there is
    no `ath`, so a proof made for a token is valid for nothing else. Replay is prevented by a claim in the
    store of `jkt` and `jti`, kept until `DpopProof.until` (§11.1). A `jti` of a key is used once for all
    addresses, stricter than the RFC.
Of `uri` (RFC 3986), in order:
1. At most 2,048 characters, `http` or `https`, a host, no user, no raw character outside of URIs; others are
   refused.
2. Query and fragment are dropped (RFC 9449 §4.3, check 9).
3. Scheme and host in lower case, `%2f` as `%2F` (§6.2.2.1), no needless escape (§6.2.2.2), then no `.` or
   `..` in the path (§6.2.2.3, §5.2.4).
4. No default or empty port, no empty path (§6.2.3).
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from taskbound.core.action import Limits, escape_text, parse_object
from taskbound.core.clock import Instant, seconds
from taskbound.core.dataclass import dataclass
from taskbound.wire.jose.claims import parse_forms
from taskbound.wire.jose.compact import encode_base64url, split_compact
from taskbound.wire.jose.errors import (
    BadUriError,
    DpopCountError,
    DpopKeyError,
    DpopMethodError,
    DpopNonceError,
    DpopTokenError,
    DpopUriError,
    DpopWindowError,
    JwkMembersError,
    TokenAlgorithmError,
    TokenHeaderError,
    TokenKindError,
)
from taskbound.wire.jose.gate import require_signature
from taskbound.wire.jose.key import Algorithm, es256_jwk, read_numbers, require_public
from taskbound.wire.jose.kinds import ClaimForm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.action import JsonValue
    from taskbound.wire.jose.gate import SignatureCheck
    from taskbound.wire.jose.key import Jwk


_LONGEST: Final = 2_048
_URI: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,255})(?::(?P<port>(?:[1-9][0-9]{0,4})?))?"
    r"(?P<path>(?:/[^?#]*)?)(?:\?[^#]*)?(?:#.*)?",
    re.ASCII | re.IGNORECASE,
)
_RAW: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?#\[\]-]|%[0-9A-Fa-f]{2})+", re.ASCII)
_PATH: Final = re.compile(r"[^?#\[\]]*", re.ASCII)
_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}", re.ASCII)
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]", re.ASCII)
_PORTS: Final = {"http": "80", "https": "443"}
_LAST_PORT: Final = 65_535
_KEPT: Final = 256
"""Texts whose spelling is remembered: a client asks the same addresses again and again."""


@lru_cache(maxsize=_KEPT)
def normalize_uri(text: str) -> str:
    """Returns the normalized URI without query and fragment; raises BadUriError (rule 1)."""
    found = _URI.fullmatch(text) if len(text) <= _LONGEST and _RAW.fullmatch(text) else None
    if found is None or _PATH.fullmatch(found["path"]) is None:
        raise BadUriError("it is no absolute URI of `https` or `http`")  # 1
    scheme, port = found["scheme"].lower(), found["port"] or ""  # 3
    if port and int(port) > _LAST_PORT:
        raise BadUriError("its port is not a port number")  # 1
    shown = "" if port in ("", _PORTS[scheme]) else f":{port}"  # 4
    path = _without_dots(_ESCAPE.sub(_unescaped, found["path"])) or "/"  # 3, 4
    return f"{scheme}://{found['host'].lower()}{shown}{path}"


def _unescaped(escape: re.Match[str]) -> str:
    character = chr(int(escape[0][1:], 16))
    return character if _UNRESERVED.fullmatch(character) else escape[0].upper()


def _without_dots(path: str) -> str:
    """RFC 3986 §5.2.4."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for at, segment in enumerate(segments):
        last = at == len(segments) - 1
        if segment == ".." and kept:
            kept.pop()
        if segment not in (".", ".."):
            kept.append(segment)
        elif last:
            kept.append("")
    return "".join(f"/{one}" for one in kept)


DPOP_TYP: Final = "dpop+jwt"
DPOP_ALGORITHMS: Final = ("ES256",)
"""What metadata names (`dpop_signing_alg_values_supported`), and challenges (`algs`)."""
DPOP_AHEAD: Final = seconds(30)
"""How far a client's clock may be ahead of ours (check 11)."""
DPOP_BEHIND: Final = seconds(60)
"""How old a proof may be, with its way and a clock that is behind (check 11)."""

_SIZE: Final = 8_192
_HEADER_LIMITS: Final = Limits(size=1_024, depth=2, parts=2)
_LIMITS: Final = Limits(size=6_144, depth=4, parts=32)
_HEADER: Final = frozenset({"alg", "jwk", "typ"})
_KEY: Final = frozenset({"kty", "crv", "x", "y"})
_KEY_TOO: Final = frozenset({"alg", "use", "kid"})
_REQUIRED: Final[Mapping[str, ClaimForm]] = {
    "jti": ClaimForm.TEXT,
    "htm": ClaimForm.TEXT,
    "htu": ClaimForm.URI,
    "iat": ClaimForm.TIME,
}
_OPTIONAL: Final[Mapping[str, ClaimForm]] = {"ath": ClaimForm.TEXT, "nonce": ClaimForm.TEXT}
_SHOWN: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundToken:
    """An access token shown with the proof, verified before; no repr has it."""

    digest: str
    """Its `ath` (`token_hash`)."""
    jkt: str
    """The thumbprint of the key that it is bound to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DpopRequest:
    """The request that a proof must match."""

    method: str
    uri: str
    """Where it went, by our own configuration (check 9)."""
    token: BoundToken | None = None
    """The access token that it carried."""
    nonce: str = ""
    """The nonce that was given out and has to come back; empty where none was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DpopProof:
    """A valid proof: the sender of the request has this key. Replay is checked separately."""

    jkt: str
    """The key's thumbprint (RFC 7638)."""
    id: str
    """Its `jti`: used once for each key."""
    method: str
    uri: str
    """`htu` in its one spelling."""
    issued: Instant

    @property
    def until(self) -> Instant:
        """Returns until when its use is remembered: its window plus clock skew (I-41)."""
        return Instant(self.issued + DPOP_BEHIND + DPOP_AHEAD)


def read_dpop(
    proofs: Sequence[str], *, request: DpopRequest, check: SignatureCheck, now: Instant
) -> DpopProof:
    """Returns the one valid proof among the values of the header `DPoP`.

    Raises DpopCountError (check 1), MalformedError (checks 1 to 7), TokenUnprovenError (check 6),
    DpopMethodError, DpopUriError, DpopNonceError, DpopWindowError (checks 8 to 11), DpopTokenError or
    DpopKeyError (check 12).
    """
    if len(proofs) != 1:
        raise DpopCountError(f"the request has {len(proofs)} DPoP proofs, not one")  # 1
    compact = split_compact(proofs[0], size=_SIZE)  # 1, 2
    key = _parse_header(compact.header)  # 4, 5, 7
    claims = parse_forms(  # 3
        compact.payload,
        required=_REQUIRED,
        optional=_OPTIONAL,
        never=frozenset(),
        limits=_LIMITS,
        closed=False,
    )
    require_signature(compact, key=key, check=check, lower_s=False)  # 6
    proof = DpopProof(
        jkt=key.kid,  # which is its thumbprint (`es256_jwk`)
        id=_text(claims["jti"]),
        method=_text(claims["htm"]),
        uri=_uri(_text(claims["htu"])),
        issued=_instant(claims["iat"]),
    )
    _require_of(proof, request)  # 8, 9
    if request.nonce and claims.get("nonce") != request.nonce:
        raise DpopNonceError("the proof hasn't the nonce that was given out", where="nonce")  # 10
    if not now - DPOP_BEHIND <= proof.issued <= now + DPOP_AHEAD:
        raise DpopWindowError("the proof was not made just now", where="iat")  # 11
    _require_token(proof, claims.get("ath"), request.token)  # 12
    return proof


def token_hash(token: str) -> str:
    """Returns the `ath` of an access token (RFC 9449 §4.2): the SHA-256 of its characters."""
    return encode_base64url(hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest())


@lru_cache(maxsize=1024)
def _parse_header(raw: bytes) -> Jwk:
    """Cached, because all proofs of a client begin with the same bytes."""
    members = parse_object(raw, limits=_HEADER_LIMITS)
    if strange := sorted(members.keys() - _HEADER):
        shown = escape_text(strange[0][:_SHOWN])
        raise TokenHeaderError(f"the header of a proof has no member `{shown}`", where=shown)  # 4
    said = members.get("jwk")
    if members.keys() != _HEADER or not isinstance(said, dict):
        raise TokenHeaderError("the header of a proof has `alg`, `typ`, and `jwk`, an object")  # 4
    if members["typ"] != DPOP_TYP:
        raise TokenKindError(f"the proof's `typ` is not `{DPOP_TYP}`", where="typ")  # 4
    if members["alg"] not in DPOP_ALGORITHMS:
        raise TokenAlgorithmError(f"a proof is signed with {', '.join(DPOP_ALGORITHMS)}", where="alg")  # 5
    require_public(said)  # 7
    return _parse_key(said)


def _parse_key(members: Mapping[str, JsonValue]) -> Jwk:
    wanted: dict[str, JsonValue] = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig"}
    for name, value in wanted.items():
        if (name in _KEY or name in members) and members.get(name) != value:
            raise JwkMembersError(f"the key of a proof has `{name}` `{value}`", where=name)
    if strange := sorted(members.keys() - _KEY - _KEY_TOO):
        shown = escape_text(strange[0][:_SHOWN])
        raise JwkMembersError(f"the key of a proof has no member `{shown}`", where=shown)
    key = read_numbers(members, Algorithm.ES256, kid="")
    return es256_jwk(key.x, key.y)


def _require_of(proof: DpopProof, request: DpopRequest) -> None:
    if proof.method != request.method:
        raise DpopMethodError("the proof is for another method than the request's", where="htm")  # 8
    if proof.uri != normalize_uri(request.uri):
        raise DpopUriError("the proof is for another address than the request's", where="htu")  # 9


def _require_token(proof: DpopProof, said: JsonValue, token: BoundToken | None) -> None:
    if said != (None if token is None else token.digest):
        raise DpopTokenError("the proof is not for the access token of the request", where="ath")  # 12
    if token is not None and proof.jkt != token.jkt:
        raise DpopKeyError("the access token is bound to another key than the proof's", where="jwk")  # 12


def _uri(text: str) -> str:
    try:
        return normalize_uri(text)
    except BadUriError as error:
        raise BadUriError("`htu` is no absolute URI of `https` or `http`", where="htu") from error


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""


def _instant(value: JsonValue) -> Instant:
    return Instant(seconds(value)) if isinstance(value, int) else Instant(0)
