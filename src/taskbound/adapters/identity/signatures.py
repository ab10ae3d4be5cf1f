"""Verifies persons' signatures by kind of key.

1. A signature that names another key is refused.
2. A device's signature also covers its application, flags and counter (PROTOCOL.u2f).
3. ECDSA signatures are malleable and OpenSSH writes either form, so uses are counted by statement, not by
   signature.
4. The passkey module is imported with the first passkey.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from taskbound.core.identity.person_key import BadPersonKeyError, BadSignatureError, PersonKeyKind
from taskbound.ports.identity import PublicHalf
from taskbound.wire.openssh import parse_public, parse_public_line, parse_signature, signed_bytes

if TYPE_CHECKING:
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.wire.openssh import SshPublic, SshSignature


_HALF: Final = 32


class PersonSignatures:
    """Stateless verifier; safe from any thread."""

    def read(self, kind: PersonKeyKind, public: bytes) -> PublicHalf:
        """Returns the key to enroll; raises BadPersonKeyError or BadSignatureError."""
        if kind is PersonKeyKind.PASSKEY:
            from taskbound.adapters.identity.passkeys import read_passkey  # noqa: PLC0415  # rule 4: with the first passkey, not before

            return read_passkey(public)
        try:
            found = parse_public_line(public.decode("utf-8"))
            _verifier(found)
        except ValueError as error:
            raise BadPersonKeyError("the public key is no point of its curve") from error
        return PublicHalf(
            public=found.blob, fingerprint=found.fingerprint, hardware=found.hardware, label=found.label
        )

    def verify(self, key: PersonKey, statement: bytes, signature: bytes) -> None:
        """Raises BadSignatureError unless the key signed exactly this statement."""
        if key.kind is PersonKeyKind.PASSKEY:
            from taskbound.adapters.identity.passkeys import verify_passkey  # noqa: PLC0415  # rule 4: with the first passkey, not before

            verify_passkey(key, statement, signature)
            return
        found = _read(key, signature)
        signed = signed_bytes(statement)
        if found.public.hardware:
            said = bytes([found.flags]) + found.counter.to_bytes(4, "big")
            application = found.public.application.encode()
            signed = sha256(application).digest() + said + sha256(signed).digest()  # 2
        try:
            public = _verifier(found.public)
            if isinstance(public, Ed25519PublicKey):
                public.verify(found.raw, signed)
            else:
                r, s = (int.from_bytes(one, "big") for one in (found.raw[:_HALF], found.raw[_HALF:]))
                public.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError) as error:
            raise BadSignatureError(f"the signature is not by key `{key.id}` over this statement") from error

    def counter(self, key: PersonKey, signature: bytes) -> int:
        """Returns the device's signature counter; 0 if it has none."""
        if key.kind is PersonKeyKind.PASSKEY:
            from taskbound.adapters.identity.passkeys import passkey_counter  # noqa: PLC0415  # rule 4: with the first passkey, not before

            return passkey_counter(signature)
        return _read(key, signature).counter


def _read(key: PersonKey, signature: bytes) -> SshSignature:
    found = parse_signature(signature)
    try:
        own = parse_public(key.public)
    except BadPersonKeyError as error:
        raise BadSignatureError(f"key `{key.id}` can't be read") from error
    if found.public != own:
        raise BadSignatureError(f"the signature is by another key than `{key.id}`")  # 1
    return found


def _verifier(public: SshPublic) -> Ed25519PublicKey | ec.EllipticCurvePublicKey:
    if public.curve == "ssh-ed25519":
        return Ed25519PublicKey.from_public_bytes(public.point)
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public.point)
