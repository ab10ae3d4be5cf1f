"""Key pairs as OpenSSH writes them: made here, and read to see whose they are.

1. A key that is made is Ed25519, from the operating system's generator, and its private half is written
   nowhere.
2. A private key that is closed by a passphrase is none here: nobody is there who could type it. One of RSA
   has 2,048 bits at least.
3. No error says anything of a key.
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
    """A new private key, in OpenSSH's own format (rule 1)."""
    return (
        Ed25519PrivateKey.generate()
        .private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        .decode("ascii")
    )


def public_half(private: str) -> str:
    """Type and base64 of the public key, as in `authorized_keys`, without a comment.

    Raises:
        BadAdminAccessError: The private key can't be read, or not without a passphrase, or is too short.
    """
    try:
        key = load_ssh_private_key(private.encode(), password=None)
    except TypeError:  # what the library raises for want of a password
        raise BadAdminAccessError(
            "a private key is closed by a passphrase",
            remedy="give one that is not: it is sealed to the broker, which nobody types anything for",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadAdminAccessError("a private key can't be read") from None  # 3
    if not isinstance(key, Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey):
        raise BadAdminAccessError("a private key is of a kind that nothing is signed with any more")
    if isinstance(key, RSAPrivateKey) and key.key_size < _LEAST:
        raise BadAdminAccessError(f"a private key has fewer than {_LEAST} bits")
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")
