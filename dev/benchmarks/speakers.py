"""Clients that cost little: exact lines over a pipe, exact requests over connections, both eras.

1. A pipe has one client, so clients at once are calls at once on it. Over HTTP each client has a connection,
   and a session where the era has them, with one call at a time.
2. An answer is whole, is for a call that is open, and is no refusal; anything else ends the measurement.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


Json = dict[str, Any]
_META: Final = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
}
_HELLO: Final = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}
_PATIENCE: Final = 30.0


@dataclass(slots=True)
class Spoken:
    """What was timed."""

    waits: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    processor: float = 0.0
    """Seconds of the processor of what was watched, in all."""


class Speaker(Protocol):
    """What makes calls of one server, proxy or gateway."""

    def calls(self, count: int, *, at_once: int, text: str) -> list[float]:
        """So many calls, so many clients at once; the wait of each in seconds."""


def processor_of(pids: Iterable[int]) -> float:
    """Seconds of the processor that these processes took so far, to a hundredth."""
    fields = [Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split() for pid in pids]
    return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")


def _body(method: str, params: Json, number: int | None, *, modern: bool) -> bytes:
    body: Json = {"jsonrpc": "2.0", "method": method}
    if number is not None:
        body["id"] = number
    body["params"] = ({"_meta": _META} if modern else {}) | params
    return json.dumps(body, separators=(",", ":")).encode()


def _require_result(raw: bytes) -> None:
    """Rule 2."""
    if b'"error"' in raw[:400] or b'"isError":true' in raw:
        raise RuntimeError(f"a call was not answered: {raw[:500]!r}")


class Pipe:
    """One server process, spoken to in lines."""

    def __init__(self, command: Sequence[str], tool: str, *, modern: bool) -> None:
        """Start it; `tool` is what is called."""
        self._tool, self._modern = tool, modern
        self._ids = 0
        self._held = bytearray()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the server has no pipes")
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._to, False)

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self._process.pid

    def __enter__(self) -> Self:
        """Open the connection as the era has it."""
        if self._modern:
            self._write("server/discover", {})
            self._answers()
        else:
            self._write("initialize", _HELLO)
            self._answers()
            self._send(_body("notifications/initialized", {}, None, modern=False))
        self.calls(4, at_once=1, text="first")
        return self

    def __exit__(self, *_: object) -> None:
        """Close the pipes and wait for the end."""
        for one in (self._process.stdin, self._process.stdout):
            if one is not None:
                one.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def calls(self, count: int, *, at_once: int, text: str) -> list[float]:
        """So many calls, so many of them open at once (rule 1)."""
        waits: list[float] = []
        asked: dict[int, float] = {}
        while count or asked:
            while count and len(asked) < at_once:
                start = time.perf_counter()
                params = {"name": self._tool, "arguments": {"path": f"/srv/{self._ids}", "text": text}}
                asked[self._write("tools/call", params)] = start
                count -= 1
            for raw in self._answers():
                _require_result(raw)
                waits.append(time.perf_counter() - asked.pop(json.loads(raw)["id"]))
        return waits

    def _write(self, method: str, params: Json) -> int:
        self._ids += 1
        self._send(_body(method, params, self._ids, modern=self._modern))
        return self._ids

    def _send(self, body: bytes) -> None:
        view = memoryview(body + b"\n")
        while view:
            try:
                view = view[os.write(self._to, view) :]
            except BlockingIOError:
                select.select([], [self._to], [], _PATIENCE)

    def _answers(self) -> list[bytes]:
        """The answers that came, one at least."""
        while True:
            *lines, rest = self._held.split(b"\n")
            found = [bytes(one) for one in lines if b'"method"' not in one[:200]]
            if lines:
                self._held = bytearray(rest)
            if found:
                return found
            if not select.select([self._from], [], [], _PATIENCE)[0]:
                raise TimeoutError("a call is not answered")
            chunk = os.read(self._from, 1 << 20)
            if not chunk:
                raise RuntimeError("the server ended")
            self._held += chunk
            while b"\n" not in chunk:
                chunk = os.read(self._from, 1 << 20)
                if not chunk:
                    raise RuntimeError("the server ended")
                self._held += chunk


class _Wire:
    """One client: a connection, and its session where the era has one."""

    def __init__(self, url: str, tool: str, shown: Callable[[], Mapping[str, str]], *, modern: bool) -> None:
        place = urlsplit(url)
        self._tool, self._modern, self._shown = tool, modern, shown
        self._ids = 0
        self._proof = ""
        self.socket = socket.create_connection((place.hostname or "", place.port or 0), timeout=_PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._fixed = (
            f"POST {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
            "Accept: application/json, text/event-stream\r\n"
        )
        if modern:
            self._fixed += "MCP-Protocol-Version: 2026-07-28\r\n"
            return
        self._send(_body("initialize", _HELLO, 0, modern=False))
        head, _ = self.answer()
        session = head.lower().partition(b"mcp-session-id:")[2]
        named = head[len(head) - len(session) :].partition(b"\r\n")[0].strip().decode()
        self._fixed += f"MCP-Protocol-Version: 2025-11-25\r\nMcp-Session-Id: {named}\r\n"
        self._send(_body("notifications/initialized", {}, None, modern=False))
        self.answer()

    def prepare(self) -> None:
        """Make what the next request shows: a client's own work, and none of the call."""
        self._proof = "".join(f"{name}: {value}\r\n" for name, value in self._shown().items())

    def call(self, text: str) -> None:
        self._ids += 1
        params = {"name": self._tool, "arguments": {"path": f"/srv/{self._ids}", "text": text}}
        more = f"Mcp-Method: tools/call\r\nMcp-Name: {self._tool}\r\n" if self._modern else ""
        self._send(_body("tools/call", params, self._ids, modern=self._modern), more)

    def _send(self, body: bytes, more: str = "") -> None:
        if not self._proof:
            self.prepare()
        shown, self._proof = self._proof, ""
        head = f"{self._fixed}{shown}{more}Content-Length: {len(body)}\r\n\r\n"
        self.socket.sendall(head.encode() + body)

    def answer(self) -> tuple[bytes, bytes]:
        """Head and body of the next answer."""
        held = bytearray()
        while (end := held.find(b"\r\n\r\n")) < 0:
            held += self._more()
        head = bytes(held[:end])
        low = head.lower()
        del held[: end + 4]
        if b"chunked" in low:
            while not held.endswith(b"0\r\n\r\n"):
                held += self._more()
        else:
            size = int(low.partition(b"content-length:")[2].partition(b"\r\n")[0] or b"0")
            while len(held) < size:
                held += self._more()
        return head, bytes(held)

    def _more(self) -> bytes:
        found = self.socket.recv(1 << 20)
        if not found:
            raise RuntimeError("the server ended")
        return found


class Web:
    """Clients over HTTP, made when they are needed and kept."""

    def __init__(
        self, url: str, tool: str, *, shown: Callable[[], Mapping[str, str]] = dict, modern: bool
    ) -> None:
        """Call `tool` at this URL; each request has the headers that `shown` makes for it."""
        self._url, self._tool, self._shown, self._modern = url, tool, shown, modern
        self._wires: list[_Wire] = []

    def __enter__(self) -> Self:
        """Look whether it answers."""
        self.calls(4, at_once=1, text="first")
        return self

    def __exit__(self, *_: object) -> None:
        """Close every connection."""
        for one in self._wires:
            one.socket.close()

    def calls(self, count: int, *, at_once: int, text: str) -> list[float]:
        """So many calls, by so many clients at once (rule 1)."""
        while len(self._wires) < at_once:
            self._wires.append(_Wire(self._url, self._tool, self._shown, modern=self._modern))
        poll, by_number = select.epoll(), {one.socket.fileno(): one for one in self._wires[:at_once]}
        asked: dict[int, float] = {}
        waits: list[float] = []
        try:
            for number, wire in by_number.items():
                poll.register(number, select.EPOLLIN)
                if count:
                    count -= 1
                    wire.prepare()
                    asked[number] = time.perf_counter()
                    wire.call(text)
            while asked:
                for number, _ in poll.poll(_PATIENCE):
                    _, body = by_number[number].answer()
                    _require_result(body)
                    waits.append(time.perf_counter() - asked.pop(number))
                    if count:
                        count -= 1
                        by_number[number].prepare()
                        asked[number] = time.perf_counter()
                        by_number[number].call(text)
        finally:
            poll.close()
        return waits
