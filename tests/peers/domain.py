"""A trust domain of the tests: an authority with a real key that issues what a test asks for, good or bad.

domain = Domain("corp.example")
domain.svid("/agents/planner").chain, domain.bundle(), domain.token("/agents/planner", audience="us")
"""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.peers.certificates import host_name, private_pem, signed

NOW = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
"""1800000000 in seconds."""


def base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwk(key: ec.EllipticCurvePrivateKey, **more: Any) -> dict[str, Any]:
    """The public half of a key."""
    numbers = key.public_key().public_numbers()
    point = {name: base64url(getattr(numbers, name).to_bytes(32)) for name in ("x", "y")}
    return {"kty": "EC", "crv": "P-256", **point, **more}


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate, its key, and what stands between it and the authority."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    between: tuple[x509.Certificate, ...] = ()
    root: bool = False

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def chain(self) -> list[bytes]:
        """The certificate first, in DER."""
        return [self.der, *(one.public_bytes(serialization.Encoding.DER) for one in self.between)]

    def pem(self) -> bytes:
        """Key and chain, as a TLS server loads them."""
        return private_pem(self.key) + b"".join(
            one.public_bytes(serialization.Encoding.PEM) for one in (self.certificate, *self.between)
        )


class Domain:
    """One trust domain."""

    def __init__(self, name: str = "corp.example", *, now: datetime = NOW) -> None:
        """Make its keys."""
        self.name = name
        self.now = now
        self.kid = f"jwt-{name}"
        self.jwt_key = ec.generate_private_key(ec.SECP256R1())
        self.authority = self.root()
        self.sequence = 1

    def root(self, **more: Any) -> Issued:
        """A further authority, signed by itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        given: dict[str, Any] = {"subject": "root", "uris": (f"spiffe://{self.name}",), "days": 30}
        return self.issue(by=None, key=key, ca=True, **{**given, **more})

    def intermediate(self, by: Issued | None = None, **more: Any) -> Issued:
        """An authority below another."""
        by = by or self.authority
        return self.issue(**{"by": by, "subject": "between", "ca": True, "uris": (), **more})

    def svid(self, path: str = "/agents/planner", *, by: Issued | None = None, **more: Any) -> Issued:
        """A workload's certificate."""
        return self.issue(by=by or self.authority, **{"uris": (f"spiffe://{self.name}{path}",), **more})

    def issue(  # noqa: PLR0913 -- each is something that a test makes wrong
        self,
        *,
        by: Issued | None,
        key: ec.EllipticCurvePrivateKey | None = None,
        subject: str = "workload",
        uris: Sequence[str] = (),
        names: Sequence[x509.GeneralName] = (),
        ca: bool = False,
        days: float = 1 / 24,
        begins: timedelta = timedelta(minutes=-1),
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
        without: Sequence[type[x509.ExtensionType]] = (),
        path_length: int | None = None,
        san_critical: bool | None = None,
    ) -> Issued:
        """A certificate; `by` nobody is by itself, `extensions` take the place of those of their kind."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        san = [*(x509.UniformResourceIdentifier(one) for one in uris), *names]
        if san_critical is not None:
            extensions = ((x509.SubjectAlternativeName(san), san_critical), *extensions)
        made = signed(
            subject,
            key,
            by=None if by is None else (by.certificate, by.key),
            now=self.now,
            lasts=(begins, begins + timedelta(days=days)),
            names=san,
            ca=ca,
            path_length=path_length,
            extensions=extensions,
            without=without,
        )
        above = () if by is None or by.root else (by.certificate, *by.between)
        return Issued(certificate=made, key=key, between=above, root=by is None)

    def bundle(self, *roots: Issued, **more: Any) -> bytes:
        """Its bundle, with these authorities or its own."""
        certificates = [one.der for one in roots or (self.authority,)]
        keys: list[dict[str, Any]] = [
            {**jwk(self.authority.key), "use": "x509-svid", "x5c": [b64encode(one).decode()]}
            for one in certificates
        ]
        keys.append(jwk(self.jwt_key, use="jwt-svid", kid=self.kid))
        value = {"keys": keys, "spiffe_sequence": self.sequence, "spiffe_refresh_hint": 60, **more}
        return json.dumps({name: one for name, one in value.items() if one is not None}).encode()

    def web(self, host: str, *, by: Issued | None = None) -> Issued:
        """A certificate as web servers have, for a host or an address."""
        return self.issue(by=by or self.authority, names=(host_name(host),))

    def token(
        self,
        path: str = "/agents/planner",
        *,
        key: ec.EllipticCurvePrivateKey | None = None,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A JWT-SVID; a claim or a member that is None is left out."""
        now = int(self.now.timestamp())
        said = {
            "sub": f"spiffe://{self.name}{path}",
            "aud": ["https://taskbound.example"],
            "exp": now + 120,
            "iat": now,
            **claims,
        }
        top = {"alg": "ES256", "kid": self.kid, "typ": "JWT", **(header or {})}
        parts = [
            base64url(json.dumps({name: one for name, one in each.items() if one is not None}).encode())
            for each in (top, said)
        ]
        signed = ".".join(parts)
        r, s = decode_dss_signature((key or self.jwt_key).sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{base64url(r.to_bytes(32) + s.to_bytes(32))}"
