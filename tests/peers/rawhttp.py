"""An MCP server over HTTP on raw sockets that says exactly what a test tells it to, and keeps what it heard.

    async with RawHttp(era="modern", does=hangs) as there:
        there.url, there.heard("tools/call")

It speaks the handshake, lists its tools and answers calls as one should, in JSON; `does` is asked first for
every request and takes it over by answering true. Each connection has a task of its own.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.peers.certificates import host_name, private_pem, signed

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
WORK = b'{"name":"work","inputSchema":{"type":"object"}}'
Message = dict[str, Any]


def dump(value: object) -> bytes:
    """JSON as a server writes it."""
    return json.dumps(value, separators=(",", ":")).encode()


def result_of(request: Message, text: str = "done", **more: Any) -> bytes:
    """The right answer to a call."""
    result = {"content": [{"type": "text", "text": text}], "isError": False} | more
    return dump({"jsonrpc": "2.0", "id": request["id"], "result": result})


def events(*messages: bytes) -> bytes:
    """Messages as server-sent events."""
    return b"".join(b"data: " + one + b"\n\n" for one in messages)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it came."""

    verb: str
    target: str
    head: bytes
    headers: tuple[tuple[str, str], ...]
    """By name in small letters, in order, with repetitions."""
    body: bytes
    message: Message = field(default_factory=dict)

    @property
    def method(self) -> str:
        """The JSON-RPC method; empty for an answer, and without a body."""
        found: str = self.message.get("method", "")
        return found

    def header(self, name: str) -> str | None:
        """The one value of a header."""
        found = [value for key, value in self.headers if key == name]
        assert len(found) < 2, found
        return found[0] if found else None


class Say:
    """The answer's side of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def raw(self, data: bytes) -> None:
        """Write exactly these bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def answer(
        self, status: int = 200, body: bytes = b"", kind: str = "application/json", headers: str = ""
    ) -> None:
        """Write a whole answer."""
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nContent-Type: {kind}\r\n{headers}\r\n"
        await self.raw(head.encode() + body)

    async def stream(self, *messages: bytes) -> None:
        """Begin a stream of events that ends with the connection."""
        await self.raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + events(*messages))

    async def more(self, *messages: bytes) -> None:
        """Go on with a stream."""
        await self.raw(events(*messages))

    async def gone(self) -> None:
        """Say nothing until the other side is gone."""
        await self._reader.read(1)

    @property
    def over(self) -> bool:
        """Whether the connection is closed."""
        return self._writer.is_closing()

    def end(self) -> None:
        """Close the connection."""
        self._writer.close()

    def reset(self) -> None:
        """Cut the connection off."""
        self._writer.transport.abort()


Does = Callable[[Asked, Say], Awaitable[bool]]


class RawHttp:
    """One server on a free port of the loopback."""

    def __init__(
        self,
        *,
        era: Literal["legacy", "modern"] = "legacy",
        does: Does | None = None,
        tools: bytes = b"[%b]" % WORK,
        session: str = "s-1",
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.era, self.does, self.tools, self.session, self.context = era, does, tools, session, context
        self.asked: list[Asked] = []
        self.open = 0
        """Connections that are open now."""
        self.taken = 0
        """Connections that there were."""
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.context)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def listen_again(self) -> None:
        """Take new connections on the same port, with what is now the context."""
        self._server.close()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self.context)

    def close(self) -> None:
        """Take no new connection; those that are open stay."""
        self._server.close()

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Where it is."""
        scheme = "http" if self.context is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}/mcp"

    def heard(self, method: str) -> list[Asked]:
        """The requests of a method that came."""
        return [one for one in self.asked if one.method == method]

    async def until(self, wanted: Callable[[], bool]) -> None:
        """Wait until something about this server is so."""
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(wanted)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.taken += 1
        try:
            while (asked := await _read(reader)) is not None:
                self.asked.append(asked)
                await self._tell()
                say = Say(reader, writer)
                if self.does is None or not await self.does(asked, say):
                    await self._answer(asked, say)
                if writer.is_closing():
                    return
        except OSError:
            return  # the other side cut it off, as many tests want it to
        finally:
            self.open -= 1
            writer.transport.abort()
            await self._tell()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _answer(self, asked: Asked, say: Say) -> None:
        if asked.verb != "POST":
            await say.answer(405 if asked.verb == "GET" else 204)
        elif "id" not in asked.message or not asked.method:
            await say.answer(202)
        else:
            await self._result(asked, say)

    async def _result(self, asked: Asked, say: Say) -> None:
        modern = self.era == "modern"
        known: Mapping[str, Callable[[], bytes]] = {
            "tools/list": lambda: b'{"tools":%b}' % self.tools,
            "tools/call": lambda: dump(json.loads(result_of(asked.message))["result"]),
            **(
                {"server/discover": lambda: dump({"supportedVersions": [MODERN], "capabilities": {}})}
                if modern
                else {"initialize": lambda: _initialized(asked)}
            ),
        }
        if asked.method not in known:
            error = {"code": -32601, "message": "no such method"}
            body = dump({"jsonrpc": "2.0", "id": asked.message["id"], "error": error})
            await say.answer(404 if modern else 400, body)
            return
        more = f"MCP-Session-Id: {self.session}\r\n" if asked.method == "initialize" and self.session else ""
        body = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (dump(asked.message["id"]), known[asked.method]())
        await say.answer(200, body, headers=more)


def _initialized(asked: Asked) -> bytes:
    info = {"name": "raw", "version": "1"}
    version = asked.message["params"]["protocolVersion"]
    return dump({"protocolVersion": version, "capabilities": {}, "serverInfo": info})


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    verb, target, _ = first.split(" ")
    headers = tuple((name.lower(), value) for name, value in (line.split(": ", 1) for line in lines))
    size = int(dict(headers).get("content-length", "0"))
    body = await reader.readexactly(size)
    form = dict(headers).get("content-type", "").startswith("application/x-www-form-urlencoded")
    message = json.loads(body) if body and not form else {}
    return Asked(verb=verb, target=target, head=head, headers=headers, body=body, message=message)


class Authority:
    """A certification authority of the tests' own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = signed("the tests' own", self._key, ca=True, path_length=0)
        self.file = folder / "authority.pem"
        self.file.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def context(
        self, host: str = "127.0.0.1", *, days: float = 1.0
    ) -> tuple[ssl.SSLContext, x509.Certificate]:
        """What a server with a certificate for this host shows, and the certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        lasts = timedelta(days=-3), timedelta(days=days)
        made = signed("server", key, by=(self._certificate, self._key), lasts=lasts, names=[host_name(host)])
        path = self._folder / f"{made.serial_number}.pem"
        path.write_bytes(private_pem(key) + made.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context, made
