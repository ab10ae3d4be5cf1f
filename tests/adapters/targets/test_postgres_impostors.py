from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from taskbound.adapters.targets.postgres import PostgresAdmin, PostgresTarget
from taskbound.core.target import PostgresPlace
from taskbound.ports.target import TargetRefusedError, TargetUnavailableError

WORD = "minters-own-word"
CLEARTEXT = b"R" + struct.pack("!ii", 8, 3)
MD5 = b"R" + struct.pack("!ii4s", 12, 5, b"salt")
WELCOME = b"R" + struct.pack("!ii", 8, 0) + b"Z" + struct.pack("!ic", 5, b"I")
NOTICE = b"N" + struct.pack("!i", 8) + b"Sx\0\0"


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
    assert time.monotonic() - begun < 4
