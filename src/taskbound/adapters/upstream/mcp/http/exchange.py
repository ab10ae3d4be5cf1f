"""One request and its answer on one connection: HTTP/1.1 by `h11`, within bounds.

1. What is sent is built here, whole, and written at once; nothing of it comes from a client's request.
2. The head of an answer is at most 32 KiB, of at most 8 interim answers. A head that frames its body in two
   ways, says its type twice, or has a coded body (`Content-Encoding`) is no answer: nothing is unpacked.
3. Nothing is followed and nothing kept: redirections are answers like any other, cookies are not read.
4. There is a bound of time for the head, and one for each silence after it; time in which nothing is read
   because nobody keeps up counts for neither.
5. The connection is used again only after an answer that ended as it said it would.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import h11

from taskbound.adapters.upstream.mcp.http.errors import BrokenAnswerError
from taskbound.core.dataclass import dataclass
from taskbound.wire.framing import has_one_length, read_lengths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.adapters.upstream.mcp.http.wire import Wire
    from taskbound.core.tool.remote import Remote


_MAX_HEAD: Final = 32_768
_SLICE: Final = 8_192
_MAX_INTERIM: Final = 8
_SINGLE: Final = (b"content-type", b"mcp-session-id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The beginning of an answer."""

    status: int
    kind: bytes
    """The media type in small letters, without parameters."""
    session: bytes | None


class Exchange:
    """One request on one connection."""

    def __init__(self, wire: Wire, flowing: asyncio.Event) -> None:
        """Use this connection; nothing is read from it while `flowing` is not set."""
        self._wire = wire
        self._flowing = flowing
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        self._left = 0.0
        """Seconds that may still be waited for bytes (rule 4)."""
        self._pending = b""
        self._heads: bytearray | None = bytearray()
        """What came until the answer's head was whole; None after that."""
        self.complete = False
        """Whether the connection can be used again (rule 5)."""

    @property
    def unsent(self) -> int:
        """Bytes that the server has not taken yet."""
        return self._wire.unsent

    def send(self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Write a request (rule 1)."""
        request = h11.Request(method=method, target=target, headers=list(headers))
        parts = [self._http.send(request)]
        if body:
            parts.append(self._http.send(h11.Data(data=body)))
        parts.append(self._http.send(h11.EndOfMessage()))
        self._wire.write(b"".join(part for part in parts if part))

    async def head(self, *, patience: float) -> Head:
        """The answer's head.

        Raises:
            BrokenAnswerError: There is none in time, or none that can be believed.
        """
        self._left = patience
        try:
            for _ in range(_MAX_INTERIM + 1):
                event = await self._next()
                if isinstance(event, h11.Response):
                    self._require_one_length()
                    return _head(event)
        except TimeoutError as error:
            raise BrokenAnswerError("timed-out", f"the server did not answer in {patience:g} s") from error
        raise BrokenAnswerError("bad-http", "the server's interim answers do not end")

    def _require_one_length(self) -> None:
        """Go on only with a head that says one length (rule 2)."""
        behind, heads = len(self._http.trailing_data[0]), bytes(self._heads or b"")
        self._heads = None
        if not has_one_length(read_lengths(heads[: len(heads) - behind])):
            raise BrokenAnswerError("bad-http", "the server frames its answer in two ways")

    async def more(self, *, silence: float) -> bytes:
        """The next piece of the body; empty at its end.

        Raises:
            BrokenAnswerError: It is cut off, or the server falls silent.
        """
        self._left = silence
        try:
            while True:
                match await self._next():
                    case h11.Data(data=data) if data:
                        return bytes(data)
                    case h11.Data():
                        continue
                    case h11.EndOfMessage():
                        done = self._http.their_state is h11.DONE and self._http.our_state is h11.DONE
                        self.complete = done and not (self._http.trailing_data[0] or self._pending)
                        return b""
                    case _:
                        raise BrokenAnswerError("bad-http", "the server's answer is cut off")
        except TimeoutError as error:
            raise BrokenAnswerError("timed-out", f"the server was silent for {silence:g} s") from error

    async def _next(self) -> object:
        data = b"?"
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                await self._flowing.wait()
                data = await self._read()
                await self._flowing.wait()  # it may have been cleared while nothing came
                if self._heads is not None:
                    self._heads += data
                self._http.receive_data(data)
        except h11.RemoteProtocolError as error:
            if not data:
                raise BrokenAnswerError("server-lost", "the server's answer is cut off") from error
            raise BrokenAnswerError("bad-http", "the server's answer is no HTTP") from error
        if isinstance(event, h11.ConnectionClosed):
            raise BrokenAnswerError("server-lost", "the server closed the connection")
        return event

    async def _read(self) -> bytes:
        """The next bytes, few at once, so that rule 2 holds: `h11` bounds only what is not complete."""
        if not self._pending:
            self._pending = await self._heard()
        data, self._pending = self._pending[:_SLICE], self._pending[_SLICE:]
        return data

    async def _heard(self) -> bytes:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(self._left):
            data = await self._wire.read()
        self._left = max(self._left - (loop.time() - began), 0.0)
        return data


def headers_for(remote: Remote, body: bytes) -> tuple[tuple[str, str], ...]:
    """What goes with every request to a server, with a body or without one; nothing of it is the client's."""
    found = [
        ("Host", remote.authority),
        ("User-Agent", "taskbound"),
        ("Accept", "application/json, text/event-stream" if body else "text/event-stream"),
        ("Accept-Encoding", "identity"),
        *remote.headers,
    ]
    if body:
        found += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    return tuple(found)


def _head(response: h11.Response) -> Head:
    found: dict[bytes, list[bytes]] = {}
    for name, value in response.headers:
        found.setdefault(bytes(name), []).append(bytes(value))
    if b"transfer-encoding" in found and b"content-length" in found:
        raise BrokenAnswerError("bad-http", "the server frames its answer in two ways")  # 2
    if any(value.strip().lower() != b"identity" for value in found.get(b"content-encoding", ())):
        raise BrokenAnswerError("encoded-answer", "the server's answer is encoded, which nobody asked for")
    if any(len(found.get(name, ())) > 1 for name in _SINGLE):
        raise BrokenAnswerError("bad-http", "the server's answer says in two ways what it is")
    session = found.get(b"mcp-session-id")
    kind = found.get(b"content-type", [b""])[0].partition(b";")[0].strip().lower()
    return Head(status=response.status_code, kind=kind, session=session[0] if session else None)
