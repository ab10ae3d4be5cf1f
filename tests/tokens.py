"""Tokens for tests: keys made from a seed, and whatever one wants signed, also what no library signs."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from taskbound.wire.jose import Jwk, parse_jwk

__all__ = ["AUDIENCE", "CLAIMS", "ISSUER", "NOW", "P256_N", "Signer", "b64", "ed25519", "es256", "joined"]

P256_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
NOW = 1_800_000_000
ISSUER = "https://example.com/tickets"
AUDIENCE = "urn:taskbound:default"
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "OPS-17",
    "aud": AUDIENCE,
    "iat": NOW - 60,
    "exp": NOW + 3600,
    "jti": "b3f1",
}


def b64(raw: bytes) -> str:
    """The bytes as base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def joined(header: bytes, payload: bytes, signature: bytes) -> str:
    """A compact token of three runs of bytes."""
    return f"{b64(header)}.{b64(payload)}.{b64(signature)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A private key with the name and the algorithm that its tokens carry."""

    private: EllipticCurvePrivateKey | Ed25519PrivateKey
    kid: str
    alg: str

    @property
    def members(self) -> dict[str, Any]:
        """The public key as members of a JSON Web Key."""
        rest = {"kid": self.kid, "alg": self.alg, "use": "sig"}
        if isinstance(self.private, Ed25519PrivateKey):
            raw = self.private.public_key().public_bytes_raw()
            return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw), **rest}
        numbers = self.private.public_key().public_numbers()
        x, y = (b64(one.to_bytes(32)) for one in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y, **rest}

    @property
    def jwk(self) -> Jwk:
        """The public key, read."""
        return parse_jwk(self.members)

    def sign(self, message: bytes, *, high: bool = False) -> bytes:
        """A signature; of the two that ES256 has, the one with the lower or the higher `s`."""
        if isinstance(self.private, Ed25519PrivateKey):
            return self.private.sign(message)
        r, s = decode_dss_signature(self.private.sign(message, ECDSA(SHA256())))
        low = min(s, P256_N - s)
        return r.to_bytes(32) + (P256_N - low if high else low).to_bytes(32)

    def raw(self, header: bytes, payload: bytes, *, high: bool = False) -> str:
        """A token over these very bytes."""
        return joined(header, payload, self.sign(f"{b64(header)}.{b64(payload)}".encode(), high=high))

    def token(
        self, typ: str = "taskbound-evidence+jwt", *, header: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        """A token with these claims beside the usual ones; a claim that is `...` is left out."""
        said = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not ...}
        named = {"alg": self.alg, "kid": self.kid, "typ": typ, **(header or {})}
        head = {name: value for name, value in named.items() if value is not ...}
        return self.raw(json.dumps(head).encode(), json.dumps(said).encode())


def es256(kid: str = "tickets-1", seed: int = 7) -> Signer:
    """A key on P-256, always the same for a seed."""
    return Signer(private=derive_private_key(seed, SECP256R1()), kid=kid, alg="ES256")


def ed25519(kid: str = "tickets-2", seed: int = 7, alg: str = "Ed25519") -> Signer:
    """A key on Ed25519, always the same for a seed."""
    return Signer(private=Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32), kid=kid, alg=alg)
