from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.api.operations import target as discovery
from taskbound.wire import target as broker
from taskbound.wire.connection import Done
from taskbound.wire.target import TargetTesting
from tests.surfaces.api.test_operations import station
from tests.surfaces.api.test_targets import ADD

if TYPE_CHECKING:
    from taskbound.sdk.client import AsyncClient
    from tests.surfaces.api.test_operations import Station

TARGET = "orders-db"
ROW = broker.StandingRow(
    name="app", what="login", whose="others", reach="all", rights=("superuser",), open=2, ends=7
)
ASK = broker.DiscoverTarget(target=TARGET)


async def declared(place: Station) -> tuple[AsyncClient, AsyncClient]:
    """A broker and a person, who has declared the target."""
    person = await place.client()
    await person.ask(ADD, TargetTesting)
    return await place.client("broker"), person


async def asked(place: Station, client: AsyncClient) -> broker.DiscoverPush:
    """What the broker is asked, once it is."""
    async with asyncio.timeout(30):
        while True:
            found = [one for one in place.pushes if isinstance(one, broker.DiscoverPush)]
            if found:
                place.pushes.clear()
                return found[-1]
            await client.ask(broker.LeaseCredentials(credentials=()), broker.Orders)


def wanted(person: AsyncClient) -> asyncio.Task[broker.Discovered]:
    return asyncio.create_task(person.ask(ASK, broker.Discovered))


async def refusal(asking: Any) -> str:
    with pytest.raises(RefusedByDaemonError) as refused:
        await asking
    return str(refused.value.fault.code)


def test_a_person_hears_what_the_broker_sees_and_whom_to_ask(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client, person = await declared(place)
            asking = wanted(person)
            push = await asked(place, client)
            assert push.target == TARGET
            told = broker.TellDiscovered(look=push.look, rows=(ROW,), count=9, notes=("not all",))
            await client.ask(told, Done)
            found = await asking
            assert (found.rows, found.count, found.notes) == ((ROW,), 9, ("not all",))
            assert (found.kind, found.target) == ("postgres", TARGET)
            assert (found.owner, found.approvers) == ("ann", ("ann",))

    asyncio.run(story())


def test_only_the_question_that_it_was_put_is_answered_and_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client, person = await declared(place)
            asking = wanted(person)
            push = await asked(place, client)
            other = broker.TellDiscovered(look="dsc_" + "a" * 35, rows=(ROW,), count=1)
            await client.ask(other, Done)
            assert not asking.done()
            await client.ask(broker.TellDiscovered(look=push.look, count=0), Done)
            await client.ask(broker.TellDiscovered(look=push.look, rows=(ROW,), count=1), Done)
            assert (await asking).rows == ()

    asyncio.run(story())


def test_what_the_broker_met_is_said_and_so_is_that_there_is_none(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            person = await place.client()
            await person.ask(ADD, TargetTesting)
            assert await refusal(person.ask(ASK, broker.Discovered)) == "no-broker"
            client = await place.client("broker")
            unknown = broker.DiscoverTarget(target="none")
            assert await refusal(person.ask(unknown, broker.Discovered)) == "target-unknown"
            asking = wanted(person)
            push = await asked(place, client)
            told = broker.TellDiscovered(look=push.look, code="target-unreached", trouble="no server answers")
            await client.ask(told, Done)
            with pytest.raises(RefusedByDaemonError, match="no server answers") as refused:
                await asking
            assert refused.value.fault.code == "nothing-seen"

    asyncio.run(story())


def test_a_broker_that_says_nothing_is_waited_for_no_longer_than_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "WAIT", 0.05)

    async def story() -> None:
        async with station(tmp_path) as place:
            client, person = await declared(place)
            asking = wanted(person)
            push = await asked(place, client)
            assert await refusal(asking) == "nothing-seen"
            await client.ask(broker.TellDiscovered(look=push.look, rows=(ROW,), count=1), Done)

    asyncio.run(story())


def test_two_brokers_that_answer_at_once_break_nothing() -> None:
    async def story() -> None:
        found = discovery.Discoveries(asyncio.get_running_loop())
        asking = asyncio.create_task(found.ask((), "default", TARGET, "dsc_a"))
        await asyncio.sleep(0)
        for count in (1, 2):
            found.take("default", broker.TellDiscovered(look="dsc_a", count=count))
        assert (await asking).count == 1

    asyncio.run(story())


def test_the_answer_of_another_namespaces_broker_counts_for_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client, person = await declared(place)
            stranger = await place.client("broker", namespace="elsewhere")
            asking = wanted(person)
            push = await asked(place, client)
            await stranger.ask(broker.TellDiscovered(look=push.look, rows=(ROW,), count=1), Done)
            assert not asking.done()
            await client.ask(broker.TellDiscovered(look=push.look, count=0), Done)
            assert (await asking).rows == ()

    asyncio.run(story())
