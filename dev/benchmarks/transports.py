"""What the gateway adds, by transport and era, at 1, 16 and 64 clients.

The same client makes the same calls of three servers by turns: an echo server itself (*direct*, over the
client's own transport), the echo server behind a proxy made of the official `mcp` package that looks at
nothing (*SDK proxy*, `sdk_proxy.py`, a process of its own), and behind the gateway, with a real daemon that
records decision and outcome durably before an answer leaves (*ours*). Client and server speak the same era:
25 is 2025-11-25, 26 is 2026-07-28. Over a pipe clients are calls at once, since a pipe has one client; over
HTTP each has a connection of its own, and all of them one token, which each request shows with a proof of
its key. CPU is that of the proxy, or of gateway and daemon, a call. *Large* are a million letters, near the
bound, that come back as the result, one client. *Two bare commits* is what the disk alone takes for
decision and outcome in the same minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from dev.benchmarks.bare_commit import measure
from dev.benchmarks.http_echo import TOOLS
from dev.benchmarks.page import Aim, Section, Table
from dev.benchmarks.sampling import micro, percentile, rate
from dev.benchmarks.speakers import Pipe, Speaker, Spoken, Web, processor_of
from taskbound.wiring.home import make_home
from tests.holders import Holder
from tests.peers.commands import echo
from tests.surfaces.gateway.real import Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_AIM: Final = 1.5
_P99: Final = 0.99
_CLIENTS: Final = (1, 16, 64)
_LARGE: Final = 1_000_000
RENEWED: Final = 40.0
"""Seconds after which a token is replaced by another one."""
_SYSTEMS: Final = ("direct", "SDK proxy", "ours")
_ERAS: Final = {"25": "legacy", "26": "modern"}
_REVISIONS: Final = {"25": "2025-11-25", "26": "2026-07-28"}
TRANSPORTS: Final = (("stdio", "stdio"), ("stdio", "HTTP"), ("HTTP", "stdio"), ("HTTP", "HTTP"))
"""How the client is spoken with, and how the server."""
_GATEWAY: Final = (sys.executable, "-m", "taskbound.wiring.gateway", "--home")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long."""

    turns: int
    calls: Mapping[int, int]
    """Calls of a turn, by clients."""
    large: int


@dataclass(slots=True)
class _Cell:
    """One transport and era at so many clients."""

    spoken: dict[str, Spoken] = field(default_factory=lambda: {one: Spoken() for one in _SYSTEMS})

    def ratio(self) -> float:
        """Of the medians: ours to the proxy's."""
        return median(self.spoken["ours"].waits) / median(self.spoken["SDK proxy"].waits)


@dataclass(frozen=True, slots=True)
class _Watched:
    """What is called, and the processes whose time counts."""

    speaker: Speaker
    pids: tuple[int, ...]


Key = tuple[str, str, str, int, bool]
"""Client's transport, server's, era, clients, whether large."""


def measure_transports(*, quick: bool) -> Section:
    """The section."""
    whole = Plan(turns=4, calls={1: 150, 16: 320, 64: 640}, large=5)
    plan = Plan(turns=2, calls={1: 20, 16: 32, 64: 128}, large=2) if quick else whole
    with tempfile.TemporaryDirectory(prefix="tb-") as folder, ExitStack() as stack:
        ground = _Ground(Path(folder), stack)
        found: dict[Key, _Cell] = {}
        disk: list[float] = []
        for client, server in TRANSPORTS:
            for era in _ERAS:
                with ExitStack() as own:
                    systems = ground.systems(client, server, era, own)
                    for clients in _CLIENTS:
                        key = (client, server, era, clients, False)
                        found[key] = _measure(systems, plan.turns, plan.calls[clients], clients, "hello")
                    key = (client, server, era, 1, True)
                    found[key] = _measure(systems, plan.turns, plan.large, 1, "x" * _LARGE)
                commits = measure(Path(folder) / f"{client}-{server}-{era}.db", group=1, groups=100)
                disk += [one + other for one, other in zip(commits[::2], commits[1::2], strict=True)]
    return _section(found, disk)


def _measure(systems: Mapping[str, _Watched], turns: int, calls: int, clients: int, text: str) -> _Cell:
    cell = _Cell()
    for one in systems.values():
        one.speaker.calls(clients, at_once=clients, text=text)
    for _ in range(turns):
        for name, one in systems.items():
            spoken, before, began = cell.spoken[name], processor_of(one.pids), time.perf_counter()
            spoken.waits += one.speaker.calls(calls, at_once=clients, text=text)
            spoken.rates.append(calls / (time.perf_counter() - began))
            spoken.processor += processor_of(one.pids) - before
    return cell


class _Ground:
    """One daemon with four servers pinned: by transport and era."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._tools = folder / "tools.json"
        self._tools.write_text(json.dumps(TOOLS), encoding="utf-8")
        self._url = stack.enter_context(_printing([sys.executable, "-m", "dev.benchmarks.http_echo"]))[0]
        self._home = folder / "home"
        make_home(self._home)
        self._place = Place(self._home, folder)
        stack.callback(self._end)
        for era in _ERAS:
            asyncio.run(self._place.pin(f"stdio{era}", self._command(era), era=_REVISIONS[era]))
            asyncio.run(self._place.pin(f"http{era}", [self._url], era=_REVISIONS[era]))
        self._place.settle_in()
        task = self._place.start_task(seconds=7200)
        self._holder = Holder(self._home)
        self._task, self._token, self._since = task, "", 0.0
        words = [*_GATEWAY, str(self._home), "--listen", "127.0.0.1:0"]
        said, self._front = stack.enter_context(_printing(words))
        self._front_url = said.removeprefix("listening on ") + "/coder"
        self._daemon = self._place.status().pid

    def _end(self) -> None:
        pid = self._place.status().pid
        self._place.close()
        with contextlib.suppress(ProcessLookupError):
            subprocess.run(["kill", str(pid)], check=False)  # noqa: S607 - the system's own

    def _shown(self) -> Mapping[str, str]:
        """What shows a token of the task, which is replaced in time."""
        if not self._token or time.monotonic() - self._since > RENEWED:
            self._token, self._since = self._holder.token(self._task), time.monotonic()
        return self._holder.shown(self._token, "POST")

    def _command(self, era: str) -> list[str]:
        return echo(era="legacy" if era == "25" else "modern", tools=self._tools)

    def systems(self, client: str, server: str, era: str, stack: ExitStack) -> dict[str, _Watched]:
        """The three, ready to be called."""
        modern = era == "26"
        tool = f"{server.lower()}{era}__read"
        words = [sys.executable, "-m", "dev.benchmarks.sdk_proxy", "--serve", client.lower()]
        words += [
            "--era",
            _ERAS[era],
            *(["--url", self._url] if server == "HTTP" else ["--", *self._command(era)]),
        ]
        if client == "stdio":
            direct = stack.enter_context(Pipe(self._command(era), "read", modern=modern))
            proxy = stack.enter_context(Pipe(words, "read", modern=modern))
            ours = stack.enter_context(
                Pipe([*_GATEWAY, str(self._home), "--agent", "coder"], tool, modern=modern)
            )
            return {
                "direct": _Watched(direct, ()),
                "SDK proxy": _Watched(proxy, (proxy.pid,)),
                "ours": _Watched(ours, (ours.pid, self._daemon)),
            }
        url, pid = stack.enter_context(_printing(words))
        return {
            "direct": _Watched(stack.enter_context(Web(self._url, "read", modern=modern)), ()),
            "SDK proxy": _Watched(stack.enter_context(Web(url, "read", modern=modern)), (pid,)),
            "ours": _Watched(
                stack.enter_context(Web(self._front_url, tool, shown=self._shown, modern=modern)),
                (self._front, self._daemon),
            ),
        }


@contextlib.contextmanager
def _printing(command: Sequence[str]) -> Iterator[tuple[str, int]]:
    """A process that says in its first line where it listens, and its id."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("the process has no output")
            line = process.stdout.readline().decode().strip()
            if not line:
                raise RuntimeError(f"the process ended: {command}")
            yield line, process.pid
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _section(found: Mapping[Key, _Cell], disk: Sequence[float]) -> Section:
    rows: list[tuple[str, ...]] = []
    numbers: dict[str, float] = {"commits.p50": median(disk)}
    for (client, server, era, clients, large), cell in found.items():
        count = "large" if large else str(clients)
        for name, one in cell.spoken.items():
            p50, p99 = median(one.waits), percentile(one.waits, _P99)
            spent = one.processor / len(one.waits)
            rows.append(
                (
                    f"{client} → {server}",
                    era,
                    count,
                    name,
                    micro(p50),
                    micro(p99),
                    micro(spent) if name != "direct" else "",
                    rate(median(one.rates)),
                    f"{p50 / median(cell.spoken['SDK proxy'].waits):.2f}",
                )
            )
            at = f"{client}-{server}.{era}.{count}.{name}"
            numbers |= {f"{at}.p50": p50, f"{at}.p99": p99, f"{at}.cpu": spent}
    rows.append(
        ("two bare commits", "", "1", "", micro(median(disk)), micro(percentile(disk, _P99)), "", "", "")
    )
    head = (
        "client → server",
        "era",
        "clients",
        "through",
        "p50 µs",
        "p99 µs",
        "CPU µs",
        "calls/s",
        "to the proxy",
    )
    return Section(
        name="transports",
        title="A call by transport and era",
        method=_METHOD,
        tables=(Table(head=head, rows=tuple(rows)),),
        aims=(*(_aim(found, clients, disk) for clients in _CLIENTS), _aim(found, 1, disk, large=True)),
        numbers=numbers,
    )


def _aim(found: Mapping[Key, _Cell], clients: int, disk: Sequence[float], *, large: bool = False) -> Aim:
    cells = {key: cell for key, cell in found.items() if (key[3], key[4]) == (clients, large)}
    worst = max(cells, key=lambda key: cells[key].ratio())
    least = min(cells.values(), key=_Cell.ratio).ratio()
    ratio, cell = cells[worst].ratio(), cells[worst]
    ours, proxy = cell.spoken["ours"], cell.spoken["SDK proxy"]
    spent, other = (one.processor / len(one.waits) for one in (ours, proxy))
    client, server, era, _, _ = worst
    return Aim(
        words=(
            "a call takes at most 1.5 times that of a proxy of the official SDK, p50,"
            f" {'a million letters' if large else f'{clients} at once'}"
        ),
        measured=f"{least:.2f} to {ratio:.2f}",
        reached=ratio <= _AIM,
        reason=(
            f"worst {client} → {server} in {era}: {micro(median(ours.waits))} µs against"
            f" {micro(median(proxy.waits))} µs; two bare commits take {micro(median(disk))} µs of it;"
            f" gateway and daemon compute for {micro(spent)} µs, the proxy for {micro(other)} µs"
        ),
    )
