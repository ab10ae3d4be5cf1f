from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from taskbound.sdk.client import AsyncClient
from taskbound.surfaces.gateway.link import Link, Timings
from taskbound.wire.connection import Open
from tests.peers.daemon import ScriptedDaemon

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
