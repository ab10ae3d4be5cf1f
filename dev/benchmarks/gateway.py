"""Row 4: what the gateway adds to a call over stdio: decision, sending on, outcome, release.

One client writes exact lines to a pipe and reads exact lines, the same for three servers: the echo
server itself (*direct*), the echo server behind a proxy that looks at nothing (*raw proxy*), and behind
the real gateway, which asks the real daemon for a durable decision before it sends the call on, and
reports the outcome, durable again, before it lets the answer go. They take turns in blocks of calls,
one at a time and sixteen at once. *Two bare commits* is what the disk alone takes for decision and
outcome in the same minutes (`bare_commit.py`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final, Self

from dev.benchmarks.bare_commit import measure
from dev.benchmarks.page import Aim, Section, Table
from dev.benchmarks.sampling import micro, percentile, rate
from tests.peers.commands import proxied
from tests.surfaces.cli.installation import Installation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_AIM: Final = 600e-6
_P99: Final = 0.99
_AT_ONCE: Final = 16
_HELLO: Final = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}


@dataclass(slots=True)
class _Found:
    waits: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    processor: float = 0.0
    """Seconds of the processor that the watched processes took, in all."""


class _Client:
    """One server process, spoken to in lines."""

    def __init__(self, command: Sequence[str], tool: str, environ: Mapping[str, str]) -> None:
        """Start the server; `tool` is what is called."""
        self._tool = tool
        self._ids = 0
        self.watched: list[int] = []
        """Processes whose time of the processor is counted."""
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=dict(environ)
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the server has no pipes")
        self._to = self._process.stdin.fileno()
        self._from = self._process.stdout.fileno()
        self._held = bytearray()
        self._lines: deque[bytes] = deque()

    def __enter__(self) -> Self:
        """Open the connection as a legacy client does."""
        self._write("initialize", _HELLO)
        self._answers(1)
        os.write(self._to, b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        self.block(_AT_ONCE, at_once=1, found=_Found())
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

    def block(self, calls: int, *, at_once: int, found: _Found) -> None:
        """So many calls, so many of them open at once."""
        began, processor = time.perf_counter(), self._processor()
        asked: dict[int, float] = {}
        left = calls
        while left or asked:
            while left and len(asked) < at_once:
                start = time.perf_counter()
                asked[self._call()] = start
                left -= 1
            for number in self._answers(1):
                found.waits.append(time.perf_counter() - asked.pop(number))
        found.rates.append(calls / (time.perf_counter() - began))
        found.processor += self._processor() - processor

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self._process.pid

    def _processor(self) -> float:
        """Seconds of the processor that the watched processes took so far, to a hundredth."""
        fields = [
            Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split() for pid in self.watched
        ]
        return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")

    def _call(self) -> int:
        arguments = {"path": f"/srv/{self._ids}", "text": "hello"}
        return self._write("tools/call", {"name": self._tool, "arguments": arguments})

    def _write(self, method: str, params: object) -> int:
        self._ids += 1
        body = {"jsonrpc": "2.0", "id": self._ids, "method": method, "params": params}
        os.write(self._to, json.dumps(body).encode() + b"\n")
        return self._ids

    def _answers(self, least: int) -> list[int]:
        """Ids of the answers that came, at least so many; a refusal is no answer."""
        found: list[int] = []
        while len(found) < least:
            chunk = os.read(self._from, 1 << 16)
            if not chunk:
                raise RuntimeError("the server ended")
            *lines, rest = (bytes(self._held) + chunk).split(b"\n")
            self._held = bytearray(rest)
            for line in lines:
                message = json.loads(line)
                if "method" in message:
                    continue
                if "error" in message or message["result"].get("isError"):
                    raise RuntimeError(f"a call was not answered: {line[:500]!r}")
                found.append(message["id"])
        return found


def measure_gateway(*, quick: bool) -> Section:
    """The section."""
    place = Installation()
    try:
        place.prepare()
        place.start_task()
        found, disk = _measure(place, turns=4 if quick else 12, calls=200 if quick else 400)
    finally:
        place.end()
    return _section(found, disk)


def _measure(
    place: Installation, *, turns: int, calls: int
) -> tuple[dict[tuple[str, int], _Found], list[float]]:
    gateway = [
        sys.executable,
        "-m",
        "taskbound.wiring.gateway",
        "--agent",
        "helper",
        "--home",
        str(place.home),
    ]
    found = {(name, at_once): _Found() for at_once in (1, _AT_ONCE) for name in _NAMES}
    disk: list[float] = []
    with (
        _Client(place.server, "read", place.environ) as direct,
        _Client(proxied(place.server), "read", place.environ) as proxy,
        _Client(gateway, "fs__read", place.environ) as ours,
    ):
        ours.watched = [ours.pid, place.status().pid]
        clients = dict(zip(_NAMES, (direct, proxy, ours), strict=True))
        for at_once in (1, _AT_ONCE):
            for turn in range(turns):
                for name, client in clients.items():
                    client.block(calls, at_once=at_once, found=found[name, at_once])
                if at_once == 1:
                    database = place.root / f"bare-{turn}.db"
                    commits = measure(database, group=1, groups=2 * calls)
                    disk += [
                        first + second for first, second in zip(commits[::2], commits[1::2], strict=True)
                    ]
    return found, disk


_NAMES: Final = ("direct", "raw proxy", "gateway")


def _section(found: Mapping[tuple[str, int], _Found], disk: Sequence[float]) -> Section:
    rows: list[tuple[str, ...]] = []
    numbers: dict[str, float] = {}
    for (name, at_once), one in found.items():
        p50, p99 = median(one.waits), percentile(one.waits, _P99)
        direct = found["direct", at_once]
        more = p50 - median(direct.waits)
        rows.append(
            (
                str(at_once),
                name,
                micro(p50),
                micro(p99),
                micro(more) if name != "direct" else "",
                micro(one.processor / len(one.waits)) if one.processor else "",
                f"{p50 / median(direct.waits):.1f}",
                rate(median(one.rates)),
            )
        )
        numbers |= {f"{at_once}.{name}.p50": p50, f"{at_once}.{name}.p99": p99}
        numbers |= {f"{at_once}.{name}.rate": median(one.rates)}
    commits = median(disk)
    spent = found["gateway", 1].processor / len(found["gateway", 1].waits)
    numbers["gateway.cpu"] = spent
    rows.append(("1", "two bare commits", micro(commits), micro(percentile(disk, _P99)), "", "", "", ""))
    numbers["commits.p50"] = commits
    alone = median(found["direct", 1].waits)
    more = median(found["gateway", 1].waits) - alone
    relay = median(found["raw proxy", 1].waits) - alone
    aim = Aim(
        words="the gateway adds at most 600 µs to a call over stdio, p50, with the daemon's durable decision",
        measured=f"{micro(more)} µs",
        reached=more <= _AIM,
        reason=(
            f"a proxy that looks at nothing adds {micro(relay)} µs and two bare commits take"
            f" {micro(commits)} µs, {micro(relay + commits)} µs in all; gateway and daemon compute for"
            f" {micro(spent)} µs"
        ),
    )
    head = (
        "at once",
        "through",
        "p50 µs",
        "p99 µs",
        "added p50 µs",
        "CPU µs of gateway and daemon",
        "ratio",
        "calls/s",
    )
    return Section(
        name="gateway",
        title="A call over stdio",
        method=_METHOD,
        tables=(Table(head=head, rows=tuple(rows)),),
        aims=(aim,),
        numbers=numbers,
    )
