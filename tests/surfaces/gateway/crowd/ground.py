"""The ground of a crowd: a daemon, an HTTP front, servers that are slow, and what their processes hold.

async with ground(folder, ("one", "two")) as place, front(place) as there:
    ...
    rows = actions_of(place)

1. Each task has a server of its own that is started (`near`); all share one behind a URL (`far`).
2. What reached any server is in one log, a text a call.
3. What a process holds is read from `/proc`, and nowhere else: nothing that is looked at counts itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from taskbound.adapters.upstream.mcp.process import descendants
from taskbound.core.action import parse_document
from taskbound.wiring.home import make_home
from tests.peers.commands import slow
from tests.peers.rawhttp import Asked, RawHttp, Say, result_of
from tests.surfaces.gateway.real import POLL, Place, ended, passing

PATIENT_FRONT: Final = "front.Timings = partial(front.Timings, grace=60.0)\n"
"""The front with a longer grace, as `real.PATIENT` has it: on a machine that is busy a daemon is not lost."""
_BLOCK: Final = 1 << 16
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
WORK: Final = (
    b'[{"name":"work","inputSchema":{"type":"object","properties":{"text":{"type":"string"},'
    b'"size":{"type":"integer"},"huge":{"type":"integer"}},"required":["text"]}}]'
)


class Far:
    """The server behind a URL: it takes its time, and at random cuts off what was asked."""

    def __init__(self, log: Path, *, seed: int, longest: float) -> None:
        self.resets = 0.0
        """Which part of the calls is cut off."""
        self.cut = 0
        self._draw = random.Random(seed)  # noqa: S311 -- an order, and no secret
        self._longest = longest / 1000
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.http = RawHttp(era="modern", tools=WORK, does=self._does)

    def close(self) -> None:
        os.close(self._log)

    async def _does(self, asked: Asked, say: Say) -> bool:
        self.http.asked.clear()  # of a hundred thousand calls
        if asked.method != "tools/call":
            return False
        arguments = asked.message["params"]["arguments"]
        os.write(self._log, arguments["text"].encode() + b"\n")
        if self._draw.random() < self.resets:
            self.cut += 1
            say.reset()
            return True
        await passing(self._draw.random() * self._longest if self._draw.random() < 1 / 2 else 0.0)
        if "huge" in arguments:
            await self._flood(say, arguments["huge"])
            return True
        text = arguments["text"] + "x" * arguments.get("size", 0)
        await say.answer(200, result_of(asked.message, text, resultType="complete"))
        return True

    @staticmethod
    async def _flood(say: Say, size: int) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
        await say.raw(head.encode() + b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"')
        for _ in range(size // _BLOCK):
            await say.raw(b"x" * _BLOCK)


class Ground(Place):
    """One daemon with both servers and these agents."""

    far: Far
    log: Path

    def reached(self) -> list[str]:
        """The text of each call that reached a server, as often as it did."""
        return self.log.read_text(encoding="utf-8").split() if self.log.exists() else []

    @staticmethod
    def servers_beneath(pids: Iterable[int]) -> list[int]:
        """Every server that was started beneath these processes."""
        found = []
        for pid in pids:
            for one in descendants(pid):
                with contextlib.suppress(OSError):
                    words = Path(f"/proc/{one}/cmdline").read_bytes().split(b"\0")
                    if any(word.endswith(b"/slow.py") for word in words):
                        found.append(one)
        return found


@contextlib.asynccontextmanager
async def ground(
    folder: Path,
    agents: Sequence[str],
    *,
    seed: int = 1,
    longest: float = 10.0,
    lingers: bool = False,
) -> AsyncIterator[Ground]:
    """A daemon of these agents; nobody has a task yet."""
    home, log = folder / "home", folder / "reached"
    make_home(home)
    (home / "taskbound.toml").write_text("refusals_burst = 100000\n", encoding="utf-8")
    place = Ground(home, folder, agents)
    place.log = log
    place.far = Far(log, seed=seed, longest=longest)
    pid = place.status().pid
    try:
        async with place.far.http:
            near = slow(seed=seed, longest=longest, log=log, lingers=lingers)
            await place.pin("near", near)
            await place.pin("far", [place.far.http.url])
            place.settle_in()
            yield place
    finally:
        place.close()
        place.far.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        await ended(pid)
        _end_lingering(log)


def _end_lingering(log: Path) -> None:
    """End what servers left behind, where a gateway that was killed, or is at fault, did not."""
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = one.read_bytes().split(b"\0")
            if b"import signal; signal.pause()" in words and os.fsencode(log) in words:
                os.kill(int(one.parent.name), signal.SIGKILL)


# --- what is on record --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One action as it stands in the database."""

    text: str
    """Of its arguments: whose call it is."""
    task: str
    state: str
    decision: str
    code: str


def actions_of(place: Place) -> list[Row]:
    """Every action, oldest first, from the database itself."""
    uri = f"file:{place.home / 'taskbound.db'}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
        found = database.execute("SELECT arguments, task, state, decision, code FROM actions ORDER BY number")
        return [
            Row(text=_text(arguments), task=task, state=state, decision=decision, code=code)
            for arguments, task, state, decision, code in found
        ]


def _text(arguments: bytes) -> str:
    found = parse_document(arguments)
    return str(found.get("text", "")) if isinstance(found, dict) else ""


# --- what processes hold ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a process holds now."""

    beneath: int = 0
    """Processes beneath it."""
    descriptors: int = 0
    """Without those of its database."""
    pooled: int = 0
    """Descriptors of its database: a daemon keeps up to five connections that nobody uses, of three each."""
    resident: int = 0
    """Bytes."""


def held_by(pid: int) -> Held:
    """What this process holds."""
    there = Path(f"/proc/{pid}")
    pages = int((there / "statm").read_text(encoding="ascii").split()[1])
    names: list[str] = []
    for one in (there / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            names.append(str(one.readlink()))
    pooled = sum("/taskbound.db" in one for one in names)
    return Held(
        beneath=len(descendants(pid)),
        descriptors=len(names) - pooled,
        pooled=pooled,
        resident=pages * _PAGE,
    )


def larger(one: Held, other: Held) -> Held:
    """Of each the most."""
    return Held(
        beneath=max(one.beneath, other.beneath),
        descriptors=max(one.descriptors, other.descriptors),
        pooled=max(one.pooled, other.pooled),
        resident=max(one.resident, other.resident),
    )


async def settled(pid: int, before: Held, *, patience: float) -> Held:
    """What it holds once that is no more than before, or when patience ends: whoever asks compares."""
    found = held_by(pid)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            while found.beneath > before.beneath or found.descriptors > before.descriptors:
                await passing(POLL)
                found = held_by(pid)
    return found
