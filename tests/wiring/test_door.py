from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import ExitStack
from pathlib import Path

import pytest

from taskbound.wiring.door import Door
from taskbound.wiring.tls import read_files
from tests.surfaces.network.certificates import Authority, client_context

MOST = 4


class Echo(asyncio.Protocol):
    """Says what it hears."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


def silent(port: int, address: str = "127.0.0.1") -> socket.socket:
    """A connection that says nothing."""
    one = socket.create_connection(("127.0.0.1", port), timeout=4, source_address=(address, 0))
    one.settimeout(4)  # less than a handshake may take: who is not made room by is still there
    return one


def test_who_says_nothing_keeps_nobody_from_a_handshake_and_the_first_of_them_is_gone(tmp_path: Path) -> None:
    servers = Authority("servers")
    own = servers.issue(tmp_path, "one", name="localhost")
    trust = client_context(servers)

    def work(port: int) -> None:
        before = [silent(port) for _ in range(MOST)]
        with trust.wrap_socket(silent(port), server_hostname="localhost") as agreed:
            assert before[0].recv(1) == b""  # the one that had taken longest made room
            more = [silent(port) for _ in range(MOST)]
            for one in before[1:]:
                assert one.recv(1) == b""
            agreed.sendall(b"still here")
            assert agreed.recv(99) == b"still here"  # what was agreed on is no handshake any more
            with trust.wrap_socket(silent(port), server_hostname="localhost") as another:
                another.sendall(b"here too")
                assert another.recv(99) == b"here too"
            for one in (*before, *more):
                one.close()

    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            files = read_files(str(own.chain), str(own.key), "", address="127.0.0.1", word="api")
            door = Door(listening, files, Echo, handshakes=MOST)
            await door.open()
            await asyncio.to_thread(work, listening.getsockname()[1])
            door.close()

    asyncio.run(story())


def test_stalled_handshakes_of_one_address_end_none_of_another(tmp_path: Path) -> None:
    own = Authority("servers").issue(tmp_path, "one", name="localhost")

    def work(port: int) -> None:
        with silent(port, "127.0.0.2") as other, ExitStack() as stack:
            mine = [stack.enter_context(silent(port)) for _ in range(5 * MOST)]
            for one in mine[: 4 * MOST]:
                assert one.recv(1) == b""
            other.settimeout(0)
            with pytest.raises(BlockingIOError):
                other.recv(1)

    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            files = read_files(str(own.chain), str(own.key), "", address="127.0.0.1", word="api")
            door = Door(listening, files, Echo, handshakes=MOST)
            await door.open()
            await asyncio.to_thread(work, listening.getsockname()[1])
            door.close()

    asyncio.run(story())


def test_a_client_that_speaks_no_tls_is_closed_and_others_are_served(tmp_path: Path) -> None:
    servers = Authority("servers")
    own = servers.issue(tmp_path, "one", name="localhost")

    def work(port: int) -> None:
        with silent(port) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            heard = b""
            while piece := plain.recv(99):
                heard += piece
            assert b"HTTP" not in heard
        with client_context(servers).wrap_socket(silent(port), server_hostname="localhost") as one:
            one.sendall(b"x")
            assert one.recv(9) == b"x"
            assert isinstance(one, ssl.SSLSocket)

    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            files = read_files(str(own.chain), str(own.key), "", address="127.0.0.1", word="api")
            door = Door(listening, files, Echo)
            await door.open()
            await asyncio.to_thread(work, listening.getsockname()[1])
            door.close()

    asyncio.run(story())
