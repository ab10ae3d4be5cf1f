"""A bundle endpoint of the tests' own: a real TLS server that says exactly what a test tells it to.

async with Endpoint(domain.web("127.0.0.1")) as there:
    there.says["/"] = domain.bundle()
    there.url
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.peers.domain import Issued


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """A whole answer as a web server writes it."""
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body


class Endpoint:
    """One server on a port of the loopback."""

    def __init__(self, issued: Issued, *, host: str = "127.0.0.1") -> None:
        """Prove itself by this certificate."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.host = host
        self.says: dict[str, bytes] = {}
        """By path: a bundle, or a whole answer that begins with `HTTP/`."""
        self.heads: list[bytes] = []
        """The requests that came."""
        self.connections = 0
        self.hangs = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.prove(issued)

    def prove(self, issued: Issued) -> None:
        """Prove itself by another certificate from now on."""
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(issued.pem())
            self._context.load_cert_chain(file.name)

    def demand(self, authorities: bytes) -> None:
        """Ask clients for a certificate by these, and refuse those without."""
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_verify_locations(cadata=authorities)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._taken, self.host, 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for one in self._tasks:
            one.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}/"

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                if self.hangs:
                    await asyncio.Event().wait()
                said = self.says.get(head.split(b" ")[1].decode(), answer(404))
                writer.write(said if said.startswith(b"HTTP/") else answer(200, said))
                await writer.drain()
                await reader.read()
        finally:
            writer.transport.abort()
