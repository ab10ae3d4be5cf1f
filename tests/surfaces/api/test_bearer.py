from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from taskbound import __version__
from taskbound.flows.task import make_bearer
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire.action import Decide, Permitted, Refused
from taskbound.wire.connection import Bind, Bound, Done, Open
from taskbound.wire.task import BearerMade, EndTask, MakeBearer
from tests.surfaces.api.test_operations import station
from tests.world import ANN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.api.test_operations import Station

PAY = Decide(tool="bank__pay", arguments=msgspec.Raw(b'{"amount":10,"to":"bob"}'), request="1")


def bearer(place: Station, task: str) -> str:
    """As the operation makes it: this process is a gateway from the first that it opens, and may not ask."""
    return make_bearer(place.world.means, "default", task, ANN)


async def code_of_opening(place: Station, role: str = "gateway", **more: str) -> str:
    with pytest.raises(RefusedByDaemonError) as caught:
        await place.open(role, **more)
    return caught.value.fault.code


def test_a_gateway_with_a_bearer_is_of_that_task_though_others_run_beside_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            tasks = [place.world.start() for _ in range(3)]
            for task in tasks:
                gateway, opened = await place.open("gateway", bearer=bearer(place, task.id))
                assert (opened.task, opened.agent) == (task.id, "coder")
                assert (await gateway.ask(Bind(), Bound)).task == task.id
                permit = await gateway.ask(PAY, Permitted)
                assert permit.task == task.id

    asyncio.run(story())


def test_a_bearer_that_opens_nothing_is_refused_by_name(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            task = place.world.start()
            person = await place.client()
            good = (await person.ask(MakeBearer(task=task.id), BearerMade)).bearer
            wrong = f"{good[:-1]}{'A' if good[-1] != 'A' else 'B'}"
            assert await code_of_opening(place, bearer=wrong) == "bad-bearer"
            assert await code_of_opening(place, bearer="x") == "bad-bearer"
            assert await code_of_opening(place, "cli", bearer=good) == "not-open"
            await person.ask(EndTask(task=task.id, how="revoked"), Done)
            assert await code_of_opening(place, bearer=good) == "task-ended"

    asyncio.run(story())


def test_an_open_connection_asks_for_nothing_more_once_its_bearer_is_replaced(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            task = place.world.start()
            first, _ = await place.open("gateway", bearer=bearer(place, task.id))
            assert (await first.ask(Bind(), Bound)).task == task.id
            second, _ = await place.open("gateway", bearer=bearer(place, task.id))
            refused = await first.ask(PAY, Refused)
            assert refused.code == "bad-bearer"
            with pytest.raises(RefusedByDaemonError) as caught:
                await first.ask(Bind(), Bound)
            assert caught.value.fault.code == "bad-bearer"
            assert (await second.ask(PAY, Permitted)).task == task.id

    asyncio.run(story())


def test_a_bearer_and_the_secret_of_a_connection_are_not_shown_where_a_message_is() -> None:
    hello = Open(role="gateway", version=__version__, resume="s3cret", bearer="b3arer")
    assert "s3cret" not in repr(hello)
    assert "b3arer" not in repr(hello)
    assert "b3arer" not in repr(BearerMade(task="tsk_1", bearer="b3arer"))


def test_a_bearer_is_not_made_from_beneath_a_gateway(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            task = place.world.start()
            person = await place.client()
            await place.open("gateway", bearer=bearer(place, task.id))
            with pytest.raises(RefusedByDaemonError) as caught:
                await person.ask(MakeBearer(task=task.id), BearerMade)
            assert caught.value.fault.code == "not-outside"
            assert len(place.world.events("task-bearer-made")) == 1

    asyncio.run(story())
