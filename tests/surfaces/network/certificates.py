"""An authority of the tests and what it issues, in files."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.peers.certificates import private_pem, signed

LASTS: Final = timedelta(minutes=-1), timedelta(days=800)  # also by the clock of a world


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
        self.certificate = signed(name, self._key, lasts=LASTS, ca=True, path_length=0)

    def write(self, path: Path) -> Path:
        """Its certificate, in a file."""
        path.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        return path

    def issue(self, folder: Path, file: str, *, name: str) -> Issued:
        """A leaf for this name."""
        key = ec.generate_private_key(ec.SECP256R1())
        by = self.certificate, self._key
        leaf = signed(name, key, by=by, lasts=LASTS, names=[x509.DNSName(name)])
        made = Issued(
            chain=folder / f"{file}.pem", key=folder / f"{file}.key", der=leaf.public_bytes(Encoding.DER)
        )
        made.chain.write_bytes(leaf.public_bytes(Encoding.PEM))
        made.key.touch(0o600)
        made.key.write_bytes(private_pem(key))
        return made


def client_context(trusted: Authority, own: Issued | None = None) -> ssl.SSLContext:
    """What a client connects with."""
    context = ssl.create_default_context(
        cadata=trusted.certificate.public_bytes(Encoding.PEM).decode("ascii")
    )
    if own is not None:
        context.load_cert_chain(own.chain, own.key)
    return context
