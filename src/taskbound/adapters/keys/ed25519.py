"""Ed25519 keys in this process (RFC 8032)."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from taskbound.core.audit import SignatureWrongError


class Ed25519Key:
    """A private key in memory; it is in no repr, and only `file` stores it."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self.private = private
        self.public = private.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> Ed25519Key:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> Ed25519Key:
        """Returns the key of a 32-byte seed (RFC 8032 §5.1.5)."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, message: bytes) -> bytes:
        """Returns the deterministic signature, 64 bytes."""
        return self.private.sign(message)


def verify_ed25519(public_key: bytes, signature: bytes, message: bytes) -> None:
    """Raises SignatureWrongError unless the signature is valid."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise SignatureWrongError("a signature in the name of a trusted key does not verify") from error
