"""The feed of one daemon: it follows the log, keeps what ended lately, and says how fresh that is.

1. The log is followed by its settled records, whether they have places yet or not: the first without one
   gets the next place. So the feed waits for no sequencer, for no signer, and for no other daemon that hangs.
2. What is said is as fresh as the beginning of the last look behind which nothing is unsettled. What can't be
   looked at, or is held up by a transaction that doesn't end, makes it stale, and a stale feed is not told.
3. A place is told with its *mark*, the record's leaf hash, and a reader shows that of the last one that it
   heard. Where the log has another record in that place, or none, the store is another one (it was restored),
   and the reader is told so: it may not go on as if nothing had been lost. A feed sees the same of its own
   store, and begins anew.
4. Entries of the last ten minutes are kept in memory, so that many readers cost one look. A reader that
   begins hears all of them, and so does one that comes back after longer: what was said earlier is of no
   token that still lives, five minutes at most (I-44), and two that daemons' clocks may differ
   (`core.revocation.feed`, rule 6).
5. A reader hears entries of one namespace, and of keys, which are of all.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import leaf_hash
from taskbound.core.audit.merkle import HASH_SIZE
from taskbound.core.audit.tiles import TILE_WIDTH
from taskbound.core.clock import Instant, minutes, seconds
from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.core.revocation.reading import entries_in

if TYPE_CHECKING:
    from taskbound.core.revocation.feed import Entry
    from taskbound.flows.means import Means
    from taskbound.ports.store import Snapshot

__all__ = ["BOUND", "Feed", "FeedBehindError", "FeedPage", "FeedStaleError", "OtherLogError"]

BOUND: Final = seconds(5)
"""How old what a feed says may be (design 4, law 10)."""
_KEPT: Final = minutes(10)
_TURN: Final = 1_000
_MARKS: Final = 65_536
"""Marks of so many last places are kept; older ones are in the tree."""
_NONE: Final = -1


class FeedStaleError(UnavailableError):
    """What this daemon knows of the log is older than it may be."""

    code = "feed-stale"
    remedy = "refuse what rests on it, and ask again; `taskbound doctor` says what is wrong with the store"


class FeedBehindError(UnavailableError):
    """Another daemon told more of the log than this one has seen."""

    code = "feed-behind"
    remedy = "ask again in a moment"


class OtherLogError(DeniedError):
    """The log has another record in that place, or none: the store was restored or replaced."""

    code = "other-log"
    remedy = "keep what was heard as ended, forget the position, and read from the beginning of what is kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPage:
    """What follows a place."""

    entries: tuple[Entry, ...]
    """In the order of their places."""
    through: int
    """The place through which everything was looked at; -1 in an empty log."""
    mark: bytes
    """That place's leaf hash; empty in an empty log."""
    age: int
    """Microseconds since all that was durable had been looked at (rule 2)."""
    more: bool
    """Whether there are entries behind these already."""


class Feed:
    """Follows the log of a store. `look` is for one thread, `page` for any."""

    def __init__(self, means: Means) -> None:
        """Have heard nothing, and be stale."""
        self._means = means
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._marks: deque[bytes] = deque(maxlen=_MARKS)
        """Of the last places, the newest last."""
        self._number = 0
        self._through = _NONE
        self._fresh: Instant | None = None
        self._begun = False

    def look(self) -> bool:
        """See what was recorded since the last look; whether there was anything.

        Raises:
            UnavailableError: The store can't be read.
            MalformedError: A record that may be an entry can't be read.
        """
        asked = self._means.clock.now()
        before = self._through
        with self._means.store.read() as snapshot:
            if not self._begun or not self._is_same(snapshot):  # 3
                self._begin(snapshot, asked)
            while rows := snapshot.audit.following(self._number, _TURN):
                bodies = [one.body for one in rows]
                found = entries_in(self._through + 1, bodies)
                with self._lock:
                    self._entries += found
                    self._marks += [leaf_hash(one) for one in bodies]
                    self._through += len(rows)
                    self._number = rows[-1].number
                if len(rows) < _TURN:
                    break
            settled = not snapshot.audit.unsettled()
        with self._lock:
            if settled:
                self._fresh = asked  # 2
            self._forget(asked)
            return self._through != before

    def page(self, namespace: str, after: int, mark: bytes, limit: int) -> FeedPage:
        """What follows a place in the log.

        Args:
            namespace: The reader's (rule 5).
            after: The place through which it has heard everything.
            mark: That place's; empty for a reader that begins, whose place is not looked at (rule 4).
            limit: How many entries at most, from 1.

        Raises:
            FeedStaleError: Rule 2.
            FeedBehindError: The place is further than this daemon has seen.
            OtherLogError: Rule 3.
            UnavailableError: The store can't be read.
        """
        known = self._stored(after) if mark and not self.holds(after) else b""
        with self._lock:
            age = self._age()
            if mark:
                self._require_mark(after, mark, known)
            first = bisect_right(self._entries, after if mark else _NONE, key=lambda one: one.place)
            found: list[Entry] = []
            through, more = self._through, False
            for at in range(first, len(self._entries)):
                one = self._entries[at]
                if one.thing.namespace not in {namespace, ""}:  # 5
                    continue
                if len(found) == limit:
                    through, more = found[-1].place, True
                    break
                found.append(one)
            told = self._kept(through)
        told = told or self._stored(through)
        if not told and through != _NONE:
            raise FeedStaleError(f"the record in place {through} is in the log's tree not yet")
        return FeedPage(entries=tuple(found), through=through, mark=told, age=age, more=more)

    def holds(self, after: int) -> bool:
        """Whether what follows this place is told from memory alone."""
        return 0 <= self._through - after < len(self._marks)

    @property
    def through(self) -> int:
        """The place through which the log was looked at."""
        return self._through

    def _age(self) -> int:
        if self._fresh is None:
            raise FeedStaleError("this daemon has not looked at the log yet")
        age = self._means.clock.now() - self._fresh
        if age > BOUND:
            raise FeedStaleError(f"what this daemon knows of the log is {age / seconds(1):.1f} s old")
        return age

    def _require_mark(self, after: int, mark: bytes, stored: bytes) -> None:
        if after > self._through:
            raise FeedBehindError(f"this daemon has seen the log through {self._through}, and not to {after}")
        if (self._kept(after) or stored) != mark:
            raise OtherLogError(f"the log has another record in place {after} than the one that was heard of")

    def _kept(self, place: int) -> bytes:
        """The mark of a place, from memory; empty where it is not there."""
        back = self._through - place
        return self._marks[-1 - back] if 0 <= back < len(self._marks) else b""

    def _stored(self, place: int) -> bytes:
        """The mark of a place, from the tree; empty where it is not there yet.

        Never with the lock: who waits for a store that hangs keeps nobody from what is in memory.
        """
        if place < 0:
            return b""
        with self._means.store.read() as snapshot:
            tile = snapshot.audit.tile(0, place // TILE_WIDTH)
        start = place % TILE_WIDTH * HASH_SIZE
        return tile[start : start + HASH_SIZE]

    def _is_same(self, snapshot: Snapshot) -> bool:
        """Whether the store still has the record that was looked at last (rule 3)."""
        if not self._number:
            return True
        found = snapshot.audit.numbered(self._number)
        return found is not None and leaf_hash(found.body) == self._marks[-1]

    def _begin(self, snapshot: Snapshot, now: Instant) -> None:
        size, number = snapshot.audit.last_placed()
        last = snapshot.audit.numbered(number) if size else None
        entries = snapshot.revocation.entries(Instant(now - _KEPT))
        with self._lock:
            self._entries = list(entries)
            self._marks.clear()
            if last is not None:
                self._marks.append(leaf_hash(last.body))
            self._through, self._number = size - 1, number
            self._fresh, self._begun = None, True

    def _forget(self, now: Instant) -> None:
        """Forget what is too old to be asked for (rule 4); with the lock."""
        old = 0
        while old < len(self._entries) and self._entries[old].at < now - _KEPT:
            old += 1
        del self._entries[:old]
