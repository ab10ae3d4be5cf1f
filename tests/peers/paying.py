"""A service that pays, in a process of its own: real servers around an application that writes its runs down.

It is told what it is in JSON, and says on which port it listens. What ended it hears of the feed, where it is
told so; with a key it follows that over HTTP, or asks the issuer alone, in its own name. Else it asks the
daemon's socket for each request, so that what is tried is the service alone.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

import uvicorn

from taskbound import __version__
from taskbound.adapters.claims import SharedClaims
from taskbound.core.errors import DeniedError, TaskboundError, UnavailableError
from taskbound.core.revocation import About, Thing
from taskbound.sdk.client import Client, DaemonLostError
from taskbound.sdk.feed import FeedFollower, FeedReader
from taskbound.sdk.verify import WHOEVER_HAS_IT, Body, Endpoint, Endpoints, Holders
from taskbound.sdk.verify.asgi import AsgiGuard
from taskbound.sdk.verify.holder import certificate_showing
from taskbound.sdk.verify.wsgi import WsgiGuard
from taskbound.wire.connection import Open
from taskbound.wire.task import ShowTask, TaskDetail
from taskbound.wire.token import FeedRows, ListTokenKeys, ReadFeed, TokenKeyRows
from taskbound.wiring.guarding import guard
from taskbound.wiring.service import ServiceLink, read_key


class NotClearError(DeniedError):
    code = "test-not-clear"


class LostError(UnavailableError):
    code = "test-lost"


class SocketStatus:
    """What the daemon says now of the tasks and keys that a token rests on."""

    namespace = "default"

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def require_clear(self, things: Sequence[Thing]) -> None:
        try:
            with Client(self._path, Open(role="cli", version=__version__), patience=5.0) as one:
                for thing in things:
                    if thing.about is About.TASK:
                        state = one.ask(ShowTask(task=thing.id), TaskDetail).row.state
                        if state != "running":
                            raise NotClearError(f"the task is {state}")
                    if thing.about is About.KEY:
                        rows = one.ask(ListTokenKeys(), TokenKeyRows).rows
                        if any(row.key == thing.id and row.state == "revoked" for row in rows):
                            raise NotClearError("the key was revoked")
        except DaemonLostError as error:
            raise LostError("nobody says what ended") from error


def heard(path: str) -> FeedReader:
    """What the daemon's feed says, followed."""

    def fetch(ask: ReadFeed) -> FeedRows:
        with Client(Path(path), Open(role="cli", version=__version__), patience=5.0) as one:
            return one.ask(ask, FeedRows)

    reader = FeedReader()
    FeedFollower(reader, fetch).start()
    return reader


def knowing(told: dict[str, Any]) -> dict[str, Any]:
    """What a service knows of ends, as `guard` takes it."""
    if "key" not in told:
        return {"status": heard(told["socket"]) if told.get("feed") else SocketStatus(told["socket"])}
    link = ServiceLink(issuer=told["issuer"], name=told["name"], key=read_key(Path(told["key"])))
    asking = {"asking": link.asking()}
    return asking if told.get("introspects") else {"status": link.follow()[0], **asking}


class Paid:
    """What was paid: a line for each run."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def pay(self, body: bytes, txn: str) -> bytes:
        with self._path.open("a") as book:
            book.write(f"{txn}\n")
        told = json.loads(body)
        text = told.get("text", "")
        if text.startswith("hang"):
            threading.Event().wait()  # until the process is killed
        if text.startswith("raise"):
            raise RuntimeError("the application broke")
        return json.dumps({"paid": txn, "text": text, "body": len(body)}).encode()


def asgi(paid: Paid) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        told = b"lives" if scope["path"] == "/livez" else paid.pay(body, scope["taskbound"].txn)
        headers = [(b"content-type", b"application/json"), (b"set-cookie", b"a=b")]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        for at in range(0, len(told), 7):
            await send({"type": "http.response.body", "body": told[at : at + 7], "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


def wsgi(paid: Paid) -> Any:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/livez":
            told = b"lives"
        else:
            told = paid.pay(environ["wsgi.input"].read(), environ["taskbound"].txn)
        headers = [("Content-Type", "application/json"), ("Set-Cookie", "a=b")]
        start_response("201 Created", headers)
        return parts(told)

    def parts(told: bytes) -> Iterator[bytes]:
        for at in range(0, len(told), 7):
            yield told[at : at + 7]

    return app


class Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Handling(WSGIRequestHandler):
    """Tells the application which certificate TLS has proven, as servers in front of WSGI do."""

    def get_environ(self) -> Any:
        environ: Any = super().get_environ()
        if isinstance(self.connection, ssl.SSLSocket):
            environ["tests.certificate"] = self.connection.getpeercert(binary_form=True)
        return environ

    def log_message(self, *_: object) -> None:
        """Say nothing."""


ServerHandler.http_version = "1.1"


def shown(environ: Any) -> tuple[str, ...]:
    der = environ.get("tests.certificate")
    return (certificate_showing(der),) if der else ()


def shared(told: dict[str, Any]) -> SharedClaims:
    """The claims of all machines of the service, kept by the daemon."""
    how = told["shared"]
    link = ServiceLink(issuer=told["issuer"], name=how["name"], key=read_key(Path(how["key"])))
    return link.claims(takes=how.get("takes", 30), seal=bytes.fromhex(how.get("seal", "")))


def main(told: dict[str, Any]) -> None:
    holding = told.get("holding")
    verifier = guard(
        name=told.get("name", "payments"),
        issuer=told["issuer"],
        domain=told["domain"],
        claims=shared(told) if "shared" in told else Path(told["claims"]),
        holding=Holders(**holding) if holding else WHOEVER_HAS_IT,
        **knowing(told),
    )
    by_arguments = Endpoint(tool="echo__say", body=Body.ARGUMENTS, definition=told.get("definition", ""))
    endpoints = Endpoints(
        {
            "POST /pay": "echo__say",
            "POST /tip": "echo__say",
            "POST /say": by_arguments,
            "POST /refund": "bank__refund",
        },
        public=["GET /livez"],
    )
    paid = Paid(told["book"])
    if told["kind"] == "asgi":
        listening = socket.create_server(("127.0.0.1", 0))
        app = AsgiGuard(asgi(paid), verifier, endpoints, limit=4096)
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        config = uvicorn.Config(app, log_level="critical", http="h11", ws="none")
        uvicorn.Server(config).run(sockets=[listening])
        return
    with Threaded(("127.0.0.1", 0), Handling) as server:
        server.set_app(WsgiGuard(wsgi(paid), verifier, endpoints, showings=shown, limit=4096))
        if "tls" in told:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=told["tls"]["authority"])
            context.load_cert_chain(told["tls"]["certificate"], told["tls"]["key"])
            context.verify_mode = ssl.CERT_OPTIONAL
            server.socket = context.wrap_socket(server.socket, server_side=True)
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except TaskboundError as error:
        sys.stdout.write(f"{error.code}\n")
