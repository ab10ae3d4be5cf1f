from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from taskbound.core.task import TaskEvent
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.api.server.peer import ancestry_of
from taskbound.wire.connection import Done
from taskbound.wire.egress import Holder, Permit, SealedServer, ShowPermit, ShowSealed, TellToken
from taskbound.wire.token import Stop
from taskbound.wire.tool import AddUpstream, identity_of
from tests.surfaces.api.test_operations import station
from tests.wiring.running import SPEC, TOOL
from tests.world import ANN

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.sdk.client import AsyncClient
    from tests.surfaces.api.test_operations import Station

HERE = Holder(uid=os.geteuid(), pid=os.getpid(), started=1)


async def codes(place: Station, role: str, **more: str) -> list[str]:
    """What comes of opening in this role and asking for both."""
    try:
        client = await place.client(role, **more)
    except RefusedByDaemonError as error:
        return [error.fault.code]
    found = []
    for ask, kind in (
        (ShowSealed(server="bank", holder=HERE), SealedServer),
        (ShowPermit(action="act_1", holder=HERE), Permit),
        (TellToken(server="bank", identity="0" * 64, token="tok_", state="asked", tasks=()), Done),
    ):
        with pytest.raises(RefusedByDaemonError) as caught:
            await client.ask(ask, kind)
        found.append(caught.value.fault.code)
    return found


def test_only_the_egress_asks_for_permits_and_sealed_secrets_and_gets_those_of_gateways(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            assert await codes(place, "cli") == ["unproven"] * 3
            assert await codes(place, "run") == ["unproven"] * 3
            assert await codes(place, "egress") == ["unproven", "no-permit", "malformed"]
            assert await codes(place, "gateway", agent="coder") == ["unproven"] * 3
            # This process is a gateway's from here on, and so beneath one.
            assert await codes(place, "egress") == ["not-outside"]

    asyncio.run(story())


def test_a_person_s_command_line_has_a_server_started_to_look_at_it_unless_all_is_stopped(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            started = ancestry_of(os.getpid())[0][1]
            here = Holder(uid=os.geteuid(), pid=os.getpid(), started=started)
            ask = ShowSealed(server="echo", holder=here)
            egress, person = await place.client("egress"), await place.client("cli")
            raw = msgspec.Raw(msgspec.json.encode(TOOL))
            await person.ask(AddUpstream(spec=SPEC, definitions=(raw,)), Done)
            other = ShowSealed(server="echo", holder=HERE)
            with pytest.raises(RefusedByDaemonError, match="no gateway with a task"):
                await egress.ask(other, SealedServer)
            assert (await egress.ask(ask, SealedServer)).spec == SPEC
            await person.ask(Stop(stopped=True, reason="test"), Done)
            with pytest.raises(RefusedByDaemonError, match="stopped"):
                await egress.ask(ask, SealedServer)

    asyncio.run(story())


def test_who_is_no_person_here_has_no_server_started(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, person=os.geteuid() + 1) as place:
            started = ancestry_of(os.getpid())[0][1]
            await place.client("cli")
            egress = await place.client("egress")
            holder = Holder(uid=os.geteuid(), pid=os.getpid(), started=started)
            with pytest.raises(RefusedByDaemonError) as caught:
                await egress.ask(ShowSealed(server="bank", holder=holder), SealedServer)
            assert caught.value.fault.code == "unproven"

    asyncio.run(story())


def test_another_account_than_the_daemon_s_own_is_no_egress(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, owner=os.geteuid() + 1) as place:
            assert await codes(place, "egress") == ["unproven"]

    asyncio.run(story())


def told(state: str = "asked", tasks: tuple[str, ...] = (), **more: Any) -> TellToken:
    return TellToken(
        **{
            "server": "echo",
            "identity": identity_of(SPEC, namespace="default").digest,
            "token": f"tok_{'0' * 32}",
            "state": state,
            "tasks": tasks,
            **more,
        }
    )


def test_a_token_is_told_of_by_the_egress_alone_and_asked_for_while_its_task_is_live(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:

            async def code(client: AsyncClient, ask: TellToken) -> str:
                try:
                    await client.ask(ask, Done)
                except RefusedByDaemonError as error:
                    return error.fault.code
                return ""

            egress, person = await place.client("egress"), await place.client("cli")
            raw = msgspec.Raw(msgspec.json.encode(TOOL))
            await person.ask(AddUpstream(spec=SPEC, definitions=(raw,)), Done)
            assert await code(person, told()) == "unproven"
            task, live = place.world.start().id, place.world.start().id
            assert await code(egress, told(tasks=(task,))) == ""
            place.world.tasks.end("default", task, TaskEvent.REVOKE, ANN, reason="test")
            assert await code(egress, told(tasks=(task,))) == "task-ended"
            assert await code(egress, told(tasks=(task, live))) == ""
            assert await code(egress, told(tasks=())) == "no-task"
            assert await code(egress, told(identity="0" * 64)) == "unknown-server"
            assert await code(egress, told(token="tok_x")) == "malformed"
            assert await code(egress, told(tasks=("task",) * 65)) == "malformed"
            await person.ask(Stop(stopped=True, reason="test"), Done)
            assert await code(egress, told()) == "stopped"
            # How it ended is recorded all the same.
            assert await code(egress, told("revoked", (task,))) == ""

    asyncio.run(story())
