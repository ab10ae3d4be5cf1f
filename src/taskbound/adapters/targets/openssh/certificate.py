"""Certificates for logging in, and the keys that come with an admin access (PROTOCOL.certkeys).

1. Each certificate is for a key pair of Ed25519 that was made for it, and is kept by nobody here.
2. It begins a minute before it is made, as clocks differ, and is over at the second that was ordered.
3. It has the principals that are declared, and never none; its key id is the credential's name, and so is its
   serial, as far as 64 bits go.
4. What it may do is what the kind says: extensions are what is allowed, and without any there are none.
5. A CA is Ed25519, ECDSA on the three curves of NIST, or RSA of 2048 bits at least, which signs with SHA-512.
6. No error says anything of a key but which of the two it is, and in what way it is none.
"""

from __future__ import annotations

from base64 import b64encode
from binascii import a2b_base64
from dataclasses import field
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificateBuilder,
    SSHCertificateType,
    load_ssh_private_key,
)

from taskbound.core.dataclass import dataclass
from taskbound.core.target import BadAdminAccessError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.serialization import SSHCertPublicKeyTypes


EARLY: Final = 60
"""Seconds that a certificate is valid before it is made (rule 2)."""
_Key: TypeAlias = Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})
_LEAST_RSA: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What one certificate says."""

    name: str
    """The credential's name in the target (rule 3)."""
    principals: Sequence[str]
    ends: int
    """Seconds since 1970 at which it is over."""
    command: str = ""
    """The one line that may run; empty for any."""
    source: Sequence[str] = ()
    """Networks; none for anywhere."""
    allows: Sequence[str] = ()
    """Of `core.target.openssh.ALLOWED` (rule 4)."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A key pair that was made for one certificate (rule 1)."""

    private: str = field(repr=False)
    """As OpenSSH writes one, without a passphrase."""
    public: SSHCertPublicKeyTypes = field(repr=False)


def make_pair() -> Pair:
    """A fresh one."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return Pair(private.decode(), key.public_key())


class Authority:
    """A CA that signs certificates."""

    def __init__(self, private_key: str) -> None:
        """Read its key.

        Raises:
            BadAdminAccessError: It is none that rule 5 names.
        """
        self._key = _read("the CA's key", private_key)

    @property
    def mark(self) -> str:
        """The fingerprint of its public key, as OpenSSH has it: `SHA256:…`."""
        return _mark(self._key)

    def sign(self, public: SSHCertPublicKeyTypes, grant: Grant, *, now: float) -> str:
        """A certificate of one line.

        Args:
            public: Whose it is.
            grant: What it says.
            now: Seconds since 1970.

        Raises:
            ValueError: It has no principals, or ends before it begins.
        """
        found = (
            SSHCertificateBuilder()
            .public_key(public)
            .type(SSHCertificateType.USER)
            .serial(int.from_bytes(sha256(grant.name.encode()).digest()[:8], "big"))
            .key_id(grant.name.encode())
            .valid_principals([one.encode() for one in grant.principals])
            .valid_after(int(now) - EARLY)
            .valid_before(grant.ends)
        )
        if grant.command:
            found = found.add_critical_option(b"force-command", grant.command.encode())
        if grant.source:
            found = found.add_critical_option(b"source-address", ",".join(grant.source).encode())
        for one in grant.allows:
            found = found.add_extension(f"permit-{one}".encode(), b"")
        return found.sign(self._key).public_bytes().decode()


def require_key(private_key: str) -> str:
    """Require that it can be used to reach a helper; the fingerprint of its public key.

    Raises:
        BadAdminAccessError: It is none that rule 5 names.
    """
    return _mark(_read("the helper's key", private_key))


def _mark(key: _Key) -> str:
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1]
    return "SHA256:" + b64encode(sha256(a2b_base64(public)).digest()).decode().rstrip("=")


def _read(whose: str, text: str) -> _Key:
    try:
        key = load_ssh_private_key(text.encode(), password=None)
    except TypeError:
        raise BadAdminAccessError(f"{whose} has a passphrase") from None  # 6
    except (ValueError, UnsupportedAlgorithm):
        raise BadAdminAccessError(f"{whose} can't be read") from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < _LEAST_RSA:
        raise BadAdminAccessError(f"{whose} has fewer than {_LEAST_RSA} bits")
    if isinstance(key, Ed25519PrivateKey | rsa.RSAPrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return key
    raise BadAdminAccessError(f"{whose} is of a kind that signs nothing here")
