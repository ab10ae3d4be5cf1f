"""Verifies passkey signatures with `webauthn`, after strict checks of our own.

1. Our parser enforces all rules first; then the library repeats the comparisons and verifies the signature.
   It has no part in reading a new key, which has signed nothing.
2. This module is imported with the first passkey, as it brings 6 packages.
3. Attestation is not requested and is removed by the page: it would not be trusted and could identify the
   person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from webauthn import verify_authentication_response
from webauthn.helpers import parse_cbor
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException

from taskbound.core.identity.person_key import (
    SITE,
    BadPersonKeyError,
    BadSignatureError,
    PasskeyAlgorithm,
    PasskeyAlgorithmError,
    PasskeyKeyError,
    PasskeyUnreadableError,
    Purpose,
    require_asked_here,
    require_device,
)
from taskbound.ports.identity import PublicHalf
from taskbound.wire.jose.compact import encode_base64url
from taskbound.wire.passkey import (
    Passkey,
    challenge_of,
    cose_of,
    parse_assertion,
    parse_client_data,
    parse_cose,
    parse_device_data,
    parse_fresh_key,
    parse_passkey,
    parse_registration,
    render_passkey,
    site_digest,
)

if TYPE_CHECKING:
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.wire.passkey import Registration


_ALGORITHM: Final = 3
"""The label of the algorithm in a COSE key (RFC 9052 §7.1)."""
_REFUSED: Final = (WebAuthnException, UnsupportedAlgorithm, ValueError, KeyError, TypeError)


def read_passkey(public: bytes) -> PublicHalf:
    """Parses a passkey's public half."""
    try:
        return _read(parse_registration(public))
    except PasskeyUnreadableError as error:
        raise BadPersonKeyError(error.message, remedy=error.advice) from error


def _read(offered: Registration) -> PublicHalf:
    client = parse_client_data(offered.client_data)
    require_asked_here(client, Purpose.MAKE, challenge=offered.challenge, origin=offered.origin)
    device = parse_device_data(offered.device_data)
    require_device(device, site=site_digest(), fresh=True, copiable=None)
    fresh = parse_fresh_key(device.rest)
    if fresh.credential != offered.credential:
        raise PasskeyKeyError("the browser brings another passkey than the device has made")
    found = parse_cose(fresh.cose)
    if found is None:
        raise PasskeyAlgorithmError(f"the passkey signs with {_named(fresh.cose)}, not with ES256 or EdDSA")
    algorithm, point = found
    kept = Passkey(credential=fresh.credential, algorithm=algorithm, point=point, copiable=device.copiable)
    return PublicHalf(
        public=render_passkey(kept),
        fingerprint=kept.fingerprint,
        hardware=not device.copiable,
        copiable=device.copiable,
        label=offered.label,
    )


def verify_passkey(key: PersonKey, statement: bytes, signature: bytes) -> None:
    """Raises BadSignatureError, with a code for each reason, unless the passkey signed this for our page."""
    kept = parse_passkey(key.public)
    found = parse_assertion(signature)
    client, device = parse_client_data(found.client_data), parse_device_data(found.device_data)
    challenge = challenge_of(statement)
    require_asked_here(client, Purpose.SIGN, challenge=challenge, origin=found.origin)
    require_device(device, site=site_digest(), fresh=False, copiable=kept.copiable)
    if found.credential != kept.credential:
        raise PasskeyKeyError(f"the signature names another passkey than `{key.id}`")
    name = encode_base64url(found.credential)
    response = {
        "clientDataJSON": encode_base64url(found.client_data),
        "authenticatorData": encode_base64url(found.device_data),
        "signature": encode_base64url(found.signature),
    }
    try:
        verify_authentication_response(
            credential={"id": name, "rawId": name, "type": "public-key", "response": response},
            expected_challenge=challenge,
            expected_rp_id=SITE,
            expected_origin=found.origin,
            credential_public_key=cose_of(kept.algorithm, kept.point),
            credential_current_sign_count=0,  # the flow counts, under lock
            require_user_verification=True,
        )
    except _REFUSED as error:
        raise BadSignatureError(f"the signature is not by key `{key.id}` over this statement") from error


def passkey_counter(signature: bytes) -> int:
    """Returns the device's signature counter; 0 if it has none."""
    return parse_device_data(parse_assertion(signature).device_data).counter


def _named(cose: bytes) -> str:
    try:
        number = parse_cbor(cose)[_ALGORITHM]
    except _REFUSED:
        return "what can't be read"
    try:
        name = COSEAlgorithmIdentifier(number).name
    except ValueError:
        return f"algorithm {number}"
    return f"a form of {name} that is not the one that is read" if number in _TAKEN else name


_TAKEN: Final = frozenset(one.value for one in PasskeyAlgorithm)
