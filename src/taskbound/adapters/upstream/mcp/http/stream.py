"""One stream of a server of MCP 2024-11-05: what it says comes on it, what it is told is posted elsewhere.

1. The first event names where messages are posted to (`endpoint`), once. What comes before it, a second one,
   and a place that is not the pinned server's (`core.tool.remote`, rule 6) end the stream.
2. Messages are heard as the lines of a process are (`mcp.session`); `pause` stops reading them.
3. A stream that ends, in whatever way, answers all that is open on it as unknown. It is never taken up again:
   the transport has no way to say where.
4. The time that the server may be silent counts while it owes an answer, from the later of its last word and
   the question. So many bytes at most come between two answers, whatever they are.
5. A message counts as taken by a status of success. What stands in the answer to it is nothing, and is read
   only so that the connection can be used again; once the answer itself has come it is waited for briefly.
   404 says that the session is gone, and ends the stream.
6. Of the server's own requests so many are being answered at once; those beyond get no answer.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from taskbound.adapters.upstream.mcp.http.errors import BrokenAnswerError, NotReachedError
from taskbound.adapters.upstream.mcp.http.events import ENDPOINT, EventCutter
from taskbound.adapters.upstream.mcp.http.exchange import Exchange, headers_for
from taskbound.adapters.upstream.mcp.http.reading import MAX_ERROR, TAKEN, no_success
from taskbound.adapters.upstream.mcp.session import MAX_LINE, MAX_UNASKED, Session
from taskbound.core.tool.errors import BadUrlError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from taskbound.adapters.upstream.mcp.http.connect import Dialer
    from taskbound.adapters.upstream.mcp.http.waits import Waits
    from taskbound.adapters.upstream.mcp.http.wire import Wire
    from taskbound.core.tool.remote import Remote

    Begin = Callable[[Coroutine[object, object, None]], asyncio.Task[None]]
    """Runs something until it ends or the server is left."""

__all__ = ["Post", "Stream"]

_log = logging.getLogger(__name__)
_OK: Final = 200
_NOT_FOUND: Final = 404
_MOST_REPLIES: Final = 16
_GONE: Final = "the server has ended the session"


class Post:
    """One message on its way (rule 5)."""

    def __init__(self, stream: Stream, wire: Wire) -> None:
        """Go by this connection; nothing is written yet."""
        self._stream = stream
        self._wire = wire
        self._exchange = Exchange(wire, stream.always)
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    @property
    def unsent(self) -> int:
        """Bytes that the server has not taken yet."""
        return self._exchange.unsent

    def write(self, data: bytes) -> None:
        """Send the line."""
        body = data.rstrip(b"\n")
        headers = (*headers_for(self._stream.remote, body), *self._stream.version_header)
        self._exchange.send("POST", self._stream.target, headers, body)

    def answered(self) -> None:
        """The answer has come: whether the server also says that it took the message matters little now."""
        if not self._over:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._stream.waits.greeting, self._wire.abort)

    async def taken(self) -> None:
        """Wait until the server has said that it took it.

        Raises:
            BrokenAnswerError: It says something else, or nothing.
        """
        self._stream.posts.add(self)
        try:
            head = await self._exchange.head(patience=self._stream.waits.answer)
            if head.status not in {_OK, *TAKEN}:
                if head.status == _NOT_FOUND:
                    raise BrokenAnswerError("session-ended", _GONE)
                raise no_success(head.status)
            await self._read_out()
        finally:
            self._over = True
            if self._timer is not None:
                self._timer.cancel()
            self._stream.posts.discard(self)
            if self._exchange.complete:
                self._stream.dialer.give(self._wire)
            else:
                self._wire.abort()

    async def _read_out(self) -> None:
        size = 0
        try:
            while size <= MAX_ERROR and (
                data := await self._exchange.more(silence=self._stream.waits.greeting)
            ):
                size += len(data)
        except BrokenAnswerError as error:  # it was taken: only the connection is of no use any more
            _log.debug("the answer to a message broke off: %s", error.reason)


class Stream:
    """One session of the server (`mcp.session.Channel`)."""

    def __init__(
        self, remote: Remote, dialer: Dialer, waits: Waits, *, flowing: asyncio.Event, begin: Begin
    ) -> None:
        """Prepare; `open` asks for it, and `begin` runs what is done beside it."""
        self.remote = remote
        self.dialer = dialer
        self.waits = waits
        self.target = ""
        """Where messages are posted to, once it was said (rule 1)."""
        self.version_header: tuple[tuple[str, str], ...] = ()
        self.posts: set[Post] = set()
        self.always = asyncio.Event()
        self.always.set()
        self._flowing = flowing
        self._begin = begin
        self._wire: Wire | None = None
        self._named: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._session: Session | None = None
        self._replies: set[asyncio.Task[None]] = set()
        self._owed: dict[int, float] = {}
        """The instant of each question that is not answered (rule 4)."""
        self._heard = 0.0
        self._said = 0
        self._over = False

    @property
    def unsent(self) -> int:
        """Bytes that the server has not taken yet."""
        return sum(one.unsent for one in self.posts)

    # --- towards the server ----------------------------------------------------------------------

    async def open(self) -> Exchange:
        """Ask for the stream.

        Raises:
            NotReachedError: There is none.
        """
        self._wire = await self.dialer.take()
        exchange = Exchange(self._wire, self._flowing)
        try:
            exchange.send("GET", self.remote.target, headers_for(self.remote, b""), b"")
            head = await exchange.head(patience=self.waits.opening)
        except BrokenAnswerError as error:
            raise NotReachedError(error.reason) from error
        if head.status != _OK:
            raise NotReachedError(no_success(head.status).reason)
        if head.kind != b"text/event-stream":
            raise NotReachedError("the server's answer is no stream of events")
        return exchange

    async def named(self) -> None:
        """Wait until the server has said where messages are posted to.

        Raises:
            NotReachedError: It does not say, or says what can't be.
        """
        try:
            async with asyncio.timeout(self.waits.opening):
                reason = await asyncio.shield(self._named)
        except TimeoutError as error:
            words = f"the server does not say in {self.waits.opening:g} s where messages are sent to"
            raise NotReachedError(words) from error
        if reason:
            raise NotReachedError(reason)

    def write(self, data: bytes) -> None:
        """Answer a request of the server (rule 6)."""
        if self._over or len(self._replies) >= _MOST_REPLIES:
            return
        task = self._begin(self.post(data))
        self._replies.add(task)
        task.add_done_callback(self._replies.discard)

    async def post(self, data: bytes) -> None:
        """Send what gets no answer; nobody waits for what becomes of it."""
        try:
            wire = await self.dialer.take()
            if self._over:
                self.dialer.give(wire)
                return
            post = Post(self, wire)
            post.write(data)
            await post.taken()
        except NotReachedError as error:
            _log.warning("the server could not be told: %s", error.message)
        except BrokenAnswerError as error:
            _log.info("the server was told, and answered: %s", error.reason)
            self.judge(error)

    def judge(self, error: BrokenAnswerError) -> None:
        """End the stream when the server says that its session is gone (rule 5)."""
        if error.code == "session-ended" and self._session is not None:
            self._session.end(error.reason)

    def owes(self, number: int) -> None:
        """A question was sent: the server owes an answer."""
        self._owed[number] = asyncio.get_running_loop().time()

    def paid(self, number: int) -> None:
        """It does not owe this one any more."""
        self._said = 0
        self._owed.pop(number, None)

    def resumed(self) -> None:
        """It is read on: time in which it was not read counts for nothing."""
        self._heard = asyncio.get_running_loop().time()

    def kill(self) -> None:
        """End it at once."""
        self._over = True
        for task in self._replies:
            task.cancel()
        if self._wire is not None:
            self._wire.abort()
        self._say("the server ended the stream")

    # --- from the server -------------------------------------------------------------------------

    async def hear(self, exchange: Exchange, session: Session) -> None:
        """Hear what comes, to the end of the stream."""
        self._session = session
        cutter = EventCutter(MAX_LINE)
        try:
            while data := await self._more(exchange):
                self._said += len(data)
                for kind, text in cutter.events(data):
                    self._event(kind, text, session.heard)
                self._require_bounded()
            reason = "the server closed its stream"
        except BrokenAnswerError as error:
            reason = error.reason
        self._say(reason)
        session.end(reason)  # 3

    def _require_bounded(self) -> None:
        if self._said > MAX_UNASKED:
            words = f"the server said more than {MAX_UNASKED} bytes that nobody asked for"
            raise BrokenAnswerError("too-large", words)  # 4

    def _event(self, kind: bytes, text: bytes, heard: Callable[[bytes], None]) -> None:
        """Take one event (rules 1 and 2)."""
        if kind != ENDPOINT:
            if not self.target:
                raise BrokenAnswerError("garbage", "the server speaks before it has said where to answer")
            heard(text + b"\n")
            return
        if self.target:
            raise BrokenAnswerError("garbage", "the server names a second place for messages")
        try:
            self.target = self.remote.target_of(text.decode("ascii", "replace"))
        except BadUrlError as error:
            words = f"the server names a place for messages that can't be: {error.message}"
            raise BrokenAnswerError("garbage", words) from error
        self._say("")

    def _say(self, reason: str) -> None:
        if not self._named.done():
            self._named.set_result(reason)

    async def _more(self, exchange: Exchange) -> bytes:
        """The next piece; a server that owes nothing may be silent (rule 4)."""
        clock = asyncio.get_running_loop().time
        self._heard = clock()
        silence = self.waits.silence
        while True:
            try:
                return await exchange.more(silence=max(self._since(clock()) + silence - clock(), 0.0))
            except BrokenAnswerError as error:
                if error.code != "timed-out":
                    raise
            if self._flowing.is_set() and self._since(clock()) + silence <= clock():
                raise BrokenAnswerError("timed-out", f"the server was silent for {silence:g} s")

    def _since(self, now: float) -> float:
        """The instant from which its silence counts."""
        return max(self._heard, min(self._owed.values())) if self._owed else now
