"""The secret of a credential, its recipient, and the sealed data that ends it.

Of `secret`:

1. `tbs_`, 256 bits as 43 characters of base64url, and the CRC-32 of both as 6 characters.
2. The form serves secret scanners and authenticates nothing; anyone can produce it.
3. A scan reports positions and never the secret.

Of `recipient`:

1. 32 bytes as canonical base64url without padding, below 2^255 - 19, because X25519 reduces larger values and
   a key must have one text (RFC 7748, section 5).
2. Points of small order are refused: the shared secret would be zero for any peer, so anyone could open the
   data (RFC 7748, sections 6.1 and 7). The coordinates are 0, 1, -1 and the two of order 8.
3. Only credential requests name a recipient, and each must.

Of `keeping`:

1. The data is sealed for this credential of this target only.
2. A lost secret without kept data cannot be ended. It is reported as expired, never as gone, after the
   target's longest lifetime, counted from when the last answer to its mint could arrive.
3. If no mint began, the target gave nothing. The row proves this unless the store was restored; the broker's
   memory detects that (`surfaces.broker.memory`).
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
    """The 53 characters of a secret, from `SECRET_BYTES` random bytes (rule 1)."""
    if len(raw) != SECRET_BYTES:
        raise ValueError(f"a secret is made of {SECRET_BYTES} bytes")
    body = _PREFIX + _plain(raw)
    return body + _sum(body)


def find_secrets(text: str) -> tuple[int, ...]:
    """The start positions of secrets of this form in a text (rule 3)."""
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
    """Returns the text if it is a usable public key (rules 1 and 2); raises BadRecipientError."""
    if _TEXT.fullmatch(text) is None:
        raise BadRecipientError("a recipient is an X25519 public key: 43 characters of base64url")
    number = int.from_bytes(urlsafe_b64decode(f"{text}="), "little")
    if number >= _PRIME or number in _SMALL_ORDER:
        raise BadRecipientError("anybody could open what is sealed to this recipient, or it has another text")
    return text


def require_recipient(recipient: str, *, credential: bool) -> None:
    """Raises unless a recipient is named exactly for a credential request (rule 3)."""
    if not credential:
        if recipient:
            raise UnwantedRecipientError("a recipient is named, and no credential is asked for")
    elif not recipient:
        raise NoRecipientError("a credential is requested without a recipient key")
    else:
        parse_recipient(recipient)


_FIRST: Final = 1
"""A credential is minted once: there is no second value."""


def kept_binding(credential: Credential) -> Binding:
    """The binding under which the kept data is sealed (rule 1)."""
    return Binding(
        namespace=credential.namespace,
        server=credential.target,
        identity=credential.identity,
        slot=Slot(kind="kept", name=credential.id).text,
        number=_FIRST,
    )


def lost_until(credential: Credential, lasts: int) -> Instant:
    """When anything given for it has expired (rule 2); `lasts` is the target's longest life in seconds."""
    last = max(credential.shown, credential.late)
    if last == NEVER:
        last = Instant(credential.made + MINTED_WITHIN + LEASE + LATE)
    return Instant(last + seconds(lasts))


def is_unbegun(credential: Credential) -> bool:
    """True if the row shows that no mint began before the end (rule 3)."""
    return bool(credential.kind) and credential.shown == NEVER and credential.late == NEVER
