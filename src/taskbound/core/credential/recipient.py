"""Whom a credential's secret is sealed to: an X25519 public key that who asks has made for this one request.

1. It is 32 bytes as base64url without padding: 43 characters, in the one way to write them. The number in it
   is less than 2^255 - 19: X25519 takes any other one for one of those (RFC 7748, section 5), and one key
   shall have one text.
2. The points of small order are refused: what is agreed on with any of these is zero whatever the other key
   is, and anybody could open what is sealed so (RFC 7748, sections 6.1 and 7). On the curve and its twist
   they have these five coordinates: 0, 1, -1, and the two of order 8.
3. Only what asks for a credential names one, and whatever asks for one does.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from typing import Final

from taskbound.core.credential.errors import BadRecipientError, NoRecipientError, UnwantedRecipientError

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
