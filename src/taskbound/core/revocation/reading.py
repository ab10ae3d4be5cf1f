"""The entries of the feed among records, of which nearly all are none.

1. A record is read only where its bytes hold the kind of an event that can be an entry. Canonical JSON
   spells that in one way, and a text that quotes it has its quotation marks escaped: none is passed over.
   What is found elsewhere in a record (a kind of something else) costs a reading, and is no entry.
2. A record that can't be read is no record without an entry: nothing behind it has been looked at.
3. When a record was written stands at its beginning, and is read without the rest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.audit.record import parse_record
from taskbound.core.clock import Instant
from taskbound.core.revocation.feed import ENTRY_KINDS, Entry, entry_of

if TYPE_CHECKING:
    from collections.abc import Iterable


_MAY_BE: Final = re.compile(
    b'"kind":"(?:%b)"' % b"|".join(sorted(one.encode() for one in ENTRY_KINDS))
).search
_AT: Final = re.compile(rb'\{"at":(-?[0-9]{1,17}),').match


def entries_in(start: int, bodies: Iterable[bytes]) -> tuple[Entry, ...]:
    """What these records say of authority that was there, in the order of the log.

    Args:
        start: The index in the log of the first of them, from 0.
        bodies: Their exact bytes, none left out.

    Raises:
        RecordMalformedError: One that may be an entry can't be read (rule 2).
        FeedBrokenError: It is of a kind or state that this version doesn't know.
    """
    found: list[Entry] = []
    for place, body in enumerate(bodies, start):
        if _MAY_BE(body) is not None:  # 1
            entry = entry_of(place, parse_record(body))
            if entry is not None:
                found.append(entry)
    return tuple(found)


def earliest_of(bodies: Iterable[bytes], now: Instant) -> Instant:
    """The earliest instant that any of these records has, or now; one that can't be read has none (rule 3).

    Args:
        bodies: Their exact bytes.
        now: By the clock of whoever reads.
    """
    return Instant(min((now, *(int(found[1]) for found in map(_AT, bodies) if found is not None))))
