"""Parses answers: one JSON document, or a stream of server-sent events.

1. A document is the exchange's answer. A stream brings notifications, requests, and the answer under the
   request's id; later events are ignored.
2. For an error status, a JSON-RPC error in the body is the answer, whose id may be absent; otherwise only the
   status is known.
3. Bounds: `MAX_LINE` for a message, `MAX_HELD` for all exchanges, `MAX_UNASKED` before an exchange's answer.
4. Long messages are parsed outside the loop: 16 MiB can take seconds.

Events (`EventCutter`):

1. A line ends at LF or CRLF. The standard also permits a bare CR, which is refused because parsers disagree
   about it.
2. Fields are `data`, `event`, `id` and `retry`; other fields, comments and events other than `message` are
   ignored.
3. The resume position (`last`) changes only at the end of an event and must be a valid header value.
4. Lines and events have at most `limit` bytes.
5. The line ends inside one message become spaces, which JSON strings can't contain unescaped.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

from taskbound.adapters.upstream.mcp.http.errors import BrokenAnswerError
from taskbound.adapters.upstream.mcp.session import MAX_LINE, MAX_UNASKED
from taskbound.core.action.parse import Limits
from taskbound.core.action.text import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.ports.upstream import Answered, Errored, NoAnswer
from taskbound.wire.mcp.message import Failure, Notice, Request, Result, parse_message

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from taskbound.adapters.upstream.mcp.http.exchange import Head
    from taskbound.ports.upstream import UpstreamAnswer
    from taskbound.wire.mcp.message import Message

    More = Callable[[], Awaitable[bytes]]
    """The next piece of a body; empty at its end."""


_MESSAGE: Final = b"message"

_ID: Final = re.compile(rb"[!-~]{1,1024}")
_RETRY: Final = re.compile(rb"[0-9]{1,9}")
_SPACES: Final = bytes.maketrans(b"\r\n", b"  ")
_LEAST: Final = 0.05
_MOST: Final = 30.0
"""Seconds between which a server's wish how soon to come back is kept."""
_MARK: Final = b"\xef\xbb\xbf"


def one_line(document: bytes) -> bytes:
    return document.translate(_SPACES) if b"\n" in document or b"\r" in document else document


class EventCutter:
    """Splits an event stream into messages."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._first = True
        self._line: list[bytes] = []
        self._size = 0
        self._data: list[bytes] = []
        self._data_size = 0
        self._type = b""
        self._id: str | None = None
        self.last = ""
        """The id of the last event that ended; empty when the stream can't be taken up again."""
        self.retry = 1.0
        """Seconds to wait before that."""

    @property
    def held(self) -> int:
        return self._size + self._data_size

    def feed(self, data: bytes) -> list[bytes]:
        """Returns the completed messages, each as one line; raises BrokenAnswerError."""
        found: list[bytes] = []
        *lines, rest = data.split(b"\n")
        for line in lines:
            whole = b"".join((*self._line, line))
            self._line.clear()
            self._size = 0
            self._field(whole, found)
        if rest:
            self._line.append(rest)
            self._size += len(rest)
        if self.held > self._limit:
            raise BrokenAnswerError("too-large", f"the server's answer is over {self._limit} bytes")  # 4
        return found

    def _field(self, line: bytes, found: list[bytes]) -> None:
        line = line.removesuffix(b"\r")
        if self._first:
            line, self._first = line.removeprefix(_MARK), False
        if b"\r" in line:
            raise BrokenAnswerError(
                "bare-return", "a carriage return stands inside a line of the answer"
            )  # 1
        if not line:
            self._end(found)
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._data_size += len(value) + 1
        elif name == b"event":
            self._type = value
        elif name == b"id":
            self._id = value.decode("ascii") if _ID.fullmatch(value) else ""  # 3
        elif name == b"retry" and _RETRY.fullmatch(value):
            self.retry = min(max(int(value) / 1_000, _LEAST), _MOST)

    def _end(self, found: list[bytes]) -> None:
        data, kind = b"\n".join(self._data), self._type or _MESSAGE
        if self._id is not None:
            self.last = self._id
        self._data.clear()
        self._data_size = 0
        self._type, self._id = b"", None
        if len(data) > self._limit:
            raise BrokenAnswerError("too-large", f"the server's answer is over {self._limit} bytes")  # 4
        if data and kind == _MESSAGE:
            found.append(one_line(data))  # 5


MAX_HELD: Final = 64 * 1024 * 1024
"""Bytes of answers that are not complete, of one server."""
_LIMITS: Final = Limits(size=MAX_LINE, parts=262_144)
_MAX_ERROR: Final = 65_536
"""Bytes of an answer whose status says that it is an error."""
_AT_ONCE: Final = 65_536
"""Bytes of a message that is read in the loop."""
_SHOWN: Final = 200
_OK: Final = 200
_CUT: Final = frozenset({"bad-http", "server-lost"})
"""How a stream ends that was cut off, and may be taken up again."""
_TAKEN: Final = frozenset({202, 204})
_HINTS: Final = {
    401: ": it wants credentials, or others than it was given",
    403: ": it refuses this client, or what its token is for",
}


@dataclass(slots=True, eq=False)
class Reply:
    """The state of one request over all streams of its answer."""

    number: int | None
    """Its id; None for what gets no answer."""
    asked: Callable[[Request, int | None], None] | None
    """Hears what the server asks, with the id of the request; None when it can't ask."""
    noticed: Callable[[Notice, int | None], None]
    """Hears notifications, with the id of the request."""
    last: str = ""
    """Where its stream can be taken up again."""
    retry: float = 1.0
    """Seconds to wait before that."""
    said: int = 0
    """Bytes that came on its streams so far."""
    noted: int = 0
    """Notifications and requests among them."""

    def hear(self, size: int) -> None:
        """Counts received bytes (rule 3)."""
        self.said += size
        if self.said > MAX_UNASKED:
            words = f"the server said more than {MAX_UNASKED} bytes without being asked"
            raise BrokenAnswerError("too-large", words)


class Reader:
    """Reads the answers of one server."""

    def __init__(self) -> None:
        self._held = 0

    async def read(self, head: Head, more: More, reply: Reply) -> UpstreamAnswer | None:
        """Returns the exchange's answer, or None if its stream ended before; raises BrokenAnswerError."""
        if reply.number is None:
            await self._accepted(head, more)
            return None
        if head.status != _OK:
            return await self._refused(head, more)
        if head.kind == b"application/json":
            document = one_line(await self._whole(more, MAX_LINE))
            found = _heard(await _message(document), reply)
            if found is None:
                raise BrokenAnswerError("garbage", "the server answered with something that is no answer")
            return found
        if head.kind == b"text/event-stream":
            return await self._streamed(more, reply)
        raise BrokenAnswerError("garbage", "the server's answer is neither JSON nor a stream of events")

    async def _accepted(self, head: Head, more: More) -> None:
        if head.status not in {_OK, *_TAKEN}:
            raise BrokenAnswerError("http-status", f"HTTP status {head.status}")
        if head.status in _TAKEN:
            await self._whole(more, _MAX_ERROR)

    async def _refused(self, head: Head, more: More) -> UpstreamAnswer:
        if head.status in _TAKEN:
            raise BrokenAnswerError("no-answer", "the server took the request and answers nothing")
        plain = _no_success(head.status)
        if plain.code == "redirected":
            raise plain
        if head.kind != b"application/json":
            raise plain
        document = one_line(await self._whole(more, _MAX_ERROR))
        try:
            found = parse_message(document, limits=_LIMITS)
        except MalformedError:
            raise plain from None
        if not isinstance(found, Failure):
            raise plain
        return Errored(found.raw, found.code, found.message)

    async def _whole(self, more: More, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            while data := await more():
                self._hold(len(data))
                parts.append(data)
                size += len(data)
                if size > limit:
                    raise BrokenAnswerError("too-large", f"the server's answer is over {limit} bytes")
        finally:
            self._held -= size
        return b"".join(parts)

    async def _streamed(self, more: More, reply: Reply) -> UpstreamAnswer | None:
        cutter = EventCutter(MAX_LINE)
        before = 0
        try:
            while data := await more():
                reply.hear(len(data))
                messages = cutter.feed(data)
                self._hold(cutter.held - before)
                before = cutter.held
                reply.last, reply.retry = cutter.last or reply.last, cutter.retry
                for message in messages:
                    found = _heard(await _message(message), reply)
                    if found is not None:
                        return found  # 1
        except BrokenAnswerError as error:
            if error.code not in _CUT or not reply.last:
                raise
        finally:
            self._held -= before
        return None

    def _hold(self, more: int) -> None:
        if self._held + more > MAX_HELD:
            raise BrokenAnswerError("too-large", f"the server's answers are over {MAX_HELD} bytes together")
        self._held += more


def _no_success(status: int) -> BrokenAnswerError:
    if 300 <= status < 400:  # noqa: PLR2004 -- what HTTP calls a redirection
        return BrokenAnswerError("redirected", "the server sends elsewhere, and is not followed there")
    return BrokenAnswerError(
        "http-status", f"the server answers with HTTP status {status}{_HINTS.get(status, '')}"
    )


async def _message(document: bytes) -> Message:
    try:
        if len(document) > _AT_ONCE:
            return await asyncio.to_thread(parse_message, document, limits=_LIMITS)
        return parse_message(document, limits=_LIMITS)
    except MalformedError as error:
        shown = escape_text(document[:_SHOWN].decode("utf-8", "replace"))
        raise BrokenAnswerError(
            error.code, f"the server's answer can't be read: {error.message}", shown
        ) from error


def _heard(message: Message, reply: Reply) -> UpstreamAnswer | None:
    match message:
        case Result(id=number, raw=raw, value=value):
            if number != reply.number:
                return None
            if not isinstance(value, dict):
                return NoAnswer("garbage", "the server answered with no object")
            return Answered(raw, value)
        case Failure(id=number, raw=raw, code=code, message=words):
            if number is None:
                return NoAnswer("garbage", "the server sent an error that answers no request")
            return Errored(raw, code, words) if number == reply.number else None
        case Request():
            if reply.asked is None:
                raise BrokenAnswerError("garbage", "the server asks where it can't ask")
            reply.noted += 1
            reply.asked(message, reply.number)
        case Notice():
            reply.noted += 1
            reply.noticed(message, reply.number)
    return None
