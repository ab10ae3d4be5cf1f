"""What brokers tell of how they stand to the store: known while they are there, and recorded once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire import target as broker
from taskbound.wire.connection import Done, Status, StatusReport
from taskbound.wire.target import ListTargets, TargetRows
from tests.surfaces.api.test_operations import station

if TYPE_CHECKING:
    from pathlib import Path


def test_how_the_store_stands_is_known_while_the_broker_is_there_and_recorded_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            person = await place.client()

            async def seen() -> tuple[tuple[int, int, str, int], ...]:
                status = await person.ask(Status(), StatusReport)
                rows = await person.ask(ListTargets(), TargetRows)
                found = [(one.epoch, one.doubted, one.doubt, one.doubted_targets) for one in (status, rows)]
                return tuple(found)

            assert await seen() == ((0, 0, "", 0),) * 2
            client = await place.client("broker")
            doubted = broker.TellEpoch(epoch=2, since=7, why="it has fewer", left=3)
            await client.ask(doubted, Done)
            assert await seen() == ((2, 7, "it has fewer", 3),) * 2
            second = await place.client("broker")
            (other,) = place.daemon.connections.brokers("default")[1:]
            await second.ask(broker.TellEpoch(epoch=9), Done)
            assert await seen() == ((2, 7, "it has fewer", 3),) * 2  # one that is in doubt goes first
            told = broker.TellReconciled(epoch=2, since=7, why="it has fewer", ended=4, targets=3)
            for one in (client, client, second):
                await one.ask(told, Done)
            (record,) = place.world.events("store-reconciled")
            assert (record["epoch"], record["ended"], record["targets"]) == (2, 4, 3)
            await client.ask(broker.TellEpoch(epoch=2), Done)
            assert await seen() == ((9, 0, "", 0),) * 2
            await place.lose(second)
            place.daemon.credentials.note_epoch(other, doubted)  # what was asked before it was lost
            assert await seen() == ((2, 0, "", 0),) * 2
            await place.lose(client)
            assert await seen() == ((0, 0, "", 0),) * 2

    asyncio.run(story())


@pytest.mark.parametrize(
    "wrong",
    [
        broker.TellEpoch(epoch=0),
        broker.TellEpoch(epoch=2**53),
        broker.TellEpoch(epoch=1, since=-1),
        broker.TellEpoch(epoch=1, left=-1),
        broker.TellEpoch(epoch=1, why="x" * 301),
        broker.TellReconciled(epoch=1, since=7, why="x", ended=-1, targets=0),
    ],
    ids=repr,
)
def test_what_can_be_said_of_no_store_is_refused_and_nobody_but_the_broker_says_it(
    tmp_path: Path, wrong: broker.TellEpoch | broker.TellReconciled
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client, person = await place.client("broker"), await place.client()
            for asker, code in ((client, "wrong-telling"), (person, "unproven")):
                with pytest.raises(RefusedByDaemonError) as refused:
                    await asker.ask(wrong, Done)
                assert refused.value.fault.code == code
            assert place.daemon.credentials.epoch.epoch == 0
            assert place.world.events("store-reconciled") == []

    asyncio.run(story())
