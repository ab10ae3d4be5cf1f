"""Ed25519 (RFC 8032): making, signing with and verifying with a key that is held in this process."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from taskbound.core.audit import SignatureWrongError


class Ed25519Key:
    """A private key in memory; it is in no repr, and only `file` writes it anywhere."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        """Sign with this key."""
        self.private = private
        self.public = private.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> Ed25519Key:
        """A new key from the operating system's generator."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> Ed25519Key:
        """The key of a seed of 32 bytes (RFC 8032 §5.1.5)."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes, always the same for the same message."""
        return self.private.sign(message)


def verify_ed25519(public_key: bytes, signature: bytes, message: bytes) -> None:
    """Return when the signature is right.

    Raises:
        SignatureWrongError: It is not, or the key is none.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise SignatureWrongError("a signature in the name of a trusted key does not verify") from error
