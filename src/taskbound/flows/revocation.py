"""The revocation feed of one daemon, and the kill switch.

1. Each daemon reads its feed from the log.
2. It is as fresh as the start of the last look behind which nothing is unsettled. A failed or delayed look
   makes it stale, and a stale feed is not served.
3. A place is given with its *mark*, the record's leaf hash, which the reader shows next time. If the log has
   another record there, the store was restored or replaced and the reader gets an error. A place beyond this
   daemon's view may come from another daemon until a look that began after the question. A mark not in the
   tree yet is not a mismatch.
4. Ten minutes of entries are kept in memory: a revoked token lives five minutes at most (I-44), plus two of
   clock difference between daemons. Age is counted in looks of at most five
   seconds, independent of wall clocks. A new or late reader gets all of them.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from taskbound.core.audit import KillSwitchChanged, leaf_hash
from taskbound.core.audit.merkle import HASH_SIZE, TILE_WIDTH
from taskbound.core.clock import Duration, Instant, minutes, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.core.revocation import earliest_of, entries_in, throw

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.revocation import Entry, KillSwitch
    from taskbound.flows.means import Actor, Adapters
    from taskbound.ports.store import Snapshot, Transaction


BOUND: Final = seconds(5)
"""How old what a feed says may be (design 4, law 10)."""


class FeedStaleError(UnavailableError):
    """The daemon's view of the log is older than allowed."""

    code = "feed-stale"
    remedy = "refuse what rests on it, and ask again; `taskbound doctor` says what is wrong with the store"


class FeedBehindError(UnavailableError):
    """Another daemon has reported more of the log than this one has seen."""

    code = "feed-behind"
    remedy = "ask again in a moment"


class OtherLogError(DeniedError):
    """The log has another record in that place, or none: the store was restored or replaced."""

    code = "other-log"
    remedy = "keep what was heard as ended, forget the position, and read from the beginning of what is kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPage:
    """The entries that follow a place."""

    entries: tuple[Entry, ...]
    """In the order of their places."""
    through: int
    """The place through which everything was looked at; -1 in an empty log."""
    mark: bytes
    """That place's leaf hash; empty in an empty log."""
    age: int
    """Microseconds since all that was durable had been looked at."""
    more: bool
    """Whether there are entries behind these already."""


_KEPT: Final = minutes(10)
_TURN: Final = 1_000
_MARKS: Final = 65_536
"""Marks of so many last places are kept; older ones are in the tree."""
_NONE: Final = -1
_LATELY: Final = 256
"""Records by which a feed that begins tells how far clocks are behind its own."""

_place: Final = attrgetter("place")


class _Unread(NamedTuple):
    place: int
    log: int
    """How often the feed had begun by then."""


class Feed:
    """Follows the log of a store. `look` is for one thread; `page` is thread-safe."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._of: dict[str, list[Entry]] = {}
        """The same by namespace."""
        self._marks: deque[bytes] = deque(maxlen=_MARKS)
        """Of the last places, the newest last."""
        self._marked: dict[int, bytes] = {}
        """Of entries, by place."""
        self._number = 0
        self._through = _NONE
        self._fresh: Instant | None = None
        self._spent, self._looked = Duration(0), adapters.clock.now()
        """How long it has looked by now, and until when."""
        self._came: deque[tuple[Duration, int]] = deque()
        """When so many of the entries came, the oldest first."""
        self._log = 0
        """How often it has begun."""
        self._looks = self._done = 0
        """How many looks have begun, and which was the last to end."""

    def look(self) -> bool:
        self._looks += 1
        asked = self._adapters.clock.now()
        before = self._through
        with self._adapters.store.read() as snapshot:
            if not self._log or not self._is_same(snapshot):
                self._begin(snapshot, asked)
            while rows := snapshot.audit.following(self._number, _TURN):
                bodies, start = [one.body for one in rows], self._through + 1
                found, marks = entries_in(start, bodies), [leaf_hash(one) for one in bodies]
                with self._lock:
                    self._keep(found)
                    self._marked |= {one.place: marks[one.place - start] for one in found}
                    self._marks += marks
                    self._through += len(rows)
                    self._number = rows[-1].number
                if len(rows) < _TURN:
                    break
            settled = not snapshot.audit.unsettled()
        with self._lock:
            if settled:
                self._fresh = asked
            self._done = self._looks
            self._spent, self._looked = Duration(self._spent + min(asked - self._looked, BOUND)), asked
            self._forget()
            return self._through != before

    def page(
        self, namespace: str, after: int, mark: bytes, limit: int, *, since: int | None = None
    ) -> FeedPage:
        """`mark` is the place's mark, empty for a new reader; `since` is `looks` when the question came."""
        read: dict[_Unread, bytes] = {}
        while isinstance(found := self._page(namespace, after, mark, limit, since=since, read=read), _Unread):
            read[found] = self._stored(found.place)
            self._remember(found, read[found])
        return found

    def at_hand(
        self, namespace: str, after: int, mark: bytes, limit: int, *, since: int | None = None
    ) -> FeedPage | None:
        """As `page`, from memory only and without blocking; None if the store must be read."""
        found = self._page(namespace, after, mark, limit, since=since, read={})
        return None if isinstance(found, _Unread) else found

    @property
    def through(self) -> int:
        return self._through

    @property
    def looks(self) -> int:
        return self._looks

    def has_looked(self, since: int) -> bool:
        """Whether a look ended that began after `since` looks had begun."""
        return self._done > since

    def _page(
        self,
        namespace: str,
        after: int,
        mark: bytes,
        limit: int,
        *,
        since: int | None,
        read: Mapping[_Unread, bytes],
    ) -> FeedPage | _Unread:
        with self._lock:
            age = self._age()
            if mark:
                self._require_seen(after, since)
                known = self._mark(after, read)
                if not known:
                    return _Unread(after, self._log)
                if known != mark:
                    raise OtherLogError(
                        f"the log has another record in place {after} than the one that was heard of"
                    )
            found, more = self._behind(namespace, after if mark else _NONE, limit)
            through = found[-1].place if more else self._through
            told = self._mark(through, read)
            if not told and through != _NONE:
                return _Unread(through, self._log)
        return FeedPage(entries=tuple(found), through=through, mark=told, age=age, more=more)

    def _behind(self, namespace: str, after: int, limit: int) -> tuple[list[Entry], bool]:
        """Returns up to `limit` entries after a place, and whether there are more; lock held."""
        found: list[Entry] = []
        for space in (namespace, ""):
            there = self._of.get(space, [])
            first = bisect_right(there, after, key=_place)
            found += there[first : first + limit + 1]
        found.sort(key=_place)
        return found[:limit], len(found) > limit

    def _age(self) -> int:
        if self._fresh is None:
            raise FeedStaleError("this daemon has not looked at the log yet")
        age = self._adapters.clock.now() - self._fresh
        if age > BOUND:
            raise FeedStaleError(f"what this daemon knows of the log is {age / seconds(1):.1f} s old")
        return age

    def _require_seen(self, after: int, since: int | None) -> None:
        if after <= self._through:
            return
        if since is not None and self.has_looked(since):
            raise OtherLogError(f"the log reaches to {self._through}, and not to {after}")
        raise FeedBehindError(f"this daemon has seen the log through {self._through}, and not to {after}")

    def _mark(self, place: int, read: Mapping[_Unread, bytes]) -> bytes:
        """Returns the mark of a place, empty if unknown; lock held."""
        back = self._through - place
        if 0 <= back < len(self._marks):
            return self._marks[-1 - back]
        return self._marked.get(place) or read.get(_Unread(place, self._log), b"")

    def _remember(self, unread: _Unread, mark: bytes) -> None:
        with self._lock:
            at = bisect_left(self._entries, unread.place, key=_place)
            there = at < len(self._entries) and self._entries[at].place == unread.place
            if there and unread.log == self._log:
                self._marked[unread.place] = mark

    def _stored(self, place: int) -> bytes:
        """Reads a mark from the tree, without the lock: a hanging store would block readers of memory."""
        with self._adapters.store.read() as snapshot:
            tile = snapshot.audit.tile(0, place // TILE_WIDTH)
        start = place % TILE_WIDTH * HASH_SIZE
        found = tile[start : start + HASH_SIZE]
        if not found:
            raise FeedStaleError(f"the record in place {place} is in the log's tree not yet")
        return found

    def _is_same(self, snapshot: Snapshot) -> bool:
        if not self._number:
            return True
        found = snapshot.audit.numbered(self._number)
        return found is not None and leaf_hash(found.body) == self._marks[-1]

    def _begin(self, snapshot: Snapshot, now: Instant) -> None:
        size, number = snapshot.audit.last_placed()
        last = snapshot.audit.numbered(number) if size else None
        lately = snapshot.audit.records(max(0, size - _LATELY), _LATELY)
        entries = snapshot.revocation.entries(Instant(earliest_of(lately, now) - _KEPT))
        with self._lock:
            self._entries.clear()
            self._of.clear()
            self._came.clear()
            self._keep(entries)
            self._marks.clear()
            self._marked.clear()
            if last is not None:
                self._marks.append(leaf_hash(last.body))
            self._through, self._number = size - 1, number
            self._fresh, self._log = None, self._log + 1

    def _keep(self, entries: Iterable[Entry]) -> None:
        before = len(self._entries)
        for one in entries:
            self._entries.append(one)
            self._of.setdefault(one.thing.namespace, []).append(one)
        if len(self._entries) > before:
            self._came.append((self._spent, len(self._entries) - before))

    def _forget(self) -> None:
        old = 0
        while self._came and self._came[0][0] < self._spent - _KEPT:
            old += self._came.popleft()[1]
        gone = Counter(one.thing.namespace for one in self._entries[:old])
        for one in self._entries[:old]:
            self._marked.pop(one.place, None)
        del self._entries[:old]
        for space, count in gone.items():
            del self._of[space][:count]
            if not self._of[space]:
                del self._of[space]


def stop(adapters: Adapters, namespace: str, *, stopped: bool, reason: str, actor: Actor) -> KillSwitch:
    """Throws or lifts the switch durably; throwing may use the reserve, so a full disk is no obstacle."""

    def work(tx: Transaction) -> KillSwitch:
        before = tx.revocation.lock_kill_switch(namespace, moves=True)
        after = throw(before, stopped=stopped, reason=reason)
        if after == before:
            return before
        tx.revocation.put_kill_switch(namespace, after, expect=before.epoch)
        event = KillSwitchChanged(
            stopped=stopped, epoch=after.epoch, reason=reason, by=actor.name, proof=actor.proof
        )
        tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())
        return after

    return adapters.store.write(work, reserve=stopped)
