from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from taskbound.sdk.client import AsyncClient
from taskbound.surfaces.gateway.link import Link, Timings
from taskbound.wire.connection import Bind, Open, Ping
from tests.peers.daemon import ScriptedDaemon

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.surfaces.gateway.link import Connect
    from taskbound.wire.connection import Opened
    from taskbound.wire.envelope import Push

pytestmark = pytest.mark.anyio


class Events:
    """What a link says of itself."""

    def __init__(self) -> None:
        self.joins: asyncio.Queue[bool] = asyncio.Queue()

    def pushed(self, push: Push) -> None:
        del push

    def joined(self, *, stopped: bool, again: bool) -> None:
        del stopped
        self.joins.put_nowait(again)

    def answered(self) -> None:
        """A ping."""

    def abandoned(self) -> None:
        pytest.fail("it was not away for long")


def reaching(daemon: ScriptedDaemon) -> Connect:
    """Connects to this daemon."""

    async def connect(
        *, resume: str, pushed: Callable[[Push], None], lost: Callable[[], None]
    ) -> tuple[AsyncClient, Opened]:
        hello = Open(role="gateway", version="1", agent="coder", resume=resume)
        return await AsyncClient.connect(daemon.path, hello, pushed=pushed, lost=lost)

    return connect


async def test_a_daemon_is_asked_whether_it_is_there_again_and_again_while_calls_come_and_go(
    tmp_path: Path,
) -> None:
    async with ScriptedDaemon(tmp_path / "d.sock") as daemon:
        link = Link(reaching(daemon), events := Events(), Timings(grace=5.0, ping=0.01))
        link.start()
        await events.joins.get()
        for busy in (True, False, True):
            link.watch(busy=busy)
        for _ in range(3):
            await daemon.asked(Ping)
        await link.close()


async def test_a_daemon_is_not_asked_whether_it_is_there_when_no_call_is_open(tmp_path: Path) -> None:
    async with ScriptedDaemon(tmp_path / "d.sock") as daemon:
        link = Link(reaching(daemon), events := Events(), Timings(grace=5.0, ping=0.0))
        link.start()
        await events.joins.get()
        for busy in (True, False):
            link.watch(busy=busy)
        for _ in range(3):
            await link.ask_any(Bind())  # each takes longer than the pause before a ping
        assert daemon.count(Ping) == 0
        await link.close()


async def test_what_becomes_of_an_earlier_connection_is_not_taken_for_the_present_one(tmp_path: Path) -> None:
    ends: list[Callable[[], None]] = []
    async with ScriptedDaemon(tmp_path / "d.sock") as daemon:

        async def connect(
            *, resume: str, pushed: Callable[[Push], None], lost: Callable[[], None]
        ) -> tuple[AsyncClient, Opened]:
            ends.append(lost)
            hello = Open(role="gateway", version="1", agent="coder", resume=resume)
            return await AsyncClient.connect(daemon.path, hello, pushed=pushed, lost=lost)

        link = Link(connect, events := Events(), Timings(grace=5.0, ping=1.0))
        link.start()
        assert not await events.joins.get()
        daemon.drop()
        assert await events.joins.get()
        before = link.connected, ends[0](), link.connected
        after = ends[1](), link.connected
        assert before == (True, None, True)
        assert after == (None, False)
        await link.close()
