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
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Domain", "Issued", "jwk", "usage"]

NOW = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
"""1800000000 in seconds."""


def usage(**on: bool) -> x509.KeyUsage:
    """A key usage with these bits and no others."""
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip  # a list of words reads better as words
    return x509.KeyUsage(**{name: on.get(name, False) for name in names})


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
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ) + b"".join(
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
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else [])
        own: dict[type[x509.ExtensionType], tuple[x509.ExtensionType, bool]] = {}
        spiffe = [x509.UniformResourceIdentifier(one) for one in uris]
        own[x509.BasicConstraints] = (x509.BasicConstraints(ca, path_length), True)
        bits = {"key_cert_sign": True, "crl_sign": True} if ca else {"digital_signature": True}
        own[x509.KeyUsage] = (usage(**bits), True)
        if not ca:
            purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            own[x509.ExtendedKeyUsage] = (x509.ExtendedKeyUsage(purposes), False)
        if spiffe or names:
            critical = not subject if san_critical is None else san_critical
            own[x509.SubjectAlternativeName] = (
                x509.SubjectAlternativeName([*spiffe, *names]),
                critical,
            )
        own |= {type(one): (one, critical) for one, critical in extensions}
        begin = self.now + begins
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name if by is None else by.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(days=days))
        )
        for kind, (one, critical) in own.items():
            if kind not in without:
                made = made.add_extension(one, critical)
        signed = made.sign(key if by is None else by.key, hashes.SHA256())
        above = () if by is None or by.root else (by.certificate, *by.between)
        return Issued(certificate=signed, key=key, between=above, root=by is None)

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

    def web(self, host: str) -> Issued:
        """A certificate as web servers have, for a host or an address."""
        try:
            name: x509.GeneralName = x509.IPAddress(ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        return self.issue(by=self.authority, names=(name,))

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
