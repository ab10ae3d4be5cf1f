"""OpenSSH private keys in memory, and the messages of the SSH agent protocol.

1. Keys are Ed25519, ECDSA on the NIST curves, or RSA from 2048 bits, without passphrase.
2. With a certificate, which must be for this key, only that is listed: each key uses up one of the host's
   tries. Requests other than list and sign are refused unparsed; the length is checked before the body.
3. RSA signs with SHA-256 or SHA-512 as requested, never with SHA-1.
4. Neither an error nor a repr contains a private key.
"""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    load_ssh_private_key,
    load_ssh_public_identity,
)

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.core.clock import Instant


_LENGTH: Final = 4
_LIST: Final = 11
_LISTED: Final = 12
_SIGN: Final = 13
_SIGNED: Final = 14
_FAILED: Final = 5


class BadAgentMessageError(ValueError):
    """A message violates the agent protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListKeys:
    """The request to list keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignWith:
    """The request to sign."""

    blob: bytes
    """The public key or certificate as it was listed."""
    data: bytes
    flags: int
    """2 for RSA with SHA-256, 4 for RSA with SHA-512."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherRequest:
    """Any other request (rule 2)."""

    number: int
    """Its type."""


def string(data: bytes) -> bytes:
    """Encodes a string of RFC 4251 §5."""
    return len(data).to_bytes(_LENGTH, "big") + data


def listed(keys: Iterable[tuple[bytes, str]]) -> bytes:
    """Encodes the answer to `ListKeys`: each key's blob and comment."""
    found = [string(blob) + string(comment.encode()) for blob, comment in keys]
    return string(bytes([_LISTED]) + len(found).to_bytes(4, "big") + b"".join(found))


def signed(signature: bytes) -> bytes:
    """Encodes the answer to `SignWith`."""
    return string(bytes([_SIGNED]) + string(signature))


FAILURE: Final = string(bytes([_FAILED]))
"""The answer to all that is refused, as it is sent."""


def take_message(buffer: bytearray, *, most: int) -> bytes | None:
    """Removes and returns the first complete body, or None; raises BadAgentMessageError past `most` bytes."""
    if len(buffer) < _LENGTH:
        return None
    size = int.from_bytes(buffer[:_LENGTH], "big")
    if not 1 <= size <= most:
        raise BadAgentMessageError(f"a message of {size} bytes is invalid")
    if len(buffer) < _LENGTH + size:
        return None
    body = bytes(buffer[_LENGTH : _LENGTH + size])
    del buffer[: _LENGTH + size]
    return body


def parse_request(body: bytes) -> ListKeys | SignWith | OtherRequest:
    """Parses a body; raises BadAgentMessageError if it does not match its type."""
    if not body:
        raise BadAgentMessageError("a message has no type")
    if body[0] not in {_LIST, _SIGN}:
        return OtherRequest(number=body[0])
    if body[0] == _LIST:
        _require_end(body, 1)
        return ListKeys()
    blob, at = _string(body, 1)
    data, at = _string(body, at)
    _require_end(body, at + 4)
    return SignWith(blob=blob, data=data, flags=int.from_bytes(body[at:], "big"))


def _string(body: bytes, at: int) -> tuple[bytes, int]:
    """Returns the string at this offset and its stated end; the caller checks that the end exists."""
    begin = at + _LENGTH
    end = begin + int.from_bytes(body[at:begin], "big")
    return body[begin:end], end


def _require_end(body: bytes, at: int) -> None:
    if at != len(body):
        raise BadAgentMessageError("a message ends too early, or goes on after its end")


_Key: TypeAlias = Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_CURVES: Final[dict[str, tuple[str, hashes.HashAlgorithm]]] = {
    "secp256r1": ("ecdsa-sha2-nistp256", hashes.SHA256()),
    "secp384r1": ("ecdsa-sha2-nistp384", hashes.SHA384()),
    "secp521r1": ("ecdsa-sha2-nistp521", hashes.SHA512()),
}
_RSA: Final[dict[int, tuple[str, hashes.HashAlgorithm]]] = {
    2: ("rsa-sha2-256", hashes.SHA256()),
    4: ("rsa-sha2-512", hashes.SHA512()),
}
"""By the flag of the request."""
_LEAST_RSA: Final = 2048
_MOST: Final = 16_384
"""Characters of a key, and of a certificate."""


class BadSshKeyError(MalformedError):
    """An OpenSSH private key, or its certificate, can't be used."""

    code = "bad-ssh-key"
    remedy = (
        "give an Ed25519 key without a passphrase, as `ssh-keygen` writes it, and the certificate of this key"
    )


class SshIdentity:
    """A key that an agent lists and signs with."""

    def __init__(
        self,
        private_key: str,
        certificate: str | None = None,
        *,
        comment: str = "",
        ends: Instant | None = None,
    ) -> None:
        """Parses key and one-line certificate; raises BadSshKeyError. Without `ends` the key never ends."""
        self._key = _read_key(private_key)
        public = self._key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        self.blob = (
            b64decode(public.split()[1]) if certificate is None else _read_certificate(certificate, public)
        )
        """What is shown: the public key, or its certificate (rule 2)."""
        self.comment = comment
        self.ends = ends

    def sign(self, data: bytes, flags: int) -> bytes | None:
        """Returns the signature as in RFC 4253 §6.6, or None if the flags ask for something else (rule 3)."""
        key = self._key
        if isinstance(key, rsa.RSAPrivateKey):
            found = _RSA.get(flags)
            if found is None:
                return None
            algorithm, hashed = found
            return _signature(algorithm, key.sign(data, padding.PKCS1v15(), hashed))
        if flags:
            return None
        if isinstance(key, Ed25519PrivateKey):
            return _signature("ssh-ed25519", key.sign(data))
        algorithm, hashed = _CURVES[key.curve.name]
        numbers = decode_dss_signature(key.sign(data, ec.ECDSA(hashed)))
        return _signature(algorithm, b"".join(map(_mpint, numbers)))


def _read_key(text: str) -> _Key:
    if len(text) > _MOST:
        raise BadSshKeyError("the private key is too long")
    try:
        key = load_ssh_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadSshKeyError("the private key can't be read") from None  # 4
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < _LEAST_RSA:
        raise BadSshKeyError(f"the private key has fewer than {_LEAST_RSA} bits")
    if isinstance(key, Ed25519PrivateKey | rsa.RSAPrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return key
    raise BadSshKeyError("the private key is of a kind that nothing is signed with here")


def _read_certificate(text: str, public: bytes) -> bytes:
    words = text.split()
    if len(text) > _MOST or "\n" in text.strip() or len(words) < 2:  # noqa: PLR2004 - its kind, itself, and what it is called
        raise BadSshKeyError("the certificate is not one line of a kind and base64")
    try:
        blob = b64decode(words[1], validate=True)
        found = load_ssh_public_identity(text.strip().encode())
    except (ValueError, UnsupportedAlgorithm):
        raise BadSshKeyError("the certificate can't be read") from None
    if not isinstance(found, SSHCertificate):
        raise BadSshKeyError("the certificate cannot be read")
    if found.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) != public:
        raise BadSshKeyError("the certificate is of another key")  # 2
    return blob


def _signature(algorithm: str, body: bytes) -> bytes:
    return string(algorithm.encode()) + string(body)


def _mpint(number: int) -> bytes:
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big"))
