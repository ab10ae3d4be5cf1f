"""OpenSSH key pairs.

1. A new key is Ed25519; its private half is not stored.
2. Keys with a passphrase are refused. RSA keys have at least 2,048 bits.
3. Errors never quote a key.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from taskbound.core.target import BadAdminAccessError

_LEAST: Final = 2_048


def make_key() -> str:
    return (
        Ed25519PrivateKey.generate()
        .private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        .decode("ascii")
    )


def public_half(private: str) -> str:
    """Returns type and base64 of the public key, without comment; raises BadAdminAccessError (rule 2)."""
    try:
        key = load_ssh_private_key(private.encode(), password=None)
    except TypeError:  # what the library raises for want of a password
        raise BadAdminAccessError(
            "a private key is closed by a passphrase",
            remedy="give one that is not: it is sealed to the broker, which can't ask for a passphrase",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadAdminAccessError("a private key can't be read") from None  # 3
    if not isinstance(key, Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey):
        raise BadAdminAccessError("a private key is of a kind that nothing is signed with any more")
    if isinstance(key, RSAPrivateKey) and key.key_size < _LEAST:
        raise BadAdminAccessError(f"a private key has fewer than {_LEAST} bits")
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")
