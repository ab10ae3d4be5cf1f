"""What a passkey has to have said before its word counts (Web Authentication, level 3).

1. What is signed is the browser's account of where it was asked, and for what, and the device's account of
   itself. Each part is held to one value, and each refusal has a name of its own.
2. The challenge is the SHA-256 of exactly the statement that an OpenSSH key would sign: so the signature
   binds what the statement names, and answers nothing else.
3. It was asked for by the page that this daemon served, at its own port, and in no other site's frame. The
   site of a passkey is `localhost`, without a port: whatever listens on this machine may ask for a signature,
   and only the origin tells by whom it was asked.
4. The person was there, and was known to the device (a PIN, a finger, a face), each time.
5. Whether a key is copied between devices is said when it is enrolled, and stays so.
6. Signatures are ES256 or EdDSA over Ed25519. Every algorithm more is one more that must be read in one way.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from taskbound.core.dataclass import dataclass
from taskbound.core.identity.person_key import BadPersonKeyError, BadSignatureError

SITE: Final = "localhost"
"""What a browser keeps our passkeys for (the `rpId`)."""
_ORIGIN: Final = re.compile(r"http://localhost:[1-9][0-9]{0,4}")
_PRESENT, _VERIFIED, _COPIABLE, _COPIED, _KEY, _MORE = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80
_RESERVED: Final = 0x22


class PasskeyUnreadableError(BadSignatureError):
    """What the browser brought can't be read in one way only, or is larger than any that is taken."""

    code = "passkey-unreadable"
    remedy = "open the page anew; another browser may do what this one does not"


class PasskeyTypeError(BadSignatureError):
    """The key was used for something else than what was asked."""

    code = "passkey-type"
    remedy = "open the page anew, and sign there"


class PasskeyChallengeError(BadSignatureError):
    """Something else was signed than the statement."""

    code = "passkey-challenge"
    remedy = "open the page anew, and sign what it shows"


class PasskeyOriginError(BadSignatureError):
    """The signature was asked for by another page than the one that was opened for it."""

    code = "passkey-origin"
    remedy = "sign only on the page that you have opened yourself; who asked you to sign elsewhere?"


class PasskeyFramedError(BadSignatureError):
    """The signature was asked for in a frame of another site."""

    code = "passkey-framed"
    remedy = "sign only on the page that you have opened yourself; who asked you to sign elsewhere?"


class PasskeySiteError(BadSignatureError):
    """The key was made, or used, for another site."""

    code = "passkey-site"
    remedy = "enroll a passkey with `taskbound person key add --passkey`"


class PasskeyAbsentError(BadSignatureError):
    """Nobody touched the device."""

    code = "passkey-absent"
    remedy = "touch the device when it asks"


class PasskeyUnverifiedError(BadSignatureError):
    """The device does not say that it knew the person."""

    code = "passkey-unverified"
    remedy = "give the device a PIN, a finger or a face, and use it when it asks"


class PasskeyFlagsError(BadSignatureError):
    """The device says more than is read here, or less than was asked."""

    code = "passkey-flags"
    remedy = "open the page anew; another device may do what this one does not"


class PasskeyCopyError(BadSignatureError):
    """Whether the key is copied between devices is told otherwise than when it was enrolled."""

    code = "passkey-copy"
    remedy = "withdraw the key, and enroll another one"


class PasskeyKeyError(BadSignatureError):
    """The signature names another passkey than the statement."""

    code = "passkey-key"
    remedy = "sign with the passkey that the page names"


class CountsBackError(BadSignatureError):
    """The device counts back: it, or what it holds, may have been copied."""

    code = "counts-back"
    remedy = "sign again; if it stays so withdraw the key with `taskbound person key withdraw`"


class PasskeyAlgorithmError(BadPersonKeyError):
    """The passkey signs with an algorithm that is not taken."""

    code = "passkey-algorithm"
    remedy = "use a device that makes ES256 or EdDSA keys; each that is sold today does"


class Purpose(Enum):
    """What a browser was asked for, by its own word."""

    MAKE = "webauthn.create"
    SIGN = "webauthn.get"


class PasskeyAlgorithm(Enum):
    """How a passkey signs (rule 6), by its number in COSE (RFC 9053)."""

    ES256 = -7
    EDDSA = -8


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientData:
    """The browser's account of where it was asked, and for what."""

    type: str
    challenge: bytes
    origin: str
    framed: bool
    """Whether it was in a frame of another site, or names the page above it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceData:
    """The device's account of itself."""

    site: bytes
    """SHA-256 of the site that it used the key for."""
    flags: int
    counter: int
    rest: bytes
    """What follows the fixed part: a new key's data, and nothing else."""

    @property
    def copiable(self) -> bool:
        """Whether the key may be copied to other devices, by whoever keeps it."""
        return bool(self.flags & _COPIABLE)


def require_asked_here(found: ClientData, purpose: Purpose, *, challenge: bytes, origin: str) -> None:
    """Go on only with what our own page has asked for (rules 2 and 3).

    Args:
        found: What the browser says.
        purpose: What it was asked for.
        challenge: Of the statement.
        origin: Of the page that was served.

    Raises:
        PasskeyTypeError: It was asked for something else.
        PasskeyChallengeError: Something else was signed.
        PasskeyOriginError: Another page asked.
        PasskeyFramedError: The page was in a frame.
    """
    if found.type != purpose.value:
        raise PasskeyTypeError(f"the passkey was used for `{found.type}`, not for `{purpose.value}`")
    if found.challenge != challenge:
        raise PasskeyChallengeError("the passkey has signed something else than the statement")
    if found.origin != origin or not _ORIGIN.fullmatch(origin):
        raise PasskeyOriginError(f"the passkey was asked by the page of `{found.origin}`, not `{origin}`")
    if found.framed:
        raise PasskeyFramedError("the passkey was asked in a frame of another site")


def require_device(found: DeviceData, *, site: bytes, fresh: bool, copiable: bool | None) -> None:
    """Go on only with a device that knew the person, for our site (rules 4 and 5).

    Args:
        found: What the device says.
        site: SHA-256 of our site.
        fresh: Whether a new key was made.
        copiable: What it said of copies when the key was enrolled; nothing yet for a new one.

    Raises:
        PasskeySiteError: It was for another site.
        PasskeyAbsentError: Nobody touched it.
        PasskeyUnverifiedError: It did not know the person.
        PasskeyCopyError: It says otherwise of copies.
        PasskeyFlagsError: It says more, or less.
    """
    if found.site != site:
        raise PasskeySiteError("the passkey was made, or used, for another site")
    if not found.flags & _PRESENT:
        raise PasskeyAbsentError("nobody touched the passkey's device")
    if not found.flags & _VERIFIED:
        raise PasskeyUnverifiedError("the passkey's device does not say that it knew the person")
    if copiable not in {None, found.copiable} or (found.flags & _COPIED and not found.copiable):
        raise PasskeyCopyError("the passkey's device says otherwise of copies than when it was enrolled")
    more = found.flags & (_RESERVED | _MORE)
    if more or bool(found.flags & _KEY) is not fresh or bool(found.rest) is not fresh:
        raise PasskeyFlagsError(f"the passkey's device says more or less than was asked ({found.flags:#04x})")
