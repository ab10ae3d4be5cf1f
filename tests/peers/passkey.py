"""A browser and its passkey beside the tests: what they write, each field to be wrong.

That they do it as real ones do is told by Chromium's own (`tests/deploy/test_browser.py`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from taskbound.wire.jose.compact import encode_base64url
from taskbound.wire.passkey import Assertion, Registration, render_assertion, render_registration

ORIGIN = "http://localhost:43210"
_PRESENT_AND_VERIFIED = 0x05
_NEW_KEY = 0x40


def number(value: int) -> bytes:
    """CBOR of a small whole number (RFC 8949 §3.1)."""
    major, size = (0x20, -1 - value) if value < 0 else (0, value)
    if size < 24:
        return bytes([major | size])
    if size < 256:
        return bytes([major | 24, size])
    return bytes([major | 25]) + size.to_bytes(2, "big")


def byte_string(raw: bytes) -> bytes:
    """CBOR of bytes."""
    if len(raw) < 24:
        return bytes([0x40 | len(raw)]) + raw
    if len(raw) < 256:
        return bytes([0x58, len(raw)]) + raw
    return bytes([0x59]) + len(raw).to_bytes(2, "big") + raw


@dataclass(frozen=True)
class Browser:
    """What a browser says of where it was asked, and for what."""

    origin: str = ORIGIN
    crossed: object = False
    more: dict[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    kind: str = ""
    challenge: bytes | None = None

    def data(self, kind: str, challenge: bytes) -> bytes:
        said = {
            "type": self.kind or kind,
            "challenge": encode_base64url(challenge if self.challenge is None else self.challenge),
            "origin": self.origin,
            "crossOrigin": self.crossed,
            **self.more,
        }
        said = {name: value for name, value in said.items() if name not in self.without}
        return json.dumps(said, separators=(",", ":")).encode()


@dataclass
class Passkeys:
    """A device with one passkey: it counts, and says whether it knew the person."""

    kind: str = "es256"
    site: str = "localhost"
    flags: int = _PRESENT_AND_VERIFIED
    counter: int = 0
    counts: bool = True
    credential: bytes = field(default_factory=lambda: sha256(b"credential").digest())
    model: bytes = bytes(16)
    private: Any = None

    def __post_init__(self) -> None:
        if self.private is None:
            own = (
                Ed25519PrivateKey.generate()
                if self.kind == "eddsa"
                else ec.generate_private_key(ec.SECP256R1())
            )
            self.private = own

    @property
    def point(self) -> bytes:
        public = self.private.public_key()
        if self.kind == "eddsa":
            return bytes(public.public_bytes(Encoding.Raw, PublicFormat.Raw))
        return bytes(public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:])

    @property
    def cose(self) -> bytes:
        """The public half as a device writes it (CTAP2's canonical CBOR)."""
        point = self.point
        if self.kind == "eddsa":
            parts = [(1, number(1)), (3, number(-8)), (-1, number(6)), (-2, byte_string(point))]
        else:
            parts = [(1, number(2)), (3, number(-7)), (-1, number(1))]
            parts += [(-2, byte_string(point[:32])), (-3, byte_string(point[32:]))]
        return bytes([0xA0 | len(parts)]) + b"".join(number(name) + value for name, value in parts)

    def data(self, *, fresh: bool = False, cose: bytes | None = None, after: bytes = b"") -> bytes:
        """The device's account of itself."""
        if self.counts and not fresh:
            self.counter += 1
        fixed = sha256(self.site.encode()).digest() + bytes([self.flags | (_NEW_KEY if fresh else 0)])
        fixed += self.counter.to_bytes(4, "big")
        if fresh:
            fixed += self.model + len(self.credential).to_bytes(2, "big") + self.credential
            fixed += self.cose if cose is None else cose
        return fixed + after

    def make(  # the fields of a registration, each to be wrong in a test
        self,
        challenge: bytes = b"c" * 32,
        browser: Browser = Browser(),
        *,
        label: str = "",
        data: bytes | None = None,
        credential: bytes | None = None,
        origin: str = ORIGIN,
    ) -> Registration:
        """What `navigator.credentials.create` gives."""
        device = self.data(fresh=True) if data is None else data
        return Registration(
            origin=origin,
            challenge=challenge,
            credential=self.credential if credential is None else credential,
            client_data=browser.data("webauthn.create", challenge),
            device_data=device,
            label=label,
        )

    def assertion(
        self,
        statement: bytes,
        browser: Browser = Browser(),
        *,
        origin: str = ORIGIN,
        after: bytes = b"",
    ) -> Assertion:
        """What `navigator.credentials.get` gives."""
        client = browser.data("webauthn.get", sha256(statement).digest())
        device = self.data(after=after)
        signed = device + sha256(client).digest()
        if self.kind == "eddsa":
            signature = self.private.sign(signed)
        else:
            signature = self.private.sign(signed, ec.ECDSA(hashes.SHA256()))
        return Assertion(
            origin=origin,
            credential=self.credential,
            client_data=client,
            device_data=device,
            signature=signature,
        )

    def sign(self, statement: bytes, browser: Browser = Browser(), **more: Any) -> bytes:
        return render_assertion(self.assertion(statement, browser, **more))

    def offered(self, challenge: bytes = b"c" * 32, browser: Browser = Browser(), **more: Any) -> bytes:
        return render_registration(self.make(challenge, browser, **more))

    def changed(self, **more: Any) -> Passkeys:
        """The same key, in a device that says something else."""
        return replace(self, **more)
