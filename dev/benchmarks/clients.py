"""Connections that each ask one thing at a time, by HTTP, and what is timed of them."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from statistics import median
from typing import TYPE_CHECKING, Final

from dev.benchmarks.sampling import micro, percentile, rate
from dev.benchmarks.speakers import processor_of
from taskbound.wiring.home import find_socket
from tests.token_world import ISSUER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


_PATIENCE: Final = 30.0
_P99: Final = 0.99


@dataclass(slots=True)
class Timed:
    """What was timed of one work at so many connections."""

    waits: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    """Seconds of a request, one number a turn."""

    def row(self) -> tuple[str, ...]:
        """Requests a second, p50, p95, p99 and the processor's time, in µs."""
        waits = [percentile(self.waits, part) for part in (0.5, 0.95, _P99)]
        return (rate(median(self.rates)), *map(micro, waits), micro(median(self.processor)))


class Clients:
    """Connections, each with one request at a time."""

    def __init__(self, *ports: int) -> None:
        """Connect to these by turns."""
        self._ports = cycle(ports)
        self._open: list[socket.socket] = []

    def ask(self, requests: Sequence[bytes], *, at_once: int) -> tuple[list[float], list[bytes]]:
        """The wait for each answer, and the answers' bodies."""
        while len(self._open) < at_once:
            one = socket.create_connection(("127.0.0.1", next(self._ports)), timeout=_PATIENCE)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(one)
        waits: list[float] = []
        bodies: list[bytes] = []
        left = iter(requests)
        poll = select.epoll()
        asked: dict[int, float] = {}
        by_number = {one.fileno(): one for one in self._open[:at_once]}
        for number, one in by_number.items():
            poll.register(number, select.EPOLLIN)
            if (request := next(left, None)) is not None:
                asked[number] = time.perf_counter()
                one.sendall(request)
        while asked:
            for number, _ in poll.poll(_PATIENCE):
                bodies.append(_answer(by_number[number]))
                waits.append(time.perf_counter() - asked.pop(number))
                if (request := next(left, None)) is not None:
                    asked[number] = time.perf_counter()
                    by_number[number].sendall(request)
        poll.close()
        return waits, bodies

    def close(self) -> None:
        """Close them."""
        for one in self._open:
            one.close()


def _answer(one: socket.socket) -> bytes:
    held = b""
    while (end := held.find(b"\r\n\r\n")) < 0:
        held += _more(one)
    head = held[:end].lower()
    if not head.startswith(b"http/1.1 200"):
        raise RuntimeError(f"a request was refused: {held[:600]!r}")
    size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(held) < end + 4 + size:
        held += _more(one)
    return held[end + 4 :]


def _more(one: socket.socket) -> bytes:
    found = one.recv(1 << 16)
    if not found:
        raise RuntimeError("the server closed a connection")
    return found


@contextmanager
def api_at(home: Path, folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The API's process, and its port."""
    flags = ("--address", "127.0.0.1:0", "--origin", ISSUER, "--burst", "1000000", "--rate", "1000000")
    command = [sys.executable, "-m", "dev.benchmarks.api_echo", "--daemon", str(find_socket(home)), *flags]
    with (folder / "api.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        if process.stdout is None:
            raise RuntimeError("the API has no pipe")
        yield process, int(process.stdout.readline().rpartition(":")[2])
    finally:
        process.terminate()
        process.wait(20)


def timed(
    one: Timed, clients: Clients, requests: Sequence[bytes], pids: Sequence[int], *, at_once: int
) -> list[bytes]:
    """The bodies of the answers to these requests; what they took is added to what is timed."""
    before, began = processor_of(pids), time.perf_counter()
    waits, bodies = clients.ask(requests, at_once=at_once)
    one.rates.append(len(requests) / (time.perf_counter() - began))
    one.processor.append((processor_of(pids) - before) / len(requests))
    one.waits += waits
    return bodies
