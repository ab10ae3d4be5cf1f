"""Calls of the Workload API: gRPC over HTTP/2 without TLS, an empty request and a stream of messages each.

Source: SPIFFE Workload Endpoint §3 to §6; the gRPC protocol over HTTP/2. `h2` takes HTTP/2 apart and does
nothing else.

1. Every call says `workload.spiffe.io: true`, exactly (§6.1).
2. A message has a bound, and so have the time to the first of each call and the headers. Nothing is
   compressed: nobody was told that it could be.
3. An end is an error with the server's status: a stream that says all there is never ends by itself.
4. No credential is sent: whom the server talks to it sees from the kernel.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes

from taskbound.core.identity.trust import BundleSizeError, TrustRefusedError, TrustSourceError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence

    from h2.events import Event


UNIMPLEMENTED: Final = 12
_INVALID: Final = 3
_UNKNOWN: Final = 2
_NAMES: Final = {
    2: "unknown",
    3: "invalid-argument",
    7: "permission-denied",
    12: "unimplemented",
    14: "unavailable",
}
_MOST: Final = 1_048_576
"""Bytes of a message: the bundles of all domains that the server knows."""
_PREFIX: Final = 5
_CHUNK: Final = 65_536
_HEADERS: Final = 16_384
_PATIENCE: Final = 10.0


class Calls:
    """Some calls on one connection, until one of them ends."""

    def __init__(self, place: str, methods: Sequence[str], *, patience: float = _PATIENCE) -> None:
        """Prepare; nothing is connected.

        Args:
            place: `unix:///PATH` or `tcp://IP:PORT`, as `parse_trust` let through.
            methods: What is called, by name.
            patience: Seconds until the connection stands, and then until each call has had its first message.
        """
        self._place = place
        self._methods = methods
        self._patience = patience
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None
        settings = H2Configuration(client_side=True, header_encoding=None)
        self._h2 = H2Connection(config=settings)
        self._buffers: dict[int, bytearray] = {}
        self._statuses: dict[int, int] = {}
        self._waiting: set[int] = set()

    async def messages(self) -> AsyncGenerator[tuple[str, bytes | None], None]:
        """Method and message of each that comes; no message for a method that the server doesn't offer.

        Raises:
            TrustSourceError: The server is not reached, or ended a call (rule 3).
            TrustRefusedError: It takes no such call.
            BundleSizeError: A message is larger than is read.
        """
        try:
            async with asyncio.timeout(self._patience):
                await self._open()
            deadline = asyncio.get_running_loop().time() + self._patience
            while True:
                async with asyncio.timeout_at(deadline if self._waiting else None):
                    data = await self._reader.read(_CHUNK)
                if not data:
                    raise TrustSourceError("the Workload API closed the connection")
                for event in self._h2.receive_data(data):
                    for found in self._seen(event):
                        yield found
                await self._flush()
        except TimeoutError as error:
            raise TrustSourceError(f"the Workload API did not answer in {self._patience:g} s") from error
        except H2Error as error:
            raise TrustSourceError("the Workload API speaks no HTTP/2 that can be read") from error
        except OSError as error:
            words = error.strerror or type(error).__name__
            raise TrustSourceError(f"the Workload API can't be reached: {words}") from error

    def close(self) -> None:
        """End the connection, and every call on it."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def _open(self) -> None:
        if self._place.startswith("unix:"):
            path = self._place.removeprefix("unix://")
            self._reader, self._writer = await asyncio.open_unix_connection(path)
        else:
            host, _, port = self._place.removeprefix("tcp://").rpartition(":")
            self._reader, self._writer = await asyncio.open_connection(host.strip("[]"), int(port))
        self._h2.initiate_connection()
        self._h2.update_settings({SettingCodes.ENABLE_PUSH: 0, SettingCodes.MAX_HEADER_LIST_SIZE: _HEADERS})
        for method in self._methods:
            stream = self._h2.get_next_available_stream_id()
            self._h2.send_headers(
                stream,
                [
                    (":method", "POST"),
                    (":scheme", "http"),
                    (":path", f"/SpiffeWorkloadAPI/{method}"),
                    (":authority", "localhost"),
                    ("te", "trailers"),
                    ("content-type", "application/grpc"),
                    ("user-agent", "taskbound"),
                    ("workload.spiffe.io", "true"),  # 1
                ],
            )
            self._h2.send_data(stream, bytes(_PREFIX), end_stream=True)
            self._buffers[stream] = bytearray()
            self._waiting.add(stream)
        await self._flush()

    async def _flush(self) -> None:
        if self._writer is not None and (data := self._h2.data_to_send()):
            self._writer.write(data)
            await self._writer.drain()

    def _seen(self, event: Event) -> Iterator[tuple[str, bytes | None]]:
        match event:
            case ResponseReceived(headers=headers, stream_id=int(stream)):
                self._head(stream, _texts(headers or ()))
            case DataReceived(data=bytes(data), stream_id=int(stream), flow_controlled_length=size):
                self._h2.acknowledge_received_data(size or 0, stream)
                yield from self._cut(stream, data)
            case TrailersReceived(headers=headers, stream_id=int(stream)):
                self._note(stream, _texts(headers or ()))
            case StreamEnded(stream_id=int(stream)):
                yield from self._ended(stream, self._statuses.get(stream, _UNKNOWN))
            case StreamReset() | ConnectionTerminated():
                raise TrustSourceError("the Workload API broke the call off")
            case _:
                return  # settings, windows and pings are h2's own matter

    def _head(self, stream: int, headers: dict[str, str]) -> None:
        if headers.get(":status") != "200" or not headers.get("content-type", "").startswith(
            "application/grpc"
        ):
            raise TrustSourceError("what answers there is no Workload API")
        if headers.get("grpc-encoding", "identity") != "identity":
            raise TrustSourceError("the Workload API compresses, which nobody asked for")  # 2
        self._note(stream, headers)

    def _note(self, stream: int, headers: dict[str, str]) -> None:
        status = headers.get("grpc-status", "")
        if re.fullmatch(r"[0-9]{1,2}", status, re.ASCII):
            self._statuses[stream] = int(status)

    def _ended(self, stream: int, status: int) -> Iterator[tuple[str, bytes | None]]:
        self._waiting.discard(stream)
        if status == UNIMPLEMENTED:
            yield self._method(stream), None
            return
        words = f"the Workload API ended the call: {_NAMES.get(status, str(status))}"
        if status == _INVALID:
            raise TrustRefusedError(words)
        raise TrustSourceError(words)  # 3

    def _cut(self, stream: int, data: bytes) -> Iterator[tuple[str, bytes | None]]:
        """The messages that are whole now."""
        buffer = self._buffers[stream]
        buffer += data
        while len(buffer) >= _PREFIX:
            size = int.from_bytes(buffer[1:_PREFIX])
            if buffer[0]:
                raise TrustSourceError("the Workload API compresses, which nobody asked for")  # 2
            if size > _MOST:
                raise BundleSizeError(f"a message of the Workload API has over {_MOST} bytes")  # 2
            if len(buffer) < _PREFIX + size:
                return
            message = bytes(buffer[_PREFIX : _PREFIX + size])
            del buffer[: _PREFIX + size]
            self._waiting.discard(stream)
            yield self._method(stream), message

    def _method(self, stream: int) -> str:
        return self._methods[(stream - 1) // 2]


def _texts(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
