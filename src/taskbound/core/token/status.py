"""Status lists: of each token two bits, for whoever asks (draft-ietf-oauth-status-list-20).

1. Two bits a token, since a paused task is suspended and not gone (§7.1): 0 valid, 1 invalid for good, 2
   suspended. The first token has the lowest bits of the first byte (§4.1).
2. There is a list for every fifteen minutes; a token is in the list of when it ends, so that those of one
   list end at about the same time. A place is drawn by chance, has one token ever, and says nothing of when
   or how many (§13).
3. A list is for all namespaces: a bit says nothing of whose token it is.
4. What a list says ends with it, at most a minute after it was signed; it is to be fetched again after ten
   seconds.
"""

from __future__ import annotations

import zlib
from base64 import urlsafe_b64encode
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import minutes, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.clock import Instant


BITS: Final = 2
SIZE: Final = 1 << 20
"""Places of a list: 256 KiB before it is compressed."""
LIFE: Final = 60
"""Seconds for which a list is believed (rule 4)."""
TTL: Final = 5
"""Seconds after which it is fetched again (rule 4): nobody who reads lists alone is later (I-43)."""
_WINDOW: Final = minutes(15)
_AHEAD: Final = seconds(3600)
"""How long before its window a list is published already."""


class Status(Enum):
    """What a list says of a token (§7.1)."""

    VALID = 0
    INVALID = 1
    SUSPENDED = 2


def list_of(expires: Instant) -> int:
    """The number of the list in which a token stands that ends then (rule 2)."""
    return expires // _WINDOW


def window_of(number: int) -> tuple[int, int]:
    """From when and until when tokens end that stand in this list, in microseconds since the epoch."""
    return number * _WINDOW, (number + 1) * _WINDOW


def is_listed(number: int, now: Instant) -> bool:
    """Whether there is a list of this number now: a few are, and no other is looked for."""
    start, end = window_of(number)
    return start - _AHEAD <= now < end


def place_of(chance: str) -> int:
    """A place in a list, drawn from 256 bits of chance (rule 2)."""
    return int.from_bytes(sha256(chance.encode()).digest()[:8]) % SIZE


def pack_statuses(statuses: Mapping[int, Status], *, bits: int = BITS, size: int = SIZE) -> str:
    """The `lst` of a list: zlib, then base64url without padding (§4.1, §4.2).

    Args:
        statuses: By place; what is not there is valid.
        bits: The width of an entry.
        size: How many there are, a multiple of 8.
    """
    held = bytearray(size * bits // 8)
    for place, status in statuses.items():
        held[place * bits // 8] |= status.value << place * bits % 8  # 1
    return urlsafe_b64encode(zlib.compress(bytes(held), 9)).rstrip(b"=").decode()
