"""What the broker tells a daemon over its connections (`surfaces.broker.authority`)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from taskbound import __version__
from taskbound.sdk.client import AsyncClient
from taskbound.surfaces.broker.steps import DaemonAuthority
from taskbound.wire.connection import Open
from taskbound.wire.target import TellEpoch, TellReconciled
from tests.surfaces.api.test_operations import station

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.wire.envelope import Push

DOUBTED = TellEpoch(epoch=2, since=7, why="it has fewer", left=1)


def test_how_the_store_stands_is_told_where_it_is_recorded_and_again_over_the_next_connection(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        opened: list[tuple[str, AsyncClient, asyncio.Event]] = []
        async with station(tmp_path) as place:

            async def connect(
                namespace: str, pushed: Callable[[Push], None], lost: Callable[[], None]
            ) -> AsyncClient:
                gone = asyncio.Event()

                def lose() -> None:
                    lost()
                    gone.set()

                hello = Open(role="broker", version=__version__, namespace=namespace)
                client, _ = await AsyncClient.connect(place.path, hello, pushed=pushed, lost=lose)
                opened.append((namespace, client, gone))
                return client

            authority = DaemonAuthority(
                asyncio.get_running_loop(), connect, lambda *_, **__: None, lambda *_: None
            )
            for told in (TellEpoch(epoch=2), DOUBTED, DOUBTED):
                await asyncio.to_thread(authority.stand, told)
                assert place.daemon.credentials.epoch == told
            await place.lose(opened[0][1])
            await opened[0][2].wait()
            assert place.daemon.credentials.epoch.epoch == 0
            await asyncio.to_thread(authority.stand, DOUBTED)
            assert place.daemon.credentials.epoch == DOUBTED
            reconciled = TellReconciled(epoch=2, since=7, why="it has fewer", ended=1, targets=1)
            for _ in range(2):
                await asyncio.to_thread(authority.reconciled, reconciled)
            assert len(place.world.events("store-reconciled")) == 1
            assert [namespace for namespace, *_ in opened] == ["default", "default"]
            authority.close()
            await opened[1][2].wait()

    asyncio.run(story())
