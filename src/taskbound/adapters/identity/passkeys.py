"""What passkeys have signed, told by `webauthn` behind a gate of our own.

1. Everything is read strictly and held to our rules before the library sees it; then the library repeats the
   comparisons of a signature, and verifies it. A new key has signed nothing yet, so there it has no part.
2. This module is imported when the first passkey is met, since it brings 6 packages that nothing else needs.
3. Attestation is not asked for, and the page leaves it out whatever a browser gives: what a device says of
   its maker would be believed by nobody here, and tell whose it is.
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
    """The public half of a passkey that a browser brings.

    Raises:
        PasskeyAlgorithmError: It signs with another algorithm.
        BadPersonKeyError: It can't be read.
        BadSignatureError: It was not made for our page, or its device did not know the person.
    """
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
    """Return when the signature is by this passkey, over exactly this statement, for our page.

    Raises:
        BadSignatureError: It is not; each reason has a code of its own.
    """
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
    """How many signatures the device says it has made; 0 where it doesn't count.

    Raises:
        BadSignatureError: The signature can't be read.
    """
    return parse_device_data(parse_assertion(signature).device_data).counter


def _named(cose: bytes) -> str:
    """The algorithm of a public half that is not taken, by its name where it has one."""
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
