from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from taskbound.core.task import TaskEvent
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.api.background.credential_rounds import CredentialRounds
from taskbound.wire import target as wire
from taskbound.wire import tool as wire_tool
from taskbound.wire.connection import Bind, Bound, Done, Ping
from tests.stories.targeting import TOOLS, Aiming, declared, sealed_for
from tests.surfaces.api.test_operations import WITHIN, Station, station
from tests.world import ANN, LOOK, scope_of

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.sdk.client import AsyncClient
    from taskbound.wire.envelope import Ask

FILE = declared(owner="ann", approvers=["ann"])


def raw(value: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


ADD = wire.AddTarget(file=raw(FILE), sealed=sealed_for(FILE))
SET = wire.SetAdmin(name="orders-db", sealed=sealed_for(FILE, number=2), number=2)
REMOVE = wire.RemoveTarget(name="orders-db")
TEST = wire.TestTarget(name="orders-db")
ACTS: tuple[Any, ...] = (ADD, SET, REMOVE, TEST)


def broker_of(place: Station) -> Aiming:
    """What tells the station's store what a broker would."""
    return Aiming(place.world)


async def ready(place: Station, client: AsyncClient) -> wire.TargetTesting:
    test = await client.ask(ADD, wire.TargetTesting)
    broker_of(place).work_through(test.credentials)
    place.daemon.views.forget()
    return test


async def code_of(client: AsyncClient, ask: Any) -> str:
    with pytest.raises(RefusedByDaemonError) as refused:
        await client.ask(ask, Done)
    return refused.value.fault.code


async def listed(client: AsyncClient, name: str = "") -> tuple[wire.TargetRow, ...]:
    return (await client.ask(wire.ListTargets(name=name), wire.TargetRows)).rows


def test_a_target_is_declared_tested_given_another_access_and_taken_away(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client = await place.client()
            test = await client.ask(ADD, wire.TargetTesting)
            (row,) = await listed(client)
            assert (row.state, row.number, row.living, row.revoking) == ("untested", 1, 2, 0)
            assert (row.owner, row.approvers, row.identity) == ("ann", ("ann",), test.identity)
            assert json.loads(bytes(row.where)) == FILE["where"]
            assert [one.tool for one in row.kinds] == list(TOOLS)
            assert await code_of(client, REMOVE) == "target-in-use"
            broker_of(place).work_through(test.credentials)
            again = await client.ask(TEST, wire.TargetTesting)
            assert set(again.credentials).isdisjoint(test.credentials)
            broker_of(place).work_through(again.credentials)
            other = await client.ask(SET, wire.TargetTesting)
            (row,) = await listed(client, "orders-db")
            assert (row.state, row.number, row.trouble) == ("ready", 2, "")
            broker_of(place).work_through(other.credentials)
            await client.ask(REMOVE, Done)
            assert await listed(client) == ()

    asyncio.run(story())


async def lease(broker: AsyncClient, *canaries: str) -> dict[str, int]:
    """The fences of what is the broker's to do."""
    asked = wire.LeaseCredentials(credentials=canaries)
    return {one.credential: one.fence for one in (await broker.ask(asked, wire.Orders)).orders}


def test_a_broker_hears_of_a_test_and_what_it_tells_of_canaries_makes_the_target_ready(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client = await place.client()
            assert (await client.ask(wire.ListTargets(), wire.TargetRows)).broker is False
            broker = await place.client("broker")
            test = await client.ask(ADD, wire.TargetTesting)
            await broker.ask(Ping(), Done)
            assert place.pushes == [wire.DuePush(target="orders-db")]
            views = place.daemon.views
            assert [views.tool("default", one) for one in TOOLS] == [None, None]
            assert (await client.ask(wire.ListTargets(), wire.TargetRows)).broker is True
            for one, fence in (await lease(broker, *test.credentials)).items():
                await broker.ask(wire.TellMinted(credential=one, fence=fence, sealed=""), Done)
            assert [one.state for one in await listed(client)] == ["untested"]
            fences = await lease(broker, *test.credentials)
            assert set(fences) == set(test.credentials)
            for one, fence in fences.items():
                await broker.ask(wire.TellGone(credential=one, fence=fence), Done)
            (row,) = await listed(client)
            assert (row.state, row.trouble, row.living, row.revoking) == ("ready", "", 0, 0)
            tools = await client.ask(wire_tool.ListTools(server="orders-db"), wire_tool.ToolRows)
            assert [one.name for one in tools.rows] == list(TOOLS)
            seen = [views.tool("default", one) for one in TOOLS]  # that there was none is kept by no view
            assert [one.pinned.name for one in seen if one is not None] == list(TOOLS)

    asyncio.run(story())


def test_what_a_broker_could_not_mint_is_said_of_its_target(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client, broker = await place.client(), await place.client("broker")
            test = await client.ask(ADD, wire.TargetTesting)
            ((one, fence),) = (await lease(broker, test.credentials[0])).items()
            said = wire.TellFailed(
                credential=one, fence=fence, code="target-refused", trouble="no group `clerks`\u202e"
            )
            await broker.ask(said, Done)
            (row,) = await listed(client)
            assert row.state == "refused"
            assert row.trouble.startswith("the kind `clerk`: ")
            assert "no group `clerks`" in row.trouble
            assert "target-refused" in row.trouble
            assert row.trouble.isprintable()

    asyncio.run(story())


def test_a_target_that_no_broker_tests_is_refused_after_some_seconds_by_the_daemons_rounds(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client = await place.client()
            await client.ask(ADD, wire.TargetTesting)
            rounds = CredentialRounds(place.daemon)
            await rounds.go()
            assert [one.state for one in await listed(client)] == ["untested"]
            place.world.clock.advance(11)
            await rounds.go()
            (row,) = await listed(client)
            assert (row.state, row.revoking) == ("refused", 2)
            assert "no broker took it in hand" in row.trouble

    asyncio.run(story())


@pytest.mark.parametrize("ask", ACTS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("role", ["gateway", "cli"])
def test_nothing_of_targets_is_said_from_inside_a_gateway_or_a_run(
    role: str, ask: Any, tmp_path: Path
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            await ready(place, await place.client())
            before = len(place.world.records())
            gateway = await place.gateway()
            client = gateway if role == "gateway" else await place.client()
            assert await code_of(client, ask) == WITHIN[role]
            assert {one["event"]["kind"] for one in place.world.records()[before:]} <= {"operation-refused"}

    asyncio.run(story())


@pytest.mark.parametrize(("ask", "code"), [(ADD, "not-self"), (SET, "not-self"), (REMOVE, "not-self")])
def test_a_person_who_owns_neither_the_target_nor_the_data_directory_says_nothing_of_it(
    ask: Any, code: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with station(tmp_path, owner=os.geteuid() + 1) as place:
            if ask is not ADD:
                aiming = broker_of(place)
                aiming.known("bob", "carol", first=os.geteuid() + 2)
                aiming.work_through(aiming.add().credentials)
            assert await code_of(await place.client(), ask) == code

    asyncio.run(story())


def test_an_account_without_a_person_says_nothing_of_targets_and_sees_none(tmp_path: Path) -> None:
    async def story() -> None:
        mine = os.geteuid()
        async with station(tmp_path, owner=mine + 1, person=mine + 2) as place:
            with pytest.raises(RefusedByDaemonError) as refused:
                await place.client()
            assert refused.value.fault.code == "unproven"

    asyncio.run(story())


@pytest.mark.parametrize("name", ["", "nobody", "a`b\n", "x" * 9_000, "orders-db\u202e"])
def test_what_no_target_is_called_is_refused_by_a_short_name(name: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client = await place.client()
            asks: list[Ask] = [
                wire.TestTarget(name=name),
                wire.RemoveTarget(name=name),
                wire.SetAdmin(name=name, sealed="x", number=2),
            ]
            for ask in [*asks, wire.ListTargets(name=name)] if name else asks:
                with pytest.raises(RefusedByDaemonError) as refused:
                    await client.ask(ask, Done)
                fault = refused.value.fault
                assert fault.code == "target-unknown"
                assert fault.message.isprintable()
                assert len(fault.message) < 200

    asyncio.run(story())


@pytest.mark.parametrize(
    "file",
    [b"[]", b"7", b'{"target":"a"}', b'"\\u202e"', json.dumps(FILE | {"password": "hunter2"}).encode()],
)
def test_a_file_that_declares_no_target_is_refused_and_not_repeated(file: bytes, tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client = await place.client()
            with pytest.raises(RefusedByDaemonError) as refused:
                await client.ask(wire.AddTarget(file=msgspec.Raw(file), sealed="x"), Done)
            assert refused.value.fault.code == "target-file"
            assert "hunter2" not in refused.value.fault.message

    asyncio.run(story())


def test_a_target_stands_in_no_list_of_servers_and_its_kinds_among_the_tools_of_people_alone(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client = await place.client()
            await ready(place, client)
            place.world.pins.remove("default", "bank", ANN)
            spec = wire_tool.ServerSpec(name="shop", command="/bin/true", sha256="0" * 64)
            await client.ask(wire_tool.AddUpstream(spec=spec, definitions=(raw(LOOK),)), Done)
            grants = [{"tool": name, "others": "any"} for name in (*TOOLS, "shop__look")]
            place.world.agents.set_ceiling("default", "coder", scope_of({"grants": grants}), ANN)
            upstreams = wire_tool.ListUpstreams(), wire_tool.UpstreamRows
            assert [row.spec.name for row in (await client.ask(*upstreams)).rows] == ["shop"]
            tools = await client.ask(wire_tool.ListTools(), wire_tool.ToolRows)
            assert {one.name for one in tools.rows} == {*TOOLS, "shop__look"}
            of_it = await client.ask(wire_tool.ListTools(server="orders-db"), wire_tool.ToolRows)
            assert [one.name for one in of_it.rows] == list(TOOLS)
            assert await code_of(client, wire_tool.RemoveUpstream(name="orders-db")) == "unknown-server"
            see = wire_tool.SeeTools(server="orders-db", identity="0" * 64, definitions=())
            assert await code_of(client, see) == "unknown-server"
            difference = await client.ask(wire_tool.DiffTool(name=TOOLS[0]), wire_tool.ToolDiff)
            assert (difference.state, difference.differences) == ("pinned", ())

            with place.world.store.read() as seen:
                (before,) = seen.tasks.tasks("default")
            place.world.tasks.end("default", before.id, TaskEvent.COMPLETE, ANN, reason="")
            task = place.world.start(scope={"grants": grants})
            gateway = await place.gateway()
            assert (await gateway.ask(Bind(), Bound)).task == task.id
            reach = await gateway.ask(wire_tool.ReachTools(), wire_tool.ToolRows)
            assert [one.name for one in reach.rows] == ["shop__look"]
            for target, kinds in (("orders-db", list(TOOLS)), ("orders", []), ("shop", [])):
                may = await gateway.ask(wire_tool.ReachTools(target=target), wire_tool.ToolRows)
                assert [one.name for one in may.rows] == kinds
            assert [row.spec.name for row in (await gateway.ask(*upstreams)).rows] == ["shop"]
            assert await code_of(gateway, see) == "unknown-server"

    asyncio.run(story())
