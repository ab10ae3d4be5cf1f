"""The HTTP session with one server: one exchange a request, strictly parsed.

1. Request ids count up. An answer counts once, in its request's exchange under its id, as one strict JSON
   document of at most `MAX_LINE` bytes; otherwise the call is *unknown*.
2. Before the first byte of a request is written it is *not sent* (`NotSent`); after that any failure is
   *unknown*. No call is sent twice.
3. When a legacy server ends its session (404), the refused call is unknown, and one new session is opened and
   relisted. If that ends before an answer too, the server is given up.
4. A legacy stream that ends without its answer is resumed (`Last-Event-ID`), for a bounded number of
   fruitless attempts.
5. A legacy server's question is handed on with its call and answered by a POST. A modern server can't ask on
   a stream (MCP 2026-07-28, Transports), so such an answer is invalid.
6. Cancelling closes the exchange (modern) or sends a notification (legacy).
7. A legacy server's messages outside calls arrive on a separate stream, which is given up if it floods,
   refuses or keeps ending.
8. Incomplete answers and messages before an answer are bounded.
9. Progress and logs are routed by exchange (`mcp.session`, rule 6).
10. Lists and handshakes are repeated once with a new token after 401. Calls never are: that a call did not
   run is only the server's claim.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.adapters.upstream.mcp.handshake import open_session
from taskbound.adapters.upstream.mcp.http.errors import BrokenAnswerError, NotReachedError, UntakenTokenError
from taskbound.adapters.upstream.mcp.http.exchange import Exchange, SessionTokens, headers_for
from taskbound.adapters.upstream.mcp.http.reading import Reader, Reply
from taskbound.adapters.upstream.mcp.session import NO_REQUEST, McpSession
from taskbound.core.errors import TaskboundError
from taskbound.core.tool.definition import encoded
from taskbound.ports.upstream import Answered, NoAnswer, NotSent
from taskbound.wire.mcp.message import LEGACY, MODERN, is_modern, notice_line

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from taskbound.adapters.upstream.mcp.http.connect import Dialer
    from taskbound.adapters.upstream.mcp.http.exchange import Head
    from taskbound.adapters.upstream.mcp.http.waits import Waits
    from taskbound.adapters.upstream.mcp.server import SlotValues
    from taskbound.adapters.upstream.mcp.session import Headers
    from taskbound.core.tool.identity import Remote
    from taskbound.ports.upstream import UpstreamAnswer, UpstreamEvents
    from taskbound.wire.mcp.message import Request


_log = logging.getLogger(__name__)
_OPENING: Final = frozenset({"initialize", "notifications/initialized", "server/discover"})
_FRUITLESS: Final = 5
"""Attempts in a row to take a stream up again that may bring nothing."""
_MOST_REPLIES: Final = 16
"""Answers to the server's own requests that are being sent at once; of more requests it hears nothing."""
_MAX_HEADERS: Final = 8_192
"""Bytes of arguments that are repeated as headers; servers take 8 KiB of headers at least."""
_OK, _NOT_FOUND = 200, 404


class HttpSession(McpSession):
    """The session with one server, in either era."""

    def __init__(
        self,
        remote: Remote,
        dialer: Dialer,
        events: UpstreamEvents,
        waits: Waits,
        filling: SlotValues,
        *,
        offers: bytes = b"{}",
    ) -> None:
        super().__init__(events, offers)
        self._filling = filling
        self._bearing = SessionTokens(filling.tokens)
        self._target = filling.target(remote.target)
        self._remote = remote
        self._dialer = dialer
        self._offers = offers
        self._waits = waits
        self._tasks: set[asyncio.Task[None]] = set()
        self._replies = 0
        self._reader = Reader()
        self._exchanges: set[Exchange] = set()
        self._flowing, self._always = asyncio.Event(), asyncio.Event()
        self._flowing.set()
        self._always.set()
        self._version = ""
        """The revision that was agreed on; empty before that."""
        self._session = ""
        self.status = 0
        """The HTTP status of the last answer to a question that opens a session."""
        self._renewal: asyncio.Task[None] | None = None
        self._renewed = False
        """Whether the session was opened anew and nothing was answered in it yet (rule 3)."""
        self._greeting: asyncio.Task[None] | None = None
        self.renewed: Callable[[], None] = lambda: None
        """Called when another session is open."""

    @property
    def unsent(self) -> int:
        return sum(one.unsent for one in self._exchanges)

    # --- towards the server ----------------------------------------------------------------------

    def _refused(self, headers: Headers) -> NotSent | None:
        reason = self._over
        if sum(len(name) + len(value) for name, value in headers) > _MAX_HEADERS:
            reason = "what the tool wants repeated as headers is too long for them"
        return NotSent("not-reached", reason) if reason else None

    def _transmit(self, number: int, line: bytes, method: str, headers: Headers) -> None:
        self._open[number].task = self._begin(self._run(number, method, line, headers))

    def tell(self, method: str, params: bytes = b"") -> None:
        task = self._begin(self._post(notice_line(method, params)))
        if method in _OPENING:
            self._greeting = task

    def cancel(self, number: int, reason: str) -> None:
        if is_modern(self._version):
            reason = "the call was cancelled, and its exchange closed"
            self._resolve(number, NoAnswer("cancelled", reason), stop=True)
        else:
            super().cancel(number, reason)

    def listen(self) -> None:
        self._begin(self._listened())

    def pause(self) -> None:
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def end(self, reason: str) -> None:
        if self._over:
            return
        self._over = reason
        self._lose(reason, "")
        for task in self._tasks:
            task.cancel()
        self._dialer.close()
        self._events.ended(reason, "")

    async def close(self, *, grace: float) -> None:
        self.end("the server was left")
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._session and not is_modern(self._version):
            leaving = self._begin(self._leave())
            await asyncio.wait([leaving], timeout=grace)
            leaving.cancel()
            await asyncio.wait([leaving])
        self._dialer.close()

    # --- one request -----------------------------------------------------------------------------

    def _begin(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("an exchange broke", exc_info=error)
            for number, one in tuple(self._open.items()):
                if one.task is task:
                    self._resolve(number, NoAnswer("broken", "the answer could not be read"))

    async def _run(self, number: int, method: str, line: bytes, headers: Headers) -> None:
        try:
            if method not in _OPENING:
                await self._ready()
            found = await self._asked(number, method, line, headers)
        except NotReachedError as error:
            self._resolve(number, NotSent(error.code, error.message))  # 2
        except BrokenAnswerError as error:
            self._resolve(number, NoAnswer(error.code, error.reason, error.detail))
        else:
            self._learn(method, found)
            self._resolve(number, found)

    async def _ready(self) -> None:
        for task, patience in ((self._renewal, None), (self._greeting, self._waits.greeting)):
            if task is not None and not task.done():
                await asyncio.wait([task], timeout=patience)
        if self._over:
            raise NotReachedError(self._over)

    async def _asked(self, number: int, method: str, line: bytes, headers: Headers) -> UpstreamAnswer:
        wanted = Reply(number, self._asked_of_us if not self._is_modern(method) else None, self._noticed)
        found = await self._answer_to(line, headers, wanted, method)
        attempts = 0
        while found is None:  # 4
            place = wanted.last
            if self._is_modern(method) or not place or attempts >= _FRUITLESS:
                raise BrokenAnswerError("no-answer", "the server's answer ended before it came")
            await asyncio.sleep(wanted.retry)
            again = (*self._headers_of("", line=b""), ("Last-Event-ID", place))
            with contextlib.suppress(NotReachedError):
                found = await self._exchanged("GET", again, b"", wanted, method)
            attempts = 0 if wanted.last != place else attempts + 1
        return found

    async def _answer_to(
        self, line: bytes, headers: Headers, wanted: Reply, method: str
    ) -> UpstreamAnswer | None:
        ours = method in _OPENING or method.endswith("/list")
        sent, body = (*self._headers_of(method, line=line), *headers), line.rstrip(b"\n")
        try:
            return await self._exchanged("POST", sent, body, wanted, method, ours=ours)
        except UntakenTokenError:
            return await self._exchanged("POST", sent, body, wanted, method)

    async def _exchanged(
        self, verb: str, headers: Headers, body: bytes, wanted: Reply, method: str, *, ours: bool = False
    ) -> UpstreamAnswer | None:
        bearer = await self._bearing.headers()
        wire = await self._dialer.take()
        own = wanted.number is None or method in _OPENING  # small, and calls wait for it
        exchange = Exchange(wire, self._always if own else self._flowing)
        self._exchanges.add(exchange)
        try:
            exchange.send(verb, self._target, (*headers, *bearer), body)
            head = await exchange.head(patience=self._waits.answer)
            self._bearing.require_taken(head, bearer, ours=ours)
            self._require_session(head, method)
            more = partial(exchange.more, silence=self._waits.silence)
            found = await self._reader.read(head, more, wanted)
        finally:
            self._exchanges.discard(exchange)
            if exchange.complete:
                self._dialer.give(wire)
            else:
                wire.abort()
        return found

    def _headers_of(self, method: str, *, line: bytes) -> Headers:
        found = [*headers_for(self._remote, line.rstrip(b"\n")), *self._filling.headers]
        if self._is_modern(method):
            found += [("MCP-Protocol-Version", MODERN), ("Mcp-Method", encoded(method))]
        elif method != "initialize":
            found += [("MCP-Protocol-Version", self._version)] if self._version else []
            found += [("MCP-Session-Id", self._session)] if self._session else []
        return tuple(found)

    def _is_modern(self, method: str) -> bool:
        return method == "server/discover" or is_modern(self._version)

    async def _listened(self) -> None:
        await self._ready()
        wanted = Reply(NO_REQUEST, self._asked_of_us, self._noticed)
        attempts = 0
        while attempts < _FRUITLESS:
            place, noticed = wanted.last, wanted.noted
            headers = self._headers_of("", line=b"")
            again = (*headers, ("Last-Event-ID", place)) if place else headers
            try:
                await self._exchanged("GET", again, b"", wanted, "")
            except NotReachedError:
                pass
            except BrokenAnswerError as error:
                if error.code not in {"server-lost", "timed-out"}:
                    return
            attempts = 0 if (wanted.last, wanted.noted) != (place, noticed) else attempts + 1
            await asyncio.sleep(wanted.retry)

    # --- sessions --------------------------------------------------------------------------------

    def _require_session(self, head: Head, method: str) -> None:
        if method in _OPENING:
            self.status = head.status
        if method == "initialize" and head.session is not None and head.status == _OK:
            if not head.session or not all(0x21 <= one <= 0x7E for one in head.session):  # noqa: PLR2004 -- MCP's own bounds
                raise BrokenAnswerError("bad-http", "the server's session has a name that can't be one")
            self._session = head.session.decode("ascii")
        if method not in _OPENING and self._session and head.status == _NOT_FOUND:
            self._renew()
            raise BrokenAnswerError("session-ended", "the server has ended the session")

    def _learn(self, method: str, found: UpstreamAnswer) -> None:
        if method not in _OPENING:
            self._renewed = False
        elif method == "server/discover" and isinstance(found, Answered):
            self._version = MODERN
        elif isinstance(found, Answered):
            version = found.value.get("protocolVersion")
            self._version = version if isinstance(version, str) and version in LEGACY else ""

    def _renew(self) -> None:
        if self._renewal is not None and not self._renewal.done():
            return
        if self._renewed:
            self.end("the server ends every session")
            return
        self._renewed, self._session = True, ""
        self._renewal = self._begin(self._opened_anew())

    async def _opened_anew(self) -> None:
        try:
            await open_session(self, self._version, patience=self._waits.answer, offers=self._offers)
        except TaskboundError as error:
            self.end(f"the server ended the session, and opens no other: {error.message}")
        else:
            self._events.tools_changed()
            self.listen()
            self.renewed()

    async def _leave(self) -> None:
        try:
            bearer = await self._bearing.headers()
            wire = await self._dialer.take()
        except NotReachedError:
            return
        try:
            exchange = Exchange(wire, self._always)
            headers = (*self._headers_of("", line=b""), *bearer)
            exchange.send("DELETE", self._target, headers, b"")
            await exchange.head(patience=self._waits.answer)
        except BrokenAnswerError:
            return
        finally:
            wire.abort()

    # --- beside the answers ----------------------------------------------------------------------

    def _asked_of_us(self, request: Request, within: int | None) -> None:
        self._asks.ask(request, self._every.about(within) or NO_REQUEST)

    def _say(self, line: bytes) -> None:
        if self._over or self._replies >= _MOST_REPLIES:
            return
        self._replies += 1
        self._begin(self._post(line)).add_done_callback(self._replied)

    def _replied(self, _task: asyncio.Task[None]) -> None:
        self._replies -= 1

    async def _post(self, line: bytes) -> None:
        wanted = Reply(None, None, self._noticed)
        headers: Sequence[tuple[str, str]] = self._headers_of("", line=line)
        try:
            await self._exchanged("POST", tuple(headers), line.rstrip(b"\n"), wanted, "")
        except NotReachedError as error:
            _log.warning("the server could not be told: %s", error.message)
        except BrokenAnswerError as error:
            _log.info("the server was told, and answered: %s", error.reason)
