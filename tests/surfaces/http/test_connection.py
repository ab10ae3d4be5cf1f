from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import h11

from taskbound.surfaces.http.connection import Bounds, HttpConnection
from taskbound.surfaces.http.head import Reply
from taskbound.surfaces.http.rate import ConnectionLimits

if TYPE_CHECKING:
    from collections.abc import Sequence

PIECE = 65_536
BOUNDS = Bounds(unread=4 * PIECE)


class Empty:
    """A request without a body."""

    length = 0


class Streaming(Reply):
    """A stream that says more than its client reads."""

    def refuse(self, error: Exception) -> None:
        raise error

    def stream(self, connection: HttpConnection[Empty, Streaming]) -> int:
        """Say more than fits; how many bytes were unread at most."""
        connection.write(self._head(200, ()))
        most = 0
        for _ in range(1000):
            connection.write(h11.Data(data=b"x" * PIECE))
            most = max(most, connection.unread)
        return most


class Stream(ConnectionLimits["Bounds", "HttpConnection[Empty, Streaming]"]):
    """Answers every request with such a stream."""

    def __init__(self) -> None:
        super().__init__(BOUNDS)
        self.most: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def read(self, verb: str, target: str, fields: Sequence[tuple[bytes, bytes]]) -> Empty:
        del verb, target, fields
        return Empty()

    def reply(self, connection: HttpConnection[Empty, Streaming], head: Any, raw: Any) -> Streaming:
        del head, raw
        self._line = connection
        return Streaming(connection, last=False)

    def refused(self, error: Exception, raw: Any) -> None:
        raise AssertionError(raw) from error

    def take(self, head: Empty, body: bytes, reply: Streaming) -> None:
        del head, body
        self.most.set_result(reply.stream(self._line))


def test_stream_whose_client_does_not_read_is_closed_at_its_bound() -> None:
    async def story() -> None:
        served = Stream()
        server = await asyncio.get_running_loop().create_server(
            lambda: HttpConnection(served), "127.0.0.1", 0
        )
        async with asyncio.timeout(20), server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # a client that does not read
            writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            most = await served.most
            writer.transport.abort()
        assert BOUNDS.unread < most <= BOUNDS.unread + 2 * PIECE

    asyncio.run(story())
