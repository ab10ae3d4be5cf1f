"""The operation that reads the revocation feed: entries after a position, or none after a short wait.

1. A reader is answered when its namespace has an entry, or when its time is over. An empty answer says how
   far the log was read: that makes a reader fresh.
2. A reader waits at most two seconds, so that it learns of a lost connection within its freshness bound.
3. A reader whose position lies ahead of this daemon's view, or that begins, waits for a new look at the log:
   then the view covers its position, or the position is not of this log (`flows.revocation.feed`, rule 3).
   The look begins after the running one, and the reader waits for it at most a second.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from taskbound.flows.revocation import FeedBehindError
from taskbound.surfaces.api.operations.show import BadFilterError
from taskbound.surfaces.api.server.operation import operation
from taskbound.wire.token import FeedEntry, FeedRows, ReadFeed

if TYPE_CHECKING:
    from taskbound.flows.revocation import FeedPage
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.wire.envelope import Answer


MOST_WAIT: Final = 2_000
"""Milliseconds (rule 2)."""
_MOST: Final = 1_000
_BEHIND: Final = 1.0
"""Seconds that who is ahead waits for a look (rule 3)."""
_LATELY: Final = 10.0
"""Seconds."""
_MARK: Final = 64
"""Characters of a mark."""


class FeedNews:
    """Wakes readers when the log grows; used in the loop."""

    def __init__(self) -> None:
        self._grown = asyncio.Event()
        self._asked = float("-inf")
        self.ahead = 0
        """How many wait for a look, whether the log grows or not (rule 3)."""
        self.hurry = threading.Event()
        """Set where a look is to begin at once."""

    def tell(self) -> None:
        """Reports that the log has grown."""
        self._grown.set()
        self._grown = asyncio.Event()

    def next(self) -> asyncio.Event:
        """Returns an event that is set when the log grows after this call."""
        self._asked = time.monotonic()
        return self._grown

    def is_wanted(self) -> bool:
        """Returns whether a reader asked recently; may run in any thread."""
        return time.monotonic() - self._asked < _LATELY


@operation(ReadFeed)
async def _read_feed(daemon: Daemon, connection: Connection, ask: ReadFeed) -> Answer:
    mark = _mark_of(ask)
    limit = max(1, min(ask.limit, _MOST))
    loop, since = asyncio.get_running_loop(), daemon.feed.looks
    began = loop.time()
    end = began + max(0, min(ask.wait, MOST_WAIT)) / 1000
    if not mark:
        await _looked(daemon, since, began + _BEHIND)  # 3
    while True:
        grown = daemon.feed_news.next()
        try:
            page = await _page(daemon, connection.namespace, ask.after, mark, limit, since)
        except FeedBehindError:
            if (late := max(end, began + _BEHIND)) <= loop.time():
                raise
            await _looked(daemon, since, late)  # 3
            continue
        if page.entries or not mark or (left := end - loop.time()) <= 0:
            return rows_of(connection.namespace, page)
        await _until(grown, left)


async def _looked(daemon: Daemon, since: int, late: float) -> None:
    """Waits for a look that began after `since`, or until `late` in the loop's time."""
    loop, news = asyncio.get_running_loop(), daemon.feed_news
    news.ahead += 1
    try:
        while not daemon.feed.has_looked(since) and (left := late - loop.time()) > 0:
            news.hurry.set()
            await _until(news.next(), left)
    finally:
        news.ahead -= 1


async def _until(grown: asyncio.Event, left: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(left):
            await grown.wait()


async def _page(daemon: Daemon, namespace: str, after: int, mark: bytes, limit: int, since: int) -> FeedPage:
    """Serves a page from memory, so that readers never queue for the store."""
    feed = daemon.feed
    found = feed.at_hand(namespace, after, mark, limit, since=since)
    if found is not None:
        return found
    return await daemon.read(lambda: feed.page(namespace, after, mark, limit, since=since))


def _mark_of(ask: ReadFeed) -> bytes:
    if not ask.mark:
        return b""
    with suppress(ValueError):
        if len(ask.mark) == _MARK and ask.after >= 0:
            return bytes.fromhex(ask.mark)
    raise BadFilterError("a mark is the 64 hexadecimal digits that came with its place", where="mark")


def rows_of(namespace: str, page: FeedPage) -> FeedRows:
    """Converts a page to its wire form."""
    return FeedRows(
        namespace=namespace,
        entries=tuple(
            FeedEntry(
                place=one.place,
                at=one.at,
                about=one.thing.about.value,
                id=one.thing.id,
                turn=one.turn.value,
            )
            for one in page.entries
        ),
        through=page.through,
        mark=page.mark.hex(),
        age=page.age,
        more=page.more,
    )
