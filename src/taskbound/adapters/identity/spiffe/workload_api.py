"""Trust bundles from the SPIFFE Workload API: gRPC over HTTP/2.

1. A domain missing in a message was withdrawn; without authorities it is the empty bundle, which trusts
   nothing.
2. Nothing counts until both streams have delivered their first message. A server without JWT bundles has no
   authorities for tokens.
3. The streams are reopened at the confirmation interval, so that a hanging or outdated server is noticed.
4. Only the entry under the domain's own SPIFFE ID counts.

Calls (SPIFFE Workload Endpoint §3 to §6, gRPC over HTTP/2; `h2` parses HTTP/2):

1. Every call sends `workload.spiffe.io: true` (§6.1).
2. Messages, headers and the time to each first message are bounded; compression is refused.
3. The end of a stream is an error with the server's status.
4. No credential is sent: the server identifies the peer by the kernel.

Protocol Buffers (`workloadapi.proto`): two responses with one map each are parsed here. Numbers have at most
ten bytes and nothing may be truncated; a duplicate trust domain is refused, because parsers would disagree.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from dataclasses import replace
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

from taskbound.adapters.identity.spiffe.x509 import require_authority_certificates, split_certificates
from taskbound.core.clock import seconds
from taskbound.core.identity.trust import (
    EMPTY,
    BadBundleError,
    Bundle,
    BundleSizeError,
    TrustRefusedError,
    TrustSourceError,
    parse_bundle,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence

    from h2.events import Event

    from taskbound.core.identity.trust import Trust


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
    """Calls on one connection, until one of them ends."""

    def __init__(self, place: str, methods: Sequence[str], *, patience: float = _PATIENCE) -> None:
        """Connects later; `patience` seconds bound the connection, then each call's first message."""
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
        """Yields method and message, or None for a method that the server doesn't offer."""
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
            raise TrustSourceError("the Workload API compresses without being asked to")  # 2
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
        buffer = self._buffers[stream]
        buffer += data
        while len(buffer) >= _PREFIX:
            size = int.from_bytes(buffer[1:_PREFIX])
            if buffer[0]:
                raise TrustSourceError("the Workload API compresses without being asked to")  # 2
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


_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED: Final = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_NUMBER: Final = 10
_SEVEN: Final = 0x7F
_MORE: Final = 0x80
_KEY, _VALUE = 1, 2


def read_map(message: bytes, number: int) -> dict[str, bytes]:
    """Returns the string-to-bytes map in this field; raises BadBundleError if malformed or duplicate."""
    found: dict[str, bytes] = {}
    for field, entry in _fields(message):
        if field != number:
            continue
        members = dict(
            _fields(entry)
        )  # of a field that stands twice the last one counts, as for every reader
        try:
            key = members.get(_KEY, b"").decode()
        except UnicodeDecodeError as error:
            raise BadBundleError("the message's text is not UTF-8") from error
        if key in found:
            raise BadBundleError("a trust domain stands twice in the message")  # 2
        found[key] = members.get(_VALUE, b"")
    return found


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(message):
        tag, at = _number(message, at)
        kind = tag & 7
        if not tag >> 3:
            raise BadBundleError("the message has a field without a number")
        if kind == _VARINT:
            _, at = _number(message, at)
        elif kind == _BYTES:
            size, at = _number(message, at)
            if size > len(message) - at:
                raise BadBundleError("the message ends too early")  # 1
            yield tag >> 3, message[at : at + size]
            at += size
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise BadBundleError("the message has a field of no known form")
    if at != len(message):
        raise BadBundleError("the message ends too early")  # 1


def _number(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_NUMBER):
        if at >= len(message):
            raise BadBundleError("the message ends too early")  # 1
        one = message[at]
        at += 1
        value |= (one & _SEVEN) << (7 * place)
        if not one & _MORE:
            return value, at
    raise BadBundleError("a number of the message is too long")  # 1


_X509: Final = "FetchX509Bundles"
_JWT: Final = "FetchJWTBundles"
_FIELDS: Final = {_X509: 2, _JWT: 1}


class WorkloadApiBundles:
    """The `BundleSource` of the Workload API."""

    def __init__(self, *, patience: float = _PATIENCE) -> None:
        self._patience = patience

    async def states(self, trust: Trust) -> AsyncGenerator[Bundle, None]:
        """Yields this domain's bundle after each message; raises as `Calls.messages` and `read_map`."""
        while True:
            calls = Calls(trust.place, (_X509, _JWT), patience=self._patience)
            try:
                async with aclosing(self._once(calls, trust)) as states:
                    async for bundle in states:
                        yield bundle
                        trust = replace(trust, bundle=bundle.document)
            finally:
                calls.close()

    async def _once(self, calls: Calls, trust: Trust) -> AsyncGenerator[Bundle, None]:
        loop = asyncio.get_running_loop()
        until = loop.time() + trust.every / seconds(1)
        said: dict[str, tuple[bytes, ...]] = {}
        async with aclosing(calls.messages()) as messages:
            while True:
                try:
                    async with asyncio.timeout_at(until if len(said) == len(_FIELDS) else None):
                        method, message = await anext(messages)
                except TimeoutError:
                    return  # 3
                said[method] = _authorities(method, message, trust.domain)
                if len(said) == len(_FIELDS):  # 2
                    bundle = replace(EMPTY, x509=said[_X509], jwt=said[_JWT])
                    require_authority_certificates(trust.domain, bundle)
                    yield bundle


def _authorities(method: str, message: bytes | None, domain: str) -> tuple[bytes, ...]:
    if message is None:
        if method == _X509:
            raise TrustRefusedError("the Workload API offers no bundles")
        return ()
    raw = read_map(message, _FIELDS[method]).get(f"spiffe://{domain}", b"")
    if not raw:
        return ()
    return split_certificates(raw) if method == _X509 else parse_bundle(raw).jwt
