"""ES256 keys (RFC 7518 §3.4) and signatures in the form that the verifier accepts.

1. A signature is `r` and `s`, 32 bytes each, always with the lower `s`.
2. A key's name is its thumbprint (RFC 7638), which can be computed but not chosen.
3. A signature made by a device or server is verified before use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicNumbers,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from taskbound.core.action import canonical
from taskbound.ports.signer import SignerUnavailableError
from taskbound.wire.jose import es256_jwk
from taskbound.wire.jose.key import P256_ORDER

if TYPE_CHECKING:
    from taskbound.wire.jose import Jwk


_ECDSA: Final = ECDSA(SHA256())
_HALF: Final = 32


class Es256Key:
    """A private key in memory; it is in no repr, and only `file` stores it."""

    def __init__(self, private: EllipticCurvePrivateKey) -> None:
        self.private = private
        numbers = private.public_key().public_numbers()
        jwk = es256_jwk(numbers.x.to_bytes(_HALF), numbers.y.to_bytes(_HALF))
        self.kid = jwk.kid
        self.public = public_text(jwk)

    @classmethod
    def generate(cls) -> Es256Key:
        return cls(generate_private_key(SECP256R1()))

    def sign(self, message: bytes) -> bytes:
        """Returns the signature, 64 bytes (rule 1)."""
        return raw_signature(*decode_dss_signature(self.private.sign(message, _ECDSA)))


def read_pem(text: bytes) -> Es256Key:
    """Returns the private key of an unencrypted PEM document on P-256; raises ValueError."""
    try:
        found = load_pem_private_key(text, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from error
    match found:
        case EllipticCurvePrivateKey(curve=SECP256R1()):
            return Es256Key(found)
        case _:
            raise ValueError("the key is not on P-256")


def public_text(key: Jwk) -> bytes:
    """Returns the public JWK as canonical JSON."""
    return canonical({**key.members})


def raw_signature(r: int, s: int) -> bytes:
    return r.to_bytes(_HALF) + min(s, P256_ORDER - s).to_bytes(_HALF)


def require_signed(key: Jwk, message: bytes, r: int, s: int) -> bytes:
    """Returns the verified signature of an external key store (rule 3); raises SignerUnavailableError."""
    public = EllipticCurvePublicNumbers(
        int.from_bytes(key.x), int.from_bytes(key.y), SECP256R1()
    ).public_key()
    try:
        public.verify(encode_dss_signature(r, s), message, _ECDSA)
    except (InvalidSignature, ValueError) as error:
        raise SignerUnavailableError(
            f"the store of keys gave a signature that is not the key's `{key.kid}`",
            remedy="take the key out of use, and see whether the device or server is the right one",
        ) from error
    return raw_signature(r, s)
