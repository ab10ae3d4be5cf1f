from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.keys.file import AgentKeyFiles
from taskbound.core.errors import TaskboundError
from taskbound.core.identity import UnprovenError
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import Credential
from taskbound.core.task import TaskEvent, TaskState
from taskbound.flows.identity.agent import AgentKeys
from taskbound.flows.task.binding import register_run
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.api.server.peer import ancestry_of
from taskbound.wire.workload import AssertAgentKey, Assertion
from tests.surfaces.api.test_operations import station
from tests.world import ANN

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.core.task import Task
    from taskbound.sdk.client import AsyncClient
    from tests.surfaces.api.test_operations import Station

BENEATH = """
import json, sys
from taskbound import __version__
from taskbound.sdk.client import Client, RefusedByDaemonError
from taskbound.wire.connection import Open
from taskbound.wire.workload import AssertAgentKey, Assertion
from pathlib import Path
sys.stdin.readline()
client = Client(Path(sys.argv[1]), Open(role=sys.argv[3], agent="coder", version=__version__))
try:
    print(client.ask(AssertAgentKey(agent=sys.argv[2]), Assertion).agent)
except RefusedByDaemonError as error:
    print(error.fault.code)
"""


def keep(place: Station, folder: Path) -> None:
    """Have a signer's files for the agents of this station, and a key for `coder`."""
    folder.mkdir(mode=0o700)
    world = place.world
    files = AgentKeyFiles(folder, now=lambda: world.clock.at / 1_000_000)
    place.daemon.agent_keys = AgentKeys(world.adapters, files, audience="http://127.0.0.1:8700")
    place.daemon.agent_keys.renew("default", "coder", actor=ANN, owns=False)


def run(place: Station, task: Task, pid: int) -> None:
    started = ancestry_of(pid)[0][1]
    boot = place.daemon.boot
    register_run(place.world.adapters, "default", task.id, ANN, boot=boot, pid=pid, started=started)


def running(place: Station) -> list[str]:
    with place.world.store.read() as snapshot:
        return [one.id for one in snapshot.tasks.tasks("default") if one.state is TaskState.RUNNING]


async def code(client: AsyncClient, agent: str = "") -> str:
    with pytest.raises(RefusedByDaemonError) as caught:
        await client.ask(AssertAgentKey(agent=agent), Assertion)
    return caught.value.fault.code


async def beneath(
    place: Station, task: Task | None, agent: str = "", *, gateway: bool = False, role: str = "cli"
) -> str:
    """What a process hears that asks, once it is the run of this task, or a gateway's child."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BENEATH, str(place.path), agent, role,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip  # a list of words reads better as words
    if task is not None:
        run(place, task, os.getpid() if gateway else child.pid)
    out, _ = await child.communicate(b"\n")
    return out.decode().strip()


def test_a_process_of_the_run_of_a_task_is_given_a_statement_that_proves_its_agent(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            keep(place, tmp_path / "keys")
            task = place.world.start()
            run(place, task, os.getpid())
            client = await place.client()
            found = await client.ask(AssertAgentKey(), Assertion)
            shown = Credential(kind=WorkloadKind.KEY, raw=found.token.encode())
            assert place.daemon.proofs.prove("default", shown).name == found.agent == "coder"
            assert await code(client, "other") == "not-agent-process"
            place.world.tasks.pause("default", task.id, ANN, reason="")
            assert await code(client) == "task-paused"
            place.world.tasks.end("default", task.id, TaskEvent.CANCEL, ANN, reason="")
            assert await code(client) == "task-ended"

    asyncio.run(story())


def test_a_process_outside_of_every_run_is_given_none_though_its_person_owns_the_agent(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            keep(place, tmp_path / "keys")
            place.world.start()
            assert await code(await place.client()) == "not-agent-process"
            assert await code(await place.client(), "coder") == "not-agent-process"
            assert await beneath(place, None, "coder") == "not-agent-process"

    asyncio.run(story())


def test_a_gateway_is_given_its_own_agents_and_what_it_started_none(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            keep(place, tmp_path / "keys")
            task = place.world.start()
            assert await beneath(place, task) == "coder"
            gateway = await place.gateway()
            spare = place.world.start()
            assert await code(gateway) == "ambiguous-task"  # it is bound to neither
            place.world.tasks.end("default", spare.id, TaskEvent.CANCEL, ANN, reason="")
            place.world.tasks.end("default", task.id, TaskEvent.CANCEL, ANN, reason="")
            assert (await gateway.ask(AssertAgentKey(), Assertion)).agent == "coder"
            (left,) = running(place)
            place.world.tasks.pause("default", left, ANN, reason="")
            assert await code(gateway) == "task-paused"
            place.world.tasks.resume("default", left, ANN)
            task = place.world.start()
            assert await code(gateway, "other") == "not-agent-process"
            assert await beneath(place, task, gateway=True) == "not-agent-process"
            place.world.tasks.end("default", left, TaskEvent.CANCEL, ANN, reason="")
            assert await beneath(place, task, gateway=True, role="gateway") == "not-agent-process"
            assert await beneath(place, None, gateway=True, role="gateway") == "not-agent-process"

    asyncio.run(story())


@pytest.mark.parametrize("opens", ["coder", "helper"])
def test_what_stands_beneath_the_run_of_one_agent_is_no_gateway_of_another(
    opens: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            keep(place, tmp_path / "keys")
            place.world.add_agent("helper")
            place.daemon.agent_keys.renew("default", "helper", actor=ANN, owns=False)
            place.world.start(agent="helper")
            run(place, place.world.start(), os.getpid())
            gateway = await place.client("gateway", agent=opens)
            if opens == "helper":
                assert await code(gateway) == "no-task"
            else:
                assert (await gateway.ask(AssertAgentKey(), Assertion)).agent == "coder"

    asyncio.run(story())


def test_a_daemon_reads_every_kind_of_credential_that_its_wiring_and_its_store_can_prove(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            for kind in (WorkloadKind.KEY, WorkloadKind.X509_SVID, WorkloadKind.JWT_SVID):
                with pytest.raises(TaskboundError) as caught:
                    place.daemon.proofs.prove("default", Credential(kind=kind, raw=b"x"))
                assert not isinstance(caught.value, UnprovenError)
            with pytest.raises(UnprovenError):
                place.daemon.proofs.prove("default", Credential(kind=WorkloadKind.OIDC, raw=b"x"))

    asyncio.run(story())
