"""The secret of a credential: who receives it, and what is kept to end it.

Of `secret`:

1. It is `tbs_`, 256 bits as 43 characters of base64url, and the CRC-32 of both as 6: a scan takes it for
   nothing else, and nothing else for it.
2. The form is for finding one that lies where it shouldn't. It proves nothing: anybody can write one.
3. What finds one says where it stands, and never what it is.

Of `recipient`:

1. It is 32 bytes as base64url without padding: 43 characters, in the one way to write them. The number in it
   is less than 2^255 - 19: X25519 takes any other one for one of those (RFC 7748, section 5), and one key
   shall have one text.
2. The points of small order are refused: what is agreed on with any of these is zero whatever the other key
   is, and anybody could open what is sealed so (RFC 7748, sections 6.1 and 7). On the curve and its twist
   they have these five coordinates: 0, 1, -1, and the two of order 8.
3. Only what asks for a credential names one, and whatever asks for one does.

Of `keeping`:

1. It is sealed for this credential of this target alone: in another row, or of a target that has the name
   now, it opens nothing.
2. What was given and not kept can be ended by nobody. It is over by itself once the longest life has passed
   that its target gives to anything, counted from when the last answer to its mint could still arrive: that
   is said of it, and never that it is gone.
3. Of a mint that nobody began nothing was given. A row says so as long as it is no older state of itself,
   which is for whoever remembers the store to tell (`surfaces.broker.memory`).
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Final
from zlib import crc32

from taskbound.core.clock import Instant, seconds
from taskbound.core.credential.errors import BadRecipientError, NoRecipientError, UnwantedRecipientError
from taskbound.core.credential.values import LATE, LEASE, MINTED_WITHIN, NEVER
from taskbound.core.tool import Binding
from taskbound.core.tool.slot import Slot

if TYPE_CHECKING:
    from taskbound.core.credential.values import Credential


SECRET_BYTES: Final = 32
_PREFIX: Final = "tbs_"
_BODY: Final = 43
_FORM: Final = re.compile(r"(?=(tbs_[A-Za-z0-9_-]{49}))")
"""Whatever stands around it: a database's file has fields without anything between them."""


def spell_secret(raw: bytes) -> str:
    """The secret that is made of this chance: 53 characters (rule 1).

    Args:
        raw: `SECRET_BYTES` bytes that nobody can guess.
    """
    if len(raw) != SECRET_BYTES:
        raise ValueError(f"a secret is made of {SECRET_BYTES} bytes")
    body = _PREFIX + _plain(raw)
    return body + _sum(body)


def find_secrets(text: str) -> tuple[int, ...]:
    """Where secrets of this form stand in a text: the place of the first character of each (rule 3)."""
    return tuple(found.start() for found in _FORM.finditer(text) if _fits(found[1]))


def _fits(text: str) -> bool:
    body = text[: len(_PREFIX) + _BODY]
    return text == body + _sum(body)


def _sum(body: str) -> str:
    return _plain(crc32(body.encode()).to_bytes(4, "big"))


def _plain(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
"""32 bytes: the last character has two bits that are zero (rule 1)."""
_PRIME: Final = 2**255 - 19
_SMALL_ORDER: Final = frozenset(
    {
        0,
        1,
        _PRIME - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)
"""Rule 2; the last two are those of order 8, as D. J. Bernstein lists them (cr.yp.to/ecdh.html)."""


def parse_recipient(text: str) -> str:
    """The text, which is a key that can be sealed to.

    Raises:
        BadRecipientError: It is none (rules 1 and 2).
    """
    if _TEXT.fullmatch(text) is None:
        raise BadRecipientError("a recipient is an X25519 public key: 43 characters of base64url")
    number = int.from_bytes(urlsafe_b64decode(f"{text}="), "little")
    if number >= _PRIME or number in _SMALL_ORDER:
        raise BadRecipientError("anybody could open what is sealed to this recipient, or it has another text")
    return text


def require_recipient(recipient: str, *, credential: bool) -> None:
    """Go on only where what is asked for and who shall get it fit (rule 3).

    Args:
        recipient: As it was named; empty where none was.
        credential: Whether a credential is asked for.

    Raises:
        NoRecipientError: A credential is asked for, for nobody.
        UnwantedRecipientError: Something else is asked for, with a recipient.
        BadRecipientError: Nothing can be sealed to that.
    """
    if not credential:
        if recipient:
            raise UnwantedRecipientError("a recipient is named, and no credential is asked for")
    elif not recipient:
        raise NoRecipientError("a credential is asked for, and nobody that it is sealed to")
    else:
        parse_recipient(recipient)


_FIRST: Final = 1
"""A credential is minted once: there is no second value."""


def kept_binding(credential: Credential) -> Binding:
    """What it is sealed for (rule 1)."""
    return Binding(
        namespace=credential.namespace,
        server=credential.target,
        identity=credential.identity,
        slot=Slot(kind="kept", name=credential.id).text,
        number=_FIRST,
    )


def lost_until(credential: Credential, lasts: int) -> Instant:
    """When whatever was given for it is over, also where nobody knows what that was (rule 2).

    Args:
        credential: The row.
        lasts: Seconds that anything lives at most which its target gives.
    """
    last = max(credential.shown, credential.late)
    if last == NEVER:
        last = Instant(credential.made + MINTED_WITHIN + LEASE + LATE)
    return Instant(last + seconds(lasts))


def is_unbegun(credential: Credential) -> bool:
    """Whether the row says that no mint of it was begun, before it ended (rule 3)."""
    return bool(credential.kind) and credential.shown == NEVER and credential.late == NEVER
