from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import pytest

from taskbound.adapters.targets.postgres import PostgresAdmin, PostgresTarget
from taskbound.core.target import PostgresPlace
from taskbound.ports.target import TargetRefusedError, TargetUnavailableError
from tests.peers.cutting import Cutting
from tests.peers.minter import PREFIX, Orders, minting

WORD = "minters-own-word"
CLEARTEXT = b"R" + struct.pack("!ii", 8, 3)
MD5 = b"R" + struct.pack("!ii4s", 12, 5, b"salt")
WELCOME = b"R" + struct.pack("!ii", 8, 0) + b"Z" + struct.pack("!ic", 5, b"I")
_NAME = f"{PREFIX}{'a' * 35}".encode()
_FIELD = b"rolname\0" + struct.pack("!ihihih", 0, 0, 19, 64, -1, 0)
COLUMN = b"T" + struct.pack("!ih", 6 + len(_FIELD), 1) + _FIELD
ROW = b"D" + struct.pack("!ihi", 10 + len(_NAME), 1, len(_NAME)) + _NAME
ROWS = ROW * 1_000
NOTICE = b"N" + struct.pack("!i", 8) + b"Sx\0\0"


@pytest.fixture(scope="module")
def orders() -> Iterator[Orders]:
    with minting() as found:
        yield found


@contextmanager
def answering(folder: Path, first: bytes, again: bytes = b"") -> Iterator[list[bytes]]:
    """A server that answers any beginning with this, and then goes on with that; what it was sent."""
    heard: list[bytes] = []
    over = threading.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(folder / ".s.PGSQL.5432"))
        listening.listen()
        listening.settimeout(0.05)

        def serve(one: socket.socket) -> None:
            with one, suppress(OSError):
                heard.append(one.recv(4096))
                one.sendall(first)
                one.settimeout(0.05)
                while not over.is_set():
                    with suppress(TimeoutError):
                        data = one.recv(4096)
                        if not data:
                            return
                        heard.append(data)
                    if again:
                        one.sendall(again)

        def accept() -> None:
            while not over.is_set():
                with suppress(TimeoutError):
                    one, _ = listening.accept()
                    threading.Thread(target=serve, args=(one,), daemon=True).start()

        server = threading.Thread(target=accept, daemon=True)
        server.start()
        try:
            yield heard
        finally:
            over.set()
            server.join()


def target(folder: Path) -> PostgresTarget:
    return PostgresTarget(
        PostgresPlace(host=str(folder), database="orders"), PostgresAdmin(user="minter", password=WORD)
    )


@pytest.mark.parametrize("asked", [CLEARTEXT, MD5, WELCOME], ids=["cleartext", "md5", "nothing"])
def test_a222_who_has_the_socket_and_asks_for_less_than_scram_gets_no_password_and_no_word(
    tmp_path: Path, asked: bytes
) -> None:
    refused = pytest.raises((TargetUnavailableError, TargetRefusedError))
    with answering(tmp_path, asked) as heard, refused as caught:
        target(tmp_path).look("tb_abcdefgh_name", patience=2.0)
    assert WORD not in str(caught.value)
    assert len(heard) >= 1
    assert not [one for one in heard[1:] if one[:1] in {b"p", b"Q", b"P"}]


@pytest.mark.parametrize("drip", [NOTICE, b"R"], ids=["notices", "nothing whole"])
def test_f11_a_server_that_goes_on_and_on_before_it_says_anything_has_the_calls_patience(
    tmp_path: Path, drip: bytes
) -> None:
    begun = time.monotonic()
    with answering(tmp_path, drip, drip), pytest.raises((TargetUnavailableError, TargetRefusedError)):
        target(tmp_path).look("tb_abcdefgh_name", patience=1.0)
    assert time.monotonic() - begun < 20  # it would go on for ever


class Flooding(Cutting):
    """A way to the database on which rows without an end are the answer to a sweep."""

    sent = 0

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(str(self._server))
            while True:
                for one in select.select([client, server], [], [])[0]:
                    piece = one.recv(65_536)
                    if not piece:
                        return
                    if one is client and b"FROM pg_roles WHERE rolname >=" in piece:
                        client.sendall(b"1\0\0\0\4" + b"2\0\0\0\4" + COLUMN)
                        while True:
                            client.sendall(ROWS)
                            self.sent += len(ROWS)
                    (server if one is client else client).sendall(piece)


@pytest.mark.parametrize("wanted", [10, 50_000])
def test_rows_without_an_end_are_read_no_further_than_they_are_asked_for(
    tmp_path: Path, orders: Orders, wanted: int
) -> None:
    with Flooding(tmp_path, orders.server.folder) as way:
        begun = time.monotonic()
        names = list(islice(orders.target(tmp_path).sweep(PREFIX, patience=30.0), wanted))
        assert names == [f"{PREFIX}{'a' * 35}"] * wanted
        assert time.monotonic() - begun < 30
        assert way.sent < 2 * wanted * len(ROW) + 4_000_000


def test_f11_rows_without_an_end_have_the_calls_patience(tmp_path: Path, orders: Orders) -> None:
    with Flooding(tmp_path, orders.server.folder):
        begun = time.monotonic()
        with pytest.raises(TargetUnavailableError):
            sum(1 for _ in orders.target(tmp_path).sweep(PREFIX, patience=1.0))
        assert time.monotonic() - begun < 20  # as above
