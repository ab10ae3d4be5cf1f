"""A server that answers what a test says, and knows what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request."""

    verb: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Said:
    """One answer; a body that is no bytes is sent as JSON, and one that is made bit by bit has no length."""

    status: int
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Answering:
    """The server."""

    base: str
    """`http://127.0.0.1:PORT`"""
    asked: list[Asked] = field(default_factory=list)

    def count(self, verb: str, path: str) -> int:
        """How often it was asked this."""
        return sum((one.verb, one.path.partition("?")[0]) == (verb, path) for one in self.asked)


@contextmanager
def answering(answers: Callable[[Asked], Said], *, port: int = 0) -> Iterator[Answering]:
    """One that answers so, while it runs."""

    class Answers(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def _answer(self) -> None:
            length = int(self.headers.get("content-length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(verb=self.command, path=self.path, headers=headers, body=self.rfile.read(length))
            there.asked.append(asked)
            said = answers(asked)
            pieces = said.body if isinstance(said.body, Generator) else None
            body = said.body if isinstance(said.body, bytes) else b""
            if pieces is None and not isinstance(said.body, bytes):
                body = json.dumps(said.body).encode()
            self.send_response(said.status)
            self.send_header("Content-Type", "application/json")
            if pieces is None:
                self.send_header("Content-Length", str(len(body)))
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):  # who asked has left
                for piece in pieces or (body,):
                    self.wfile.write(piece)

    for verb in ("GET", "POST", "DELETE"):
        setattr(Answers, f"do_{verb}", Answers._answer)  # noqa: SLF001 - the class is ours, made above

    server = ThreadingHTTPServer(("127.0.0.1", port), Answers)
    server.daemon_threads = True
    there = Answering(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield there
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
