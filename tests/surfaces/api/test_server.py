from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from taskbound import __version__
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.api.server import connection
from taskbound.surfaces.api.server import socket as server
from taskbound.wire.connection import Done, Fault, Open, Ping
from taskbound.wire.envelope import Said
from taskbound.wire.frame import encode_frame
from tests.surfaces.api.test_operations import Station, raw, station

# Connects, asks for something once it is told to, and ends; a child has its descriptor, and says what comes.
HEIR = """
import os, socket, sys
from taskbound import __version__
from taskbound.wire.connection import Open
from taskbound.wire.envelope import Said
from taskbound.wire.frame import encode_frame
from taskbound.wire.identity import RegisterPerson
one = socket.socket(socket.AF_UNIX)
one.settimeout(20)
one.connect(sys.argv[1])
one.sendall(encode_frame(Said(id=1, ask=Open(role="cli", version=__version__))))
one.recv(65536)
print("open", flush=True)
sys.stdin.readline()
one.sendall(encode_frame(Said(id=2, ask=RegisterPerson(name="bob", uid=4711))))
if os.fork() == 0:
    said = b"".join(iter(lambda: one.recv(65536), b""))
    print("closed", b"has ended" in said)
"""


async def code_of(path: Path, data: bytes) -> str:
    (answer,) = await raw(path, data)
    assert isinstance(answer, Fault)
    return answer.code


def test_a_connection_that_was_not_opened_is_kept_for_no_long_message(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            half = (1_000_000).to_bytes(4, "big") + b" " * (server.UNOPENED + 1)
            assert await code_of(place.path, half) == "not-open"

    asyncio.run(story())


def test_a_connection_on_which_nothing_is_said_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "OPENING", 0.0)

    async def story() -> None:
        async with station(tmp_path) as place:
            assert await code_of(place.path, b"") == "not-open"

    asyncio.run(story())


def test_an_opened_connection_may_be_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client = await place.client()
            monkeypatch.setattr(server, "OPENING", 0.0)
            assert await code_of(place.path, b"") == "not-open"
            assert await client.ask(Ping(), Done) == Done()

    asyncio.run(story())


def test_a_program_of_another_version_is_told_how_to_end_the_daemon(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            with pytest.raises(RefusedByDaemonError) as refused:
                await place.client(version="0.0.1")
            assert refused.value.fault.code == "other-version"
            assert f"`kill {os.getpid()}`" in refused.value.fault.advice

    asyncio.run(story())


def test_an_account_has_only_so_many_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST", 2)

    async def story() -> None:
        async with station(tmp_path) as place:
            first, second = await place.client(), await place.client()
            assert await code_of(place.path, b"") == "crowded"
            await place.lose(first)
            assert await second.ask(Ping(), Done) == Done()
            third = await place.client()
            assert await third.ask(Ping(), Done) == Done()

    asyncio.run(story())


class Wire(asyncio.Transport):
    """One end of a real pair of sockets, which notes whether it is read."""

    def __init__(self, end: socket.socket) -> None:
        super().__init__({"socket": end})
        self.reading = asyncio.Event()
        self.reading.set()

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        del data

    def pause_reading(self) -> None:
        self.reading.clear()

    def resume_reading(self) -> None:
        self.reading.set()


def test_a248_who_does_not_read_its_answers_is_read_no_further(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            one, other = socket.socketpair()
            with one, other:
                wire, side = Wire(one), server.SocketServer(place.daemon)
                side.connection_made(wire)
                side.data_received(encode_frame(Said(id=1, ask=Open(role="cli", version=__version__))))
                side.pause_writing()
                assert not wire.reading.is_set()
                side.data_received(encode_frame(Said(id=2, ask=Ping())) * server.OPEN_REQUESTS)
                side.resume_writing()
                assert not wire.reading.is_set()  # so many requests are open still
                async with asyncio.timeout(30):
                    await wire.reading.wait()
                side.connection_lost(None)

    asyncio.run(story())


def heir(path: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", HEIR, str(path)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def persons_of(place: Station) -> frozenset[str]:
    with place.world.adapters.store.read() as snapshot:
        return frozenset(snapshot.identities.persons("default"))


def pidfds() -> int:
    """How many processes this one holds by a descriptor."""
    found = 0
    for one in Path("/proc/self/fdinfo").iterdir():
        try:
            found += "\nPid:" in one.read_text(encoding="ascii")
        except FileNotFoundError:
            continue  # the descriptor by which this folder is read
    return found


def test_connection_ends_with_its_process_once_what_it_sent_is_done(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            with heir(place.path) as process:
                assert process.stdin is not None
                assert process.stdout is not None
                assert await asyncio.to_thread(process.stdout.readline) == "open\n"
                process.stdin.write("go\n")
                process.stdin.close()
                process.wait()  # the loop stands still: the daemon meets its question and its end at once
                assert await asyncio.to_thread(process.stdout.read) == "closed True\n"
            async with asyncio.timeout(20):
                while "bob" not in await place.daemon.read(lambda: persons_of(place)):
                    pass

    asyncio.run(story())


def test_descriptor_of_the_process_is_closed_with_the_connection(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            before = pidfds()
            client = await place.client()
            assert pidfds() == before + 1
            await place.lose(client)
            assert pidfds() == before
            assert await code_of(place.path, b"\xff" * 8) == "bad-frame"
            assert pidfds() == before

    asyncio.run(story())
