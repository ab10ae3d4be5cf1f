"""OpenSSH beside the tests: real keys and signatures by `ssh-keygen`, and devices that it would ask.

No machine that tests run on has a security key, and OpenSSH's software one stands in its own source tree.
So `Device` does what PROTOCOL.u2f says that a device does; that it does it right is told by
`ssh-keygen -Y verify`.
"""

from __future__ import annotations

import subprocess
from base64 import b64encode
from dataclasses import dataclass, field
from hashlib import sha256, sha512
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from pathlib import Path


NAMESPACE = "taskbound-approval"


def make_key(folder: Path, *, kind: str = "ed25519", passphrase: str = "", name: str = "key") -> Path:
    """A fresh key of `ssh-keygen`; the private half's file, beside which the `.pub` stands."""
    path = folder / name
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "ann@desk", "-f", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def sign(key: Path, statement: bytes, *, namespace: str = NAMESPACE, hashed: str = "sha512") -> bytes:
    """What `ssh-keygen -Y sign` makes of a statement."""
    command = ["ssh-keygen", "-Y", "sign", "-n", namespace, "-O", f"hashalg={hashed}", "-f", str(key)]
    return subprocess.run(command, input=statement, check=True, capture_output=True).stdout


def accepts(folder: Path, public_line: str, statement: bytes, signature: bytes) -> bool:
    """Whether `ssh-keygen -Y verify` takes the signature."""
    allowed, file = folder / "allowed", folder / "signature"
    allowed.write_text(f"ann {public_line}\n")
    file.write_bytes(signature)
    command = [
        "ssh-keygen",
        "-Y",
        "verify",
        "-f",
        str(allowed),
        "-I",
        "ann",
        "-n",
        NAMESPACE,
        "-s",
        str(file),
    ]
    return subprocess.run(command, input=statement, check=False, capture_output=True).returncode == 0


def string(data: bytes | str) -> bytes:
    """RFC 4251 §5."""
    data = data.encode() if isinstance(data, str) else data
    return len(data).to_bytes(4, "big") + data


def mpint(number: int) -> bytes:
    """RFC 4251 §5, of a number that is not negative."""
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big")) if number else string(b"")


def armor(blob: bytes, *, width: int = 70) -> bytes:
    """As `ssh-keygen` writes it."""
    whole = b64encode(blob).decode()
    lines = "".join(f"{whole[at : at + width]}\n" for at in range(0, len(whole), width))
    return f"-----BEGIN SSH SIGNATURE-----\n{lines}-----END SSH SIGNATURE-----\n".encode()


def sshsig(  # noqa: PLR0913  # the fields of PROTOCOL.sshsig, each to be wrong in a test
    public: bytes,
    inner: bytes,
    *,
    magic: bytes = b"SSHSIG",
    version: int = 1,
    namespace: str = NAMESPACE,
    reserved: bytes = b"",
    hashed: str = "sha512",
    after: bytes = b"",
) -> bytes:
    """A signature's envelope, armored."""
    parts = (public, namespace, reserved, hashed, inner)
    return armor(magic + version.to_bytes(4, "big") + b"".join([string(one) for one in parts]) + after)


def to_sign(statement: bytes, *, namespace: str = NAMESPACE) -> bytes:
    """What the key of an SSHSIG signs."""
    return b"SSHSIG" + string(namespace) + string(b"") + string("sha512") + string(sha512(statement).digest())


@dataclass
class Device:
    """A security key: it counts, and says whether it was touched."""

    kind: str = "ed25519"
    application: str = "ssh:"
    flags: int = 0x01
    counter: int = 0
    _ed25519: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    _ecdsa: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @property
    def algorithm(self) -> str:
        return f"sk-{'ssh-ed25519' if self.kind == 'ed25519' else 'ecdsa-sha2-nistp256'}@openssh.com"

    @property
    def public(self) -> bytes:
        if self.kind == "ed25519":
            point = string(self._ed25519.public_key().public_bytes_raw())
        else:
            form = (Encoding.X962, PublicFormat.UncompressedPoint)
            point = string("nistp256") + string(self._ecdsa.public_key().public_bytes(*form))
        return string(self.algorithm) + point + string(self.application)

    @property
    def line(self) -> str:
        return f"{self.algorithm} {b64encode(self.public).decode()} ann@token"

    def raw(self, statement: bytes, *, application: str | None = None) -> bytes:
        """The signature blob: signature, flags, counter."""
        self.counter += 1
        said = bytes([self.flags]) + self.counter.to_bytes(4, "big")
        made_for = self.application if application is None else application
        whole = sha256(made_for.encode()).digest() + said + sha256(to_sign(statement)).digest()
        if self.kind == "ed25519":
            body = self._ed25519.sign(whole)
        else:
            r, s = decode_dss_signature(self._ecdsa.sign(whole, ec.ECDSA(hashes.SHA256())))
            body = mpint(r) + mpint(s)
        return string(self.algorithm) + string(body) + said

    def sign(self, statement: bytes) -> bytes:
        return sshsig(self.public, self.raw(statement))
