"""What is said between the gateway and a server of the transport of MCP 2024-11-05 (HTTP with SSE).

1. The server's answers come on one stream (`stream`), under ids of our own, counted up over all its streams.
2. Before the first byte of a request is written nothing was sent (`NotSent`): also where the stream on which
   its answer would come ended meanwhile. From there on whatever goes wrong is unknown, and nothing is sent
   twice.
3. When a stream ends, all that is open on it is unknown, and the tools count as changed. The next question of
   our own opens one session anew; a call that finds none, or one being opened, is not sent, because what the
   server lists now was not looked at yet. A server that ends this session as well, before it answered
   anything in it, is given up.
4. Which revisions: those with a handshake, whichever the server agrees to. The transport is older than
   most of them, and what is said on it is the same.
5. A call that was not sent yet is cancelled by not sending it, any other one by a notification.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.adapters.upstream.mcp.errors import ServerLostError
from taskbound.adapters.upstream.mcp.handshake import open_session
from taskbound.adapters.upstream.mcp.http.errors import BrokenAnswerError, NotReachedError
from taskbound.adapters.upstream.mcp.http.stream import Post, Stream
from taskbound.adapters.upstream.mcp.session import Carrier, Session
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.ports.upstream import Answered, Errored, NoAnswer, NotSent
from taskbound.wire.mcp.era import LEGACY
from taskbound.wire.mcp.write import notice_line, text

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from taskbound.adapters.upstream.mcp.http.connect import Dialer
    from taskbound.adapters.upstream.mcp.http.waits import Waits
    from taskbound.adapters.upstream.mcp.news import Listening
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool.remote import Remote
    from taskbound.ports.upstream import Logged, Question, Told, UpstreamAnswer, UpstreamEvents

__all__ = ["SseSession"]

_log = logging.getLogger(__name__)
_INITIALIZE: Final = "initialize"
_INITIALIZED: Final = "notifications/initialized"
_AWAY: Final = "the server's session ended before this was sent; it is opened anew"
_Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A request that somebody waits for."""

    method: str
    params: bytes
    answer: Callable[[UpstreamAnswer], None]
    progress: Told | None
    logged: Logged | None
    ours: bool
    """Whether it is a question of our own (rule 3)."""


class _Ears:
    """What one stream says unasked."""

    def __init__(self, events: UpstreamEvents, lost: Callable[[str], None]) -> None:
        self._events = events
        self._lost = lost

    def tools_changed(self) -> None:
        """Hand it on."""
        self._events.tools_changed()

    def asked(self, question: Question) -> None:
        """Hand it on."""
        self._events.asked(question)

    def withdrawn(self, question: Question) -> None:
        """Hand it on."""
        self._events.withdrawn(question)

    def listed(self, kind: str) -> None:
        """Hand it on."""
        self._events.listed(kind)

    def updated(self, uri: str) -> None:
        """Hand it on."""
        self._events.updated(uri)

    def logged(self, params: Mapping[str, JsonValue]) -> None:
        """Hand it on."""
        self._events.logged(params)

    def ended(self, reason: str, detail: str) -> None:
        """The stream is over, which is not yet the server's end (rule 3)."""
        del detail
        self._lost(reason)


def _require_open(line: Session) -> None:
    if not line.alive:
        raise NotReachedError("the server closed its stream")


class SseSession:
    """Everything that is said to one server of this transport."""

    def __init__(
        self, remote: Remote, dialer: Dialer, events: UpstreamEvents, waits: Waits, *, offers: bytes = b"{}"
    ) -> None:
        """Speak to this server, whose clients have these capabilities; nothing is sent yet."""
        self._offers = offers
        self._remote = remote
        self._dialer = dialer
        self._events = events
        self._waits = waits
        self._last = 0
        self._unsent: dict[int, tuple[_Asked, asyncio.Task[None]]] = {}
        self._sent: dict[int, tuple[Stream, Post]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._stream: Stream | None = None
        self._line: Session | None = None
        """What is said on the stream."""
        self._version = ""
        """The revision that was agreed on; empty before that."""
        self._stale = False
        """Whether the session has ended and is opened anew by the next question (rule 3)."""
        self._renewal: asyncio.Task[None] | None = None
        self._renewed = False
        """Whether it was opened anew and nothing was answered in it yet."""
        self._greeting: asyncio.Task[None] | None = None
        self._over = ""
        self.listening: Listening | None = None
        """A stream of news: only modern servers have one beside what they say."""

    @property
    def alive(self) -> bool:
        """Whether anything can still be asked."""
        return not self._over

    @property
    def unsent(self) -> int:
        """Bytes that the server has not taken yet."""
        return self._stream.unsent if self._stream is not None else 0

    # --- towards the server ----------------------------------------------------------------------

    @property
    def upcoming(self) -> int:
        """The id that the next request has."""
        return self._last + 1

    def send(
        self,
        method: str,
        params: bytes,
        answer: Callable[[UpstreamAnswer], None],
        *,
        headers: _Headers = (),
        progress: Told | None = None,
        logged: Logged | None = None,
    ) -> int:
        """Send a request under a fresh id; `answer` is called once, later, and the others before it."""
        del headers  # arguments are repeated as headers in the modern era only
        asked = _Asked(
            method=method, params=params, answer=answer, progress=progress, logged=logged, ours=False
        )
        return self._begun(asked)

    def tell(self, method: str, params: bytes = b"") -> None:
        """Send a notification."""
        if self._stream is None:
            return
        task = self._begin(self._stream.post(notice_line(method, params)))
        if method == _INITIALIZED:
            self._greeting = task

    def cancel(self, number: int, reason: str) -> None:
        """Have the server stop working on an open request (rule 5)."""
        if number in self._unsent:
            self._leave_unsent(number, NotSent("cancelled", "it was cancelled before it was sent"))
        elif number in self._sent and self._sent[number][0] is self._stream:
            self.tell("notifications/cancelled", b'{"reason":%b,"requestId":%d}' % (text(reason), number))

    def forget(self, number: int) -> None:
        """Drop whatever answer may come; what was not sent yet is not sent any more."""
        one = self._unsent.pop(number, None)
        if one is not None:
            one[1].cancel()
        self._settled(number)
        if self._line is not None:
            self._line.forget(number)

    def listen(self) -> None:
        """Nothing to do: all that the server says comes on the one stream."""

    async def ask(self, method: str, params: bytes, *, patience: float) -> Answered | Errored:
        """The server's answer to a question of our own.

        Raises:
            ServerLostError: It is not reached, could not be believed, or did not answer in time.
        """
        waiting: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()

        def answer(found: UpstreamAnswer) -> None:
            if not waiting.done():
                waiting.set_result(found)

        asked = _Asked(method=method, params=params, answer=answer, progress=None, logged=None, ours=True)
        number = self._begun(asked)
        try:
            async with asyncio.timeout(patience):
                found = await waiting
        except TimeoutError as error:
            raise ServerLostError(f"the server does not answer `{method}` in {patience:g} s") from error
        finally:
            self.forget(number)
        if isinstance(found, NoAnswer | NotSent):
            raise ServerLostError(found.reason, detail=found.detail)
        return found

    def pause(self) -> None:
        """Read nothing more of the stream until `resume`."""
        self._flowing.clear()

    def resume(self) -> None:
        """Read on."""
        if self._stream is not None and not self._flowing.is_set():
            self._stream.resumed()
        self._flowing.set()

    def end(self, reason: str) -> None:
        """Close the stream and every exchange: nothing that the server says counts any more."""
        if self._over:
            return
        self._over = reason
        for number in tuple(self._unsent):
            self._leave_unsent(number, NotSent("server-lost", reason))
        if self._line is not None:
            self._line.end(reason)
        for task in self._tasks:
            task.cancel()
        self._dialer.close()
        self._events.ended(reason, "")

    async def close(self, *, grace: float) -> None:
        """End it; the end of the stream is what ends the server's session."""
        del grace
        self.end("the server was left")
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._dialer.close()

    # --- one request -----------------------------------------------------------------------------

    def _begun(self, asked: _Asked) -> int:
        self._last += 1
        number = self._last
        if self._over:
            asyncio.get_running_loop().call_soon(asked.answer, NotSent("not-reached", self._over))
        else:
            self._unsent[number] = (asked, self._begin(self._run(number, asked)))
        return number

    def _begin(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("an exchange broke", exc_info=error)
            self.end("what the server said could not be read")

    def _leave_unsent(self, number: int, found: NotSent) -> None:
        """Answer a request that was not sent, and does not go any more."""
        asked, task = self._unsent.pop(number)
        if task is not asyncio.current_task():
            task.cancel()
        asked.answer(found)

    def _settled(self, number: int) -> None:
        """Nothing more is owed for a request that was sent."""
        sent = self._sent.pop(number, None)
        if sent is not None:
            stream, post = sent
            stream.paid(number)
            post.answered()

    async def _run(self, number: int, asked: _Asked) -> None:
        """See one request through."""
        try:
            stream, line = await self._ready(asked)
            wire = await self._dialer.take()
        except NotReachedError as error:
            self._leave_unsent(number, NotSent(error.code, error.message))  # 2
            return
        if stream is not self._stream:
            self._dialer.give(wire)
            self._leave_unsent(number, NotSent("session-ended", _AWAY))
            return
        del self._unsent[number]
        post = Post(stream, wire)
        self._sent[number] = (stream, post)
        stream.owes(number)
        answer = partial(self._answered, number, stream, asked)
        line.send(
            asked.method,
            asked.params,
            answer,
            progress=asked.progress,
            logged=asked.logged,
            by=Carrier(number, post.write),
        )
        try:
            await post.taken()
        except BrokenAnswerError as error:
            line.settle(number, NoAnswer(error.code, error.reason, error.detail))
            stream.judge(error)

    def _answered(self, number: int, stream: Stream, asked: _Asked, found: UpstreamAnswer) -> None:
        self._settled(number)
        if asked.method == _INITIALIZE and isinstance(found, Answered):
            version = found.value.get("protocolVersion")
            self._version = version if isinstance(version, str) and version in LEGACY else ""
            if self._version:
                stream.version_header = (("MCP-Protocol-Version", self._version),)
        elif isinstance(found, Answered | Errored):
            self._renewed = False
        asked.answer(found)

    # --- streams ---------------------------------------------------------------------------------

    async def _ready(self, asked: _Asked) -> tuple[Stream, Session]:
        """The stream on which the answer will come.

        Raises:
            NotReachedError: There is none (rule 3).
        """
        if asked.method != _INITIALIZE:
            away = self._stale or (self._renewal is not None and not self._renewal.done())
            if away and not asked.ours:
                raise NotReachedError(_AWAY)
            if self._stale:
                self._stale, self._renewed = False, True
                self._renewal = self._begin(self._opened_anew())
            for task, patience in ((self._renewal, None), (self._greeting, self._waits.greeting)):
                if task is not None and not task.done():
                    await asyncio.wait([task], timeout=patience)
        elif self._stream is None:
            await self._connect()
        if self._over:
            raise NotReachedError(self._over)
        if self._stream is None or self._line is None:
            raise NotReachedError(_AWAY)
        return self._stream, self._line

    async def _connect(self) -> None:
        """Open a stream, and wait until it says where messages are posted to."""
        stream = Stream(self._remote, self._dialer, self._waits, flowing=self._flowing, begin=self._begin)
        line = Session(_Ears(self._events, partial(self._lost, stream)), offers=self._offers)
        line.attach(stream)
        try:
            exchange = await stream.open()
            hearing = self._begin(stream.hear(exchange, line))
            hearing.add_done_callback(lambda _: stream.kill())
            await stream.named()
            _require_open(line)
        except BaseException:
            stream.kill()
            raise
        self._stream, self._line = stream, line

    def _lost(self, stream: Stream, reason: str) -> None:
        """A stream is over (rule 3)."""
        if stream is not self._stream:
            return
        self._stream = self._line = None
        if self._over or not self._version:
            return
        if self._renewed:
            self.end(f"the server ends every session: {reason}")
        else:
            self._stale = True
            self._events.tools_changed()
            for kind in ("prompts", "resources"):  # what was said since nobody knows
                self._events.listed(kind)

    async def _opened_anew(self) -> None:
        try:
            await open_session(self, self._version, patience=self._waits.opening, offers=self._offers)
        except TaskboundError as error:
            self.end(f"the server's session ended, and no other is opened: {error.message}")
