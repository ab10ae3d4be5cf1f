"""Certificates for tests, made by `cryptography`: an authority, and what it issues."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, in files."""

    chain: Path
    key: Path
    der: bytes


class Authority:
    """A root that issues leaves."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(self._name, self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.certificate = builder.sign(self._key, hashes.SHA256())

    def write(self, path: Path) -> Path:
        """Its certificate, in a file."""
        path.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        return path

    def issue(self, folder: Path, file: str, *, name: str) -> Issued:
        """A leaf for this name."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self._name, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        leaf = builder.sign(self._key, hashes.SHA256())
        made = Issued(
            chain=folder / f"{file}.pem", key=folder / f"{file}.key", der=leaf.public_bytes(Encoding.DER)
        )
        made.chain.write_bytes(leaf.public_bytes(Encoding.PEM))
        made.key.touch(0o600)
        made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return made


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=800))  # also by the clock of a world
    )


def client_context(trusted: Authority, own: Issued | None = None) -> ssl.SSLContext:
    """What a client connects with."""
    context = ssl.create_default_context(
        cadata=trusted.certificate.public_bytes(Encoding.PEM).decode("ascii")
    )
    if own is not None:
        context.load_cert_chain(own.chain, own.key)
    return context
