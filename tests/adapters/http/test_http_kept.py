from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.http import HttpAddress, HttpConnection, HttpLostError, HttpPool, HttpUnreachedError

if TYPE_CHECKING:
    from collections.abc import Iterator

FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
SHUTS = b""
"""A server that ends the connection where it should answer."""


@dataclass
class Server:
    """Answers each request with what is next, and the last for ever."""

    listening: socket.socket
    answers: list[bytes]
    heard: list[bytes] = field(default_factory=list)
    came: list[socket.socket] = field(default_factory=list)
    kept: HttpPool = field(default_factory=HttpPool)
    left: threading.Event = field(default_factory=threading.Event)
    """Somebody ended a connection."""

    def __post_init__(self) -> None:
        port = self.listening.getsockname()[1]
        self.address = HttpAddress(host="127.0.0.1", port=port, tls=False)

    def call(self, *paths: str, patience: float = 5.0, most: int = 100) -> None:
        with HttpConnection(self.address, None, patience=patience, kept=self.kept) as one:
            for path in paths or ("/",):
                one.ask("GET", path, headers={}, most=most)

    def serve(self, one: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                self.heard.append(data.split()[1])
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if not answer:
                    break
                one.sendall(answer)
        one.close()
        self.left.set()

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                one, _ = self.listening.accept()
                self.came.append(one)
                threading.Thread(target=self.serve, args=(one,), daemon=True).start()


@contextmanager
def serving(*answers: bytes) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(listening, list(answers))
        threading.Thread(target=server.accept, daemon=True).start()
        yield server
        listening.shutdown(socket.SHUT_RDWR)
        for one in server.came:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def test_calls_that_come_one_after_the_other_have_one_connection() -> None:
    with serving(FINE) as server:
        for number in range(5):
            server.call(f"/{number}", f"/{number}/more")
        assert len(server.came) == 1
        assert len(server.heard) == 10


def test_i10_calls_at_once_never_share_one_and_four_are_kept() -> None:
    with serving(FINE) as server:
        together = threading.Barrier(6)

        def call() -> None:
            with HttpConnection(server.address, None, patience=30.0, kept=server.kept) as one:
                together.wait(30.0)
                one.ask("GET", "/", headers={})
                together.wait(30.0)

        for turn in (1, 2):
            threads = [threading.Thread(target=call) for _ in range(6)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            assert len(server.came) == {1: 6, 2: 8}[turn]


def test_k15_one_that_was_shut_meanwhile_is_seen_before_anything_is_sent() -> None:
    with serving(FINE) as server:
        server.call("/1")
        server.came[0].shutdown(socket.SHUT_RDWR)
        server.call("/2")
        assert server.heard == [b"/1", b"/2"]
        assert len(server.came) == 2


def test_i10_what_a_server_says_that_nobody_asked_is_no_answer_to_what_comes() -> None:
    with serving(FINE) as server:
        server.call("/1")
        server.came[0].sendall(FINE)
        server.call("/2")
        assert len(server.came) == 2


def test_f10_a_server_that_is_gone_was_sent_nothing_though_a_connection_was_kept() -> None:
    with serving(FINE) as server:
        server.call()
    with pytest.raises(HttpUnreachedError):
        server.call()
    assert server.heard == [b"/"]


def test_k7_what_may_have_been_sent_by_a_kept_connection_is_never_sent_again() -> None:
    with serving(FINE, SHUTS, FINE) as server:
        server.call("/looks")
        with pytest.raises(HttpLostError):
            server.call("/mints")
        assert server.heard == [b"/looks", b"/mints"]
        server.call("/looks")
        assert len(server.came) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + b"{" * 200,
    ],
    ids=["it says that it ends", "an older version", "longer than may be"],
)
def test_after_an_answer_of_another_kind_it_is_not_kept(answer: bytes) -> None:
    with serving(answer, FINE) as server:
        server.call("/1")
        server.call("/2")
        assert len(server.came) == 2
        assert server.heard == [b"/1", b"/2"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_i10_an_answer_that_did_not_come_whole_is_nobody_elses(answer: bytes) -> None:
    with serving(answer, FINE) as server:
        with pytest.raises(HttpLostError):
            server.call("/1", patience=0.2)
        server.call("/2")
        assert len(server.came) == 2


def test_i10_what_was_left_in_the_middle_of_a_request_is_nobody_elses() -> None:
    with serving(FINE) as server:
        server.call("/1")
        with pytest.raises(HttpLostError):
            server.call("/ 2\n")  # the driver refuses it, and nobody knows how far it was
        server.call("/3")
        assert server.heard == [b"/1", b"/3"]
        assert len(server.came) == 2


def test_one_that_is_old_or_was_long_unused_is_left() -> None:
    with serving(FINE) as server:
        kept, now = server.kept, time.monotonic()
        for made, since in ((now, now - 31.0), (now - 301.0, now)):
            server.call()
            found = kept.take()
            assert found is not None
            kept.give(replace(found, made=made, since=since))
            assert kept.take() is None


def test_an_answer_that_is_refused_keeps_no_connection_open_while_its_error_is_held() -> None:
    with serving(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + b"Content-Length: 2\r\n" * 2 + b"\r\n{}"
    ) as server:
        with pytest.raises(HttpLostError) as refused:
            server.call()
        assert server.left.wait(10)
        assert refused.type is HttpLostError


def test_what_keeps_them_leaves_them_when_it_goes() -> None:
    with serving(FINE) as server:
        server.call()
        assert not server.left.is_set()
        del server.kept
        assert server.left.wait(30.0)
