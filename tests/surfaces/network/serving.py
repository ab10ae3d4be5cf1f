"""The API as a process of its own before a daemon, spoken to over a socket, byte for byte."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskbound.wiring.home import find_socket, make_home
from tests.wiring.running import Running, daemon, until

PATIENCE = 45.0
_LISTENS = re.compile(r"the API listens on (https?)://127\.0\.0\.1:([0-9]+) as (\S+?)\"")


@dataclass
class Answer:
    """One answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Which refusal it is; empty when it is none."""
        kind = self.headers.get("content-type", "")
        if self.status >= 400 and kind.startswith("text/plain"):  # in AuthZEN's words
            return self.body.decode().partition(":")[0]
        told = self.json if "problem" in kind else {}
        return str(told.get("code", ""))


@dataclass
class Api:
    """Where it listens."""

    process: Running
    port: int
    origin: str
    tls: ssl.SSLContext | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def head(self, verb: str, target: str, **headers: str) -> bytes:
        """A request's head; a header of an empty value is left out, `_` stands for `-`."""
        told = {"Host": self.host, **{name.replace("_", "-"): one for name, one in headers.items()}}
        lines = [f"{verb} {target} HTTP/1.1", *(f"{name}: {one}" for name, one in told.items() if one)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def ask(self, verb: str, target: str, body: bytes | None = None, /, **headers: str) -> Answer:
        """The answer to one request on a connection of its own."""
        more = {} if body is None else {"Content_Type": "application/json", "Content_Length": str(len(body))}
        return self.send(self.head(verb, target, **{**more, **headers}) + (body or b""))

    def send(self, raw: bytes) -> Answer:
        """The answer to these bytes."""
        with self.connected() as one:
            one.sendall(raw)
            return read(one, bare=raw.startswith(b"HEAD "))

    def await_words(self, words: str) -> None:
        """Wait until its log says so."""
        until(lambda: words in self.process.words, words)

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        """A connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as plain:
            if self.tls is None:
                yield plain
            else:
                with self.tls.wrap_socket(plain, server_hostname="localhost") as secured:
                    yield secured


def read(one: socket.socket, *, bare: bool = False) -> Answer:
    """One answer."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        piece = one.recv(65536)
        if not piece:  # an end and no error, where TLS was told no reason
            raise ConnectionResetError(f"closed after {raw!r}")
        raw += piece
    told, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = told.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
    while not bare and len(body) < int(headers.get("content-length", "0")):
        piece = one.recv(65536)
        assert piece, "closed within the body"
        body += piece
    return Answer(status=int(first.split()[1]), headers=headers, body=body)


@contextmanager
def api(socket_path: Path, *flags: str, tls: ssl.SSLContext | None = None) -> Iterator[Api]:
    """An API before the daemon of this socket."""
    with Running("api", "--daemon", str(socket_path), "--address", "127.0.0.1:0", *flags) as process:
        until(lambda: _LISTENS.search(process.words) is not None, "the API says where it listens")
        found = _LISTENS.search(process.words)
        assert found is not None
        yield Api(process=process, port=int(found[2]), origin=found[3], tls=tls)


@contextmanager
def both(folder: Path, *flags: str) -> Iterator[tuple[Api, Running]]:
    """A daemon of a fresh data directory, and an API before it."""
    home = folder / "home"
    make_home(home)
    origin = "https://localhost:8700" if "--certificate" in flags else "http://localhost:8700"
    named = flags if "--origin" in flags else (*flags, "--origin", origin)
    issuer = named[named.index("--origin") + 1]
    with daemon(home, "--issuer", issuer) as process, api(find_socket(home), *named) as one:
        yield one, process
