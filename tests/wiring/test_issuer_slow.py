"""An issuer that answers, but a byte now and then: nobody is held by it longer than by none (F26, F27)."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskbound.core.errors import TaskboundError
from taskbound.sdk.verify import IssuerKeys
from taskbound.sdk.verify.errors import KeysUnreadError
from taskbound.wiring.guarding import published_keys
from taskbound.wiring.issuer import IssuerAnswer, send
from tests.sdk.verify.world import Place
from tests.surfaces.network.certificates import Authority, client_context

PATIENCE = 0.4
BETWEEN = 0.05
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
SLOW = {
    "the body": (b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n", b"x" * 30),
    "a body that ends with its connection": (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"x" * 30),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 8 + b"0\r\n\r\n"),
    "the head": (b"", HEAD + b"true"),
    "a word before the answer, again and again": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2 + HEAD + b"true"),
}


class Dripping:
    """A server that says the first part at once, and of the second a byte now and then."""

    def __init__(self, first: bytes, second: bytes, tls: ssl.SSLContext | None = None) -> None:
        self._said, self._tls = (first, second), tls
        self._over, self.left = threading.Event(), threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http{'s' if tls else ''}://localhost:{self._server.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        while not self._over.is_set():
            asked, _ = self._server.accept()
            self._threads.append(threading.Thread(target=self._answer, args=(asked,)))
            self._threads[-1].start()

    def _answer(self, plain: socket.socket) -> None:
        first, second = self._said
        try:
            with self._tls.wrap_socket(plain, server_side=True) if self._tls else plain as one:
                one.recv(65_536)
                one.sendall(first)
                for each in second:
                    if self._over.wait(BETWEEN):
                        return
                    one.sendall(bytes([each]))
                one.settimeout(60)
                one.recv(1)
        except OSError:  # whoever asked has gone, as they should
            pass
        self.left.set()

    def close(self) -> None:
        self._over.set()
        socket.create_connection(self._server.getsockname()).close()
        for one in self._threads:
            one.join()
        self._server.close()


@pytest.fixture
def dripping(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Dripping]]:
    monkeypatch.setattr("taskbound.wiring.issuer._PATIENCE", PATIENCE)
    made: list[Dripping] = []

    def make(first: bytes, second: bytes, tls: ssl.SSLContext | None = None) -> Dripping:
        made.append(Dripping(first, second, tls))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("what", SLOW)
def test_f26_an_answer_that_comes_byte_by_byte_is_none(what: str, dripping: Callable[..., Dripping]) -> None:
    server = dripping(*SLOW[what])
    with pytest.raises(OSError, match="time") as raised:
        send(server.origin, "GET", "/")
    assert server.left.wait(30), raised  # the connection is closed, whoever keeps the error


def test_f26_nor_is_one_over_tls(tmp_path: Path, dripping: Callable[..., Dripping]) -> None:
    authority = Authority("issuers")
    own = authority.issue(tmp_path, "issuer", name="localhost")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(own.chain, own.key)
    server = dripping(*SLOW["the body"], tls=serving)
    with pytest.raises(OSError, match="time"):
        send(server.origin, "GET", "/", tls=client_context(authority))


def test_f27_whoever_waits_for_keys_that_drip_is_refused(
    tmp_path: Path, dripping: Callable[..., Dripping]
) -> None:
    place = Place(tmp_path)
    place.close()  # nothing is claimed
    document = place.fetch()
    first = f"HTTP/1.1 200 OK\r\nContent-Length: {len(document)}\r\n\r\n".encode() + document[:-30]
    keys = IssuerKeys(published_keys(dripping(first, document[-30:]).origin), place.now)
    found: list[type[TaskboundError] | None] = []

    def ask() -> None:
        try:
            keys.keys("made-up")
        except TaskboundError as error:
            found.append(type(error))
        else:
            found.append(None)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == [KeysUnreadError] * 8


def test_what_an_issuer_answered_is_in_no_repr() -> None:
    answer = IssuerAnswer(status=200, headers={"dpop-nonce": "n0nce"}, body=b'{"access_token":"s3cret"}')
    assert repr(answer) == "IssuerAnswer(status=200)"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 4\r\nContent-Length: 4",
        b"Content-Length: 4\r\nContent-Length: 9",
        b"Content-Length: 4, 4",
        b"Content-Length: 4\r\nTransfer-Encoding: chunked",
    ],
)
def test_answer_that_is_framed_in_two_ways_is_none(head: bytes, dripping: Callable[..., Dripping]) -> None:
    server = dripping(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n4\r\ntrue\r\n0\r\n\r\n", b"")
    with pytest.raises(OSError, match="can't be read"):
        send(server.origin, "GET", "/")
