"""Parses browser and passkey data (Web Authentication, level 3) strictly.

1. Sizes are limited before decoding; base64url re-encodes to itself.
2. Client data is one strict JSON object. Unknown members are allowed (§5.8.1.1), because browsers add some on
   purpose; those about frames and token binding are read.
3. Authenticator data is the fixed 37 bytes; a new key's id and public half follow, and nothing else.
4. A public key has the canonical form (CTAP2) of one of two algorithms, and is a point of its curve.
5. A stored *passkey*, and the *assertion* stored of each signature, is canonical JSON. Its origin is that of
   the page's server, never the browser's statement.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action import Limits, canonical, parse_object
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.identity.person_key import (
    SITE,
    ClientData,
    DeviceData,
    PasskeyAlgorithm,
    PasskeyUnreadableError,
)
from taskbound.wire.jose.compact import decode_base64url, encode_base64url
from taskbound.wire.jose.key import on_ed25519, on_p256

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue


MOST_CLIENT_DATA: Final = 2048
MOST_CREDENTIAL: Final = 1023
"""Bytes of a credential's id (§4)."""
_LEAST_CREDENTIAL: Final = 16
_MOST_DEVICE_DATA: Final = 1280
_MOST_SIGNATURE: Final = 128
_MOST_DOCUMENT: Final = 8192
_MOST_LABEL: Final = 64
_SAID: Final = re.compile(r"[!-~]{1,300}")
"""What may be repeated in a sentence: an origin as browsers write it is plain ASCII."""
_FIXED: Final = 37
_FLAT: Final = Limits(size=_MOST_DOCUMENT, depth=1, parts=1)
_OF_BROWSERS: Final = Limits(size=MOST_CLIENT_DATA, depth=4, parts=16)
_ES256: Final = (bytes.fromhex("a5010203262001215820"), bytes.fromhex("225820"))
_EDDSA: Final = bytes.fromhex("a4010103272006215820")
_COORDINATE: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Passkey:
    """What is stored of a passkey."""

    credential: bytes
    """What its device calls it."""
    algorithm: PasskeyAlgorithm
    point: bytes
    """ES256: x and y, 32 bytes each. EdDSA: the 32 bytes of RFC 8032."""
    copiable: bool

    @property
    def fingerprint(self) -> str:
        """Returns `SHA256:…` of the public half alone, so that a key is recognized under any id."""
        digest = sha256(cose_of(self.algorithm, self.point)).digest()
        return f"SHA256:{b64encode(digest).decode().rstrip('=')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshKey:
    """A device's statement about a new key."""

    credential: bytes
    cose: bytes
    """The public half, as the device wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A new passkey from a browser, as a person key's proposal holds it."""

    origin: str
    """Of the page that was served (rule 5)."""
    challenge: bytes
    """What the page asked with."""
    credential: bytes
    client_data: bytes
    device_data: bytes
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """A signature of a passkey."""

    origin: str
    """Of the page that was served (rule 5)."""
    credential: bytes
    client_data: bytes
    device_data: bytes
    signature: bytes


def challenge_of(statement: bytes) -> bytes:
    """Returns the challenge that a passkey signs for a statement."""
    return sha256(statement).digest()


def site_digest() -> bytes:
    """Returns the digest by which devices name our site."""
    return sha256(SITE.encode()).digest()


def cose_of(algorithm: PasskeyAlgorithm, point: bytes) -> bytes:
    """Returns the canonical form of a public half (rule 4)."""
    match algorithm:
        case PasskeyAlgorithm.ES256:
            return _ES256[0] + point[:_COORDINATE] + _ES256[1] + point[_COORDINATE:]
        case PasskeyAlgorithm.EDDSA:
            return _EDDSA + point


def parse_cose(cose: bytes) -> tuple[PasskeyAlgorithm, bytes] | None:
    """Returns algorithm and point of a canonical public half, or None (rule 4)."""
    head, between = _ES256
    second = len(head) + _COORDINATE + len(between)
    x, y = cose[len(head) : len(head) + _COORDINATE], cose[second:]
    if cose == head + x + between + y and (len(x), len(y)) == (_COORDINATE, _COORDINATE) and on_p256(x, y):
        return PasskeyAlgorithm.ES256, x + y
    point = cose[len(_EDDSA) :]
    if cose == _EDDSA + point and len(point) == _COORDINATE and on_ed25519(point):
        return PasskeyAlgorithm.EDDSA, point
    return None


def parse_client_data(raw: bytes) -> ClientData:
    """Parses a browser's client data; raises PasskeyUnreadableError (rule 2)."""
    found = _object(raw, _OF_BROWSERS, "the browser's data")
    origin, kind = found.get("origin"), found.get("type")
    if not isinstance(origin, str) or not isinstance(kind, str):
        raise PasskeyUnreadableError("the browser's data does not say who asked for what")
    if not (_SAID.fullmatch(origin) and _SAID.fullmatch(kind)):
        raise PasskeyUnreadableError("the browser's data says who asked in a way that no browser does")
    crossed = found.get("crossOrigin", False)
    if not isinstance(crossed, bool):
        raise PasskeyUnreadableError("the browser's data does not say whether it was in a frame")
    return ClientData(
        type=kind,
        challenge=_bytes(found, "challenge", 128),
        origin=origin,
        framed=crossed or "topOrigin" in found or "tokenBinding" in found,
    )


def parse_device_data(raw: bytes) -> DeviceData:
    """Parses a device's data; raises PasskeyUnreadableError (rule 3)."""
    if not _FIXED <= len(raw) <= _MOST_DEVICE_DATA:
        raise PasskeyUnreadableError(f"the device's data is {len(raw)} bytes")
    return DeviceData(
        site=raw[:32], flags=raw[32], counter=int.from_bytes(raw[33:_FIXED], "big"), rest=raw[_FIXED:]
    )


def parse_fresh_key(rest: bytes) -> FreshKey:
    """Parses a new key: 16 bytes of its model, a length, an id, the public half (rule 3).

    Raises PasskeyUnreadableError.
    """
    length = int.from_bytes(rest[16:18], "big")
    credential, cose = rest[18 : 18 + length], rest[18 + length :]
    if len(credential) != length or not _LEAST_CREDENTIAL <= length <= MOST_CREDENTIAL or not cose:
        raise PasskeyUnreadableError("the device's new key can't be read")
    return FreshKey(credential=credential, cose=cose)


def parse_passkey(raw: bytes) -> Passkey:
    """Parses a stored passkey; raises PasskeyUnreadableError."""
    found = _members(raw, {"algorithm", "copiable", "credential", "point"}, "the passkey")
    number, copiable, point = found["algorithm"], found["copiable"], _bytes(found, "point", 64)
    algorithm = next((one for one in PasskeyAlgorithm if one.value == number), None)
    if algorithm is None or not isinstance(copiable, bool) or parse_cose(cose_of(algorithm, point)) is None:
        raise PasskeyUnreadableError("the passkey can't be read")
    credential = _bytes(found, "credential", MOST_CREDENTIAL)
    return Passkey(credential=credential, algorithm=algorithm, point=point, copiable=copiable)


def render_passkey(passkey: Passkey) -> bytes:
    """Returns the stored form of a passkey (rule 5)."""
    return canonical(
        {
            "algorithm": passkey.algorithm.value,
            "copiable": passkey.copiable,
            "credential": encode_base64url(passkey.credential),
            "point": encode_base64url(passkey.point),
        }
    )


def parse_registration(raw: bytes) -> Registration:
    """Parses a proposed passkey; raises PasskeyUnreadableError."""
    names = {"challenge", "client", "credential", "device", "label", "origin"}
    found = _members(raw, names, "the passkey")
    return Registration(
        origin=_text(found, "origin", 64),
        challenge=_bytes(found, "challenge", 64),
        credential=_bytes(found, "credential", MOST_CREDENTIAL),
        client_data=_bytes(found, "client", MOST_CLIENT_DATA),
        device_data=_bytes(found, "device", _MOST_DEVICE_DATA),
        label=_label(found),
    )


def render_registration(registration: Registration) -> bytes:
    """Returns the stored form of a proposed passkey (rule 5)."""
    return canonical(
        {
            "challenge": encode_base64url(registration.challenge),
            "client": encode_base64url(registration.client_data),
            "credential": encode_base64url(registration.credential),
            "device": encode_base64url(registration.device_data),
            "label": registration.label,
            "origin": registration.origin,
        }
    )


def parse_assertion(raw: bytes) -> Assertion:
    """Parses a stored signature; raises PasskeyUnreadableError."""
    found = _members(raw, {"client", "credential", "device", "origin", "signature"}, "the signature")
    return Assertion(
        origin=_text(found, "origin", 64),
        credential=_bytes(found, "credential", MOST_CREDENTIAL),
        client_data=_bytes(found, "client", MOST_CLIENT_DATA),
        device_data=_bytes(found, "device", _MOST_DEVICE_DATA),
        signature=_bytes(found, "signature", _MOST_SIGNATURE),
    )


def render_assertion(assertion: Assertion) -> bytes:
    """Returns the stored form of a signature (rule 5)."""
    return canonical(
        {
            "client": encode_base64url(assertion.client_data),
            "credential": encode_base64url(assertion.credential),
            "device": encode_base64url(assertion.device_data),
            "origin": assertion.origin,
            "signature": encode_base64url(assertion.signature),
        }
    )


def _object(raw: bytes, limits: Limits, what: str) -> dict[str, JsonValue]:
    try:
        return parse_object(raw, limits=limits)
    except MalformedError as error:
        raise PasskeyUnreadableError(f"{what} can't be read: {error.message}") from error


def _members(raw: bytes, names: set[str], what: str) -> dict[str, JsonValue]:
    found = _object(raw, _FLAT, what)
    if set(found) != names or canonical(found) != raw:
        raise PasskeyUnreadableError(f"{what} can't be read")
    return found


def _text(found: dict[str, JsonValue], name: str, most: int) -> str:
    text = found[name]
    if not isinstance(text, str) or len(text) > most:
        raise PasskeyUnreadableError(f"`{name}` of the passkey can't be read")
    return text


def _label(found: dict[str, JsonValue]) -> str:
    text = _text(found, "label", _MOST_LABEL)
    if not text.isascii() or not text.isprintable():
        raise PasskeyUnreadableError("the passkey's label is more than 64 characters of ASCII")
    return text


def _bytes(found: dict[str, JsonValue], name: str, most: int) -> bytes:
    text = found.get(name)
    raw = decode_base64url(text) if isinstance(text, str) else None
    if raw is None or len(raw) > most:
        raise PasskeyUnreadableError(f"`{name}` of the passkey can't be read, or is too long")
    return raw
