"""Tokens for tests: keys made from a seed, and whatever one wants signed, also what no library signs."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePrivateKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

from taskbound.wire.jose import Jwk, parse_foreign_jwks, parse_jwk
from taskbound.wire.jose.key import ORDERS

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
_CURVES = {"ES256": ("P-256", 32), "ES384": ("P-384", 48), "ES512": ("P-521", 66)}
_HASHES: dict[str, SHA256 | SHA384 | SHA512] = {"256": SHA256(), "384": SHA384(), "512": SHA512()}


def b64(raw: bytes) -> str:
    """The bytes as base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def joined(header: bytes, payload: bytes, signature: bytes) -> str:
    """A compact token of three runs of bytes."""
    return f"{b64(header)}.{b64(payload)}.{b64(signature)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A private key with the name and the algorithm that its tokens carry."""

    private: EllipticCurvePrivateKey | Ed25519PrivateKey | RSAPrivateKey
    kid: str
    alg: str

    @property
    def numbers(self) -> dict[str, Any]:
        """The public key as the members that its thumbprint is made of."""
        if isinstance(self.private, Ed25519PrivateKey):
            return {"kty": "OKP", "crv": "Ed25519", "x": b64(self.private.public_key().public_bytes_raw())}
        if isinstance(self.private, RSAPrivateKey):
            public = self.private.public_key().public_numbers()
            return {"kty": "RSA", "n": _natural(public.n), "e": _natural(public.e)}
        crv, size = _CURVES[self.alg]
        point = self.private.public_key().public_numbers()
        return {"kty": "EC", "crv": crv, "x": b64(point.x.to_bytes(size)), "y": b64(point.y.to_bytes(size))}

    @property
    def members(self) -> dict[str, Any]:
        """The public key as members of a JSON Web Key."""
        return {**self.numbers, "kid": self.kid, "alg": self.alg, "use": "sig"}

    @property
    def jwk(self) -> Jwk:
        """The public key, read: as one of ours where it can be one."""
        if self.alg in {"ES256", "Ed25519", "EdDSA"}:
            return parse_jwk(self.members)
        (key,) = parse_foreign_jwks(json.dumps({"keys": [self.members]}).encode())
        return key

    def sign(self, message: bytes, *, high: bool = False) -> bytes:
        """A signature; of the two that ECDSA has, the one with the lower or the higher `s`."""
        if isinstance(self.private, Ed25519PrivateKey):
            return self.private.sign(message)
        hashed = _HASHES[self.alg[2:]]
        if isinstance(self.private, RSAPrivateKey):
            pss = PSS(mgf=MGF1(hashed), salt_length=hashed.digest_size)
            return self.private.sign(message, pss if self.alg.startswith("PS") else PKCS1v15(), hashed)
        crv, size = _CURVES[self.alg]
        r, s = decode_dss_signature(self.private.sign(message, ECDSA(hashed)))
        low = min(s, ORDERS[crv] - s)
        return r.to_bytes(size) + (ORDERS[crv] - low if high else low).to_bytes(size)

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


def ecdsa(kid: str = "issuer-1", seed: int = 7, alg: str = "ES384") -> Signer:
    """A key on a larger curve, always the same for a seed."""
    curve = SECP384R1() if alg == "ES384" else SECP521R1()
    return Signer(private=derive_private_key(seed, curve), kid=kid, alg=alg)


def rsa(kid: str = "issuer-1", alg: str = "RS256", bits: int = 2_048) -> Signer:
    """A key of RSA, the same for all tests of a run."""
    return Signer(private=_rsa(bits), kid=kid, alg=alg)


@cache
def _rsa(bits: int) -> RSAPrivateKey:
    return generate_private_key(65_537, bits)


def _natural(number: int) -> str:
    return b64(number.to_bytes((number.bit_length() + 7) // 8))
