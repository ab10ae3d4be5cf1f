from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from taskbound.core.action.canonical import canonical
from taskbound.core.target import CredentialKind, PostgresKind, kind_definition
from taskbound.core.tool import join_tool_name
from taskbound.flows.tool import UnknownServerError
from taskbound.ports.tool import PinnedServer, PinnedTool
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.api.server.peer import ancestry_of
from taskbound.wire.connection import Done
from taskbound.wire.egress import Holder, SealedServer, ShowSealed
from taskbound.wire.tool import (
    AddUpstream,
    ListUpstreams,
    ReachTools,
    RemoveUpstream,
    SetSecret,
    ToolRows,
    UpstreamRows,
)
from tests.surfaces.api.test_operations import station
from tests.wiring.running import SPEC, TOOL
from tests.world import ANN, CEILING

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.ports.store import Transaction
    from tests.surfaces.api.test_operations import Station
    from tests.world import World

DB = "orders-db"
KIND = kind_definition(
    CredentialKind(
        name="reader",
        description="Reads orders.",
        seconds=60,
        grants=PostgresKind(group="readers"),
    )
)
ASKED = join_tool_name(DB, KIND.name)
WIDE: dict[str, Any] = {"grants": [*CEILING["grants"], {"tool": ASKED, "others": "any"}]}


def pin(world: World) -> None:
    """A target as it stands once it is ready: a row of its own among the servers, and a tool for its kind."""
    server = PinnedServer(
        namespace="default",
        name=DB,
        spec=canonical({"target": DB}),
        identity="1" * 64,
        agents=(),
        is_target=True,
    )
    tool = PinnedTool(
        namespace="default",
        name=ASKED,
        server=DB,
        identity=server.identity,
        definition=KIND.canonical,
        digest=KIND.digest,
        state="pinned",
        owner="ann",
    )

    def work(tx: Transaction) -> None:
        tx.tools.put_server(server, expect=0)
        tx.tools.put_tool(tool, expect=0)

    world.store.write(work)


def kept(place: Station) -> bool:
    with place.world.store.read() as seen:
        return seen.tools.server("default", DB) is not None and seen.tools.tool("default", ASKED) is not None


def test_what_is_done_with_servers_is_not_done_with_a_target(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            pin(place.world)
            person = await place.client("cli")
            place.world.pins.remove("default", "bank", ANN)  # which is pinned with nothing that can be shown
            raw = msgspec.Raw(msgspec.json.encode(TOOL))
            await person.ask(AddUpstream(spec=SPEC, definitions=(raw,)), Done)
            rows = await person.ask(ListUpstreams(), UpstreamRows)
            assert [one.spec.name for one in rows.rows] == [SPEC.name]
            for ask in (
                RemoveUpstream(name=DB),
                SetSecret(server=DB, slot="admin:access", number=1, sealed="a.b.c.d.e"),
            ):
                with pytest.raises(RefusedByDaemonError) as refused:
                    await person.ask(ask, Done)
                assert refused.value.fault.code == UnknownServerError.code
            assert kept(place)

    asyncio.run(story())


def test_no_egress_gets_what_a_target_is_pinned_with(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            pin(place.world)
            await place.client("cli")
            egress = await place.client("egress")
            here = Holder(uid=os.geteuid(), pid=os.getpid(), started=ancestry_of(os.getpid())[0][1])
            with pytest.raises(RefusedByDaemonError) as refused:
                await egress.ask(ShowSealed(server=DB, holder=here), SealedServer)
            assert refused.value.fault.code == UnknownServerError.code

    asyncio.run(story())


def test_a_gateway_whose_task_may_ask_for_a_credential_offers_its_agent_no_tool_for_that(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            pin(place.world)
            place.world.add_agent("helper", ceiling=WIDE)
            task = place.world.start(agent="helper", scope=WIDE)
            gateway = await place.client("gateway", agent="helper")
            found = await gateway.ask(ReachTools(), ToolRows)
            assert (found.task, [one.name for one in found.rows]) == (task.id, ["bank__look", "bank__pay"])

    asyncio.run(story())


def test_what_is_asked_for_in_a_target_is_judged_by_what_the_target_is(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            pin(place.world)
            view = place.world.views.tool("default", ASKED)
            assert view is not None
            assert (view.server.identity, view.server.is_target) == ("1" * 64, True)

    asyncio.run(story())
