"""The operation that reads the feed: what ended behind a place, or nothing within a moment.

1. Who waits is answered as soon as there is an entry of their namespace, and else when their time is over:
   an answer without entries says how far the log was looked at, and that is what makes a reader fresh.
2. Nobody waits longer than two seconds, so that a reader that is cut off knows it before its bound is over.
3. Who has heard of more than this daemon has seen waits for a look of its, however short they would wait:
   then it has seen that too, or the place is none of this log (`flows.revocation.feed`, rule 3). So does who
   begins: they are told what they ended themselves a moment ago. Such a look begins at once, and not before
   the one that goes on is over. Nobody waits for it longer than a second: then they are told what is known.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from taskbound.flows.revocation import FeedBehindError
from taskbound.surfaces.api.filters import BadFilterError
from taskbound.wire.token import FeedEntry, FeedRows

if TYPE_CHECKING:
    from taskbound.flows.revocation import FeedPage
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer
    from taskbound.wire.token import ReadFeed


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
    """Wakes those who wait for the log to grow; in the loop."""

    def __init__(self) -> None:
        """Have no news, and nobody who wants any."""
        self._grown = asyncio.Event()
        self._asked = float("-inf")
        self.ahead = 0
        """How many wait for a look, whether the log grows or not (rule 3)."""
        self.hurry = threading.Event()
        """Set where a look is to begin at once."""

    def tell(self) -> None:
        """It has grown."""
        self._grown.set()
        self._grown = asyncio.Event()

    def next(self) -> asyncio.Event:
        """What is set when it grows, or did since this was asked for."""
        self._asked = time.monotonic()
        return self._grown

    def is_wanted(self) -> bool:
        """Whether somebody asked lately; from any thread."""
        return time.monotonic() - self._asked < _LATELY


async def read_feed(daemon: Daemon, connection: Connection, ask: ReadFeed) -> Answer:
    """What follows a place in the log (rule 1)."""
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
    """Go on once a look is over that began later than so many, or when it is late, in the loop's time."""
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
    """A page: from memory at once, so that readers wait for none of those who read the store."""
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
    """A page as it is told."""
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
