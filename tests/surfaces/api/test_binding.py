"""Connections whose task has ended, at a daemon's socket: before and after the daemon is restarted."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from shutil import rmtree
from typing import TYPE_CHECKING

import msgspec
import pytest

from taskbound.adapters.keys.sealing import AskerKey
from taskbound.core.errors import TaskboundError
from taskbound.core.task import TaskEvent
from taskbound.flows.task import register_run
from taskbound.ports.task import Run
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.sdk.credential import Task
from taskbound.sdk.guard.link import AsyncLink, BlockingLink, Place
from taskbound.surfaces.api.background.strangers import ProcessTree
from taskbound.surfaces.api.operations.task import leave_others
from taskbound.surfaces.api.server.peer import ancestry_of
from taskbound.surfaces.api.server.place import DEFAULT_GATEWAY
from taskbound.wire.action import Refused
from taskbound.wire.connection import Bind, Bound
from tests.surfaces.api.test_fronts import PAY, Front, played
from tests.surfaces.api.test_operations import Station, station
from tests.surfaces.api.test_peer import tell
from tests.token_world import ISSUER, claims_in
from tests.world import ANN

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.sdk.client import AsyncClient


async def bound(client: AsyncClient, last: str = "") -> str:
    """The task that the gateway is bound to, or the code of the refusal."""
    try:
        return (await client.ask(Bind(last=last), Bound)).task
    except RefusedByDaemonError as error:
        return error.fault.code


def only(place: Station) -> str:
    with place.world.store.read() as snapshot:
        (task,) = snapshot.tasks.tasks("default")
    return task.id


def run(place: Station, task: str, pid: int) -> None:
    started = ancestry_of(pid)[0][1]
    register_run(place.world.adapters, "default", task, ANN, boot=place.daemon.boot, pid=pid, started=started)


def end(place: Station, task: str) -> None:
    place.daemon.tell_ended(place.world.tasks.end("default", task, TaskEvent.CANCEL, ANN, reason=""))


class Program:
    """A program with the SDK's connection: the task that it acts in, or the code of its refusal."""

    def __init__(self, path: Path, link: type[AsyncLink | BlockingLink], task: str = "") -> None:
        self.socket = path / "socket"
        self.link = link(lambda: Place(socket=self.socket, namespace="default", agent="coder", task=task))

    def meet(self, place: Station) -> None:
        """Find this daemon from the next connection on."""
        self.socket.unlink(missing_ok=True)
        self.socket.symlink_to(place.path)

    async def bound(self) -> str:
        try:
            if isinstance(self.link, AsyncLink):
                return (await self.link.belong()).task
            return (await asyncio.to_thread(self.link.belong)).task
        except TaskboundError as error:
            return error.code

    async def rest(self) -> None:
        if isinstance(self.link, AsyncLink):
            await self.link.rest()
        else:
            self.link.rest()


LINKS = (AsyncLink, BlockingLink)


async def asked_of(place: Station, agent: str) -> str:
    return await bound(await place.client("gateway", agent=agent))


async def programmed(place: Station, link: type[AsyncLink | BlockingLink], named: str) -> str:
    program = Program(place.path.parent, link, named)
    program.meet(place)
    found = await program.bound()
    await program.rest()
    return found


async def joined(place: Station, agent: str, named: str) -> str:
    """As `taskbound exec` and `taskbound credential request` join a task."""

    def join() -> str:
        try:
            with Task.join(place.path, agent=agent, asker=AskerKey.generate, task=named) as one:
                return one.id
        except RefusedByDaemonError as error:
            return error.fault.code

    return await asyncio.to_thread(join)


Way = Callable[[Station, str, str], Awaitable[str]]
"""Of a daemon, the run's task and another one (the same where there is no other): the task, or a code."""
BENEATH: dict[str, tuple[Way, str]] = {
    "new gateway": (lambda place, _, __: asked_of(place, "coder"), "task-ended"),
    "gateway of another agent": (lambda place, _, __: asked_of(place, "payer"), "no-task"),
    "sdk": (lambda place, _, __: programmed(place, BlockingLink, ""), "task-ended"),
    "sdk in asyncio": (lambda place, _, __: programmed(place, AsyncLink, ""), "task-ended"),
    "sdk that names the task": (lambda place, own, _: programmed(place, BlockingLink, own), "task-ended"),
    "sdk that names another": (lambda place, _, other: programmed(place, BlockingLink, other), "task-ended"),
    "exec": (lambda place, own, _: joined(place, "coder", own), "task-ended"),
    "exec of another task": (lambda place, _, other: joined(place, "coder", other), "task-ended"),
    "exec for another agent": (lambda place, _, other: joined(place, "payer", other), "no-task"),
}


@pytest.mark.parametrize("others", [0, 1, 2])
@pytest.mark.parametrize("way", BENEATH)
def test_process_beneath_an_ended_run_is_refused_before_and_after_a_restart_whatever_other_tasks_run(
    tmp_path: Path, way: str, others: int
) -> None:
    tried, code = BENEATH[way]

    async def story() -> None:
        async with station(tmp_path) as place:
            place.world.add_agent("payer")
            task = only(place)
            run(place, task, os.getpid())
            old = await place.gateway()
            assert await bound(old) == task
            end(place, task)
            free = [place.world.start(agent=agent).id for agent in ("coder", "payer") for _ in range(others)]
            other = free[0] if free else task
            assert [await bound(old) for _ in range(3)] == ["task-ended"] * 3
            assert [await tried(place, task, other) for _ in range(2)] == [code] * 2
            (again := tmp_path / "again").mkdir()
            async with station(again, beside=place.world) as restarted:
                assert await bound(await restarted.gateway(), last=task) == "task-ended"
                assert [await tried(restarted, task, other) for _ in range(2)] == [code] * 2

    asyncio.run(story())


@pytest.mark.parametrize("others", [0, 1, 2])
def test_process_that_a_killed_run_left_behind_gets_no_other_task(tmp_path: Path, others: int) -> None:
    (proc := tmp_path / "proc").mkdir()
    here, killed = ancestry_of(os.getpid())[0], (10, 100)

    def stands_beneath(parent: int) -> None:
        rmtree(proc / str(here[0]), ignore_errors=True)
        tell(proc, here[0], parent, here[1])

    async def story() -> None:
        async with station(tmp_path) as place:
            insiders = place.daemon.insiders = ProcessTree(proc)
            task = only(place)
            registered = Run(
                namespace="default", task=task, boot=place.daemon.boot, pid=killed[0], started=killed[1]
            )
            place.world.store.write(lambda tx: tx.tasks.put_run(registered))
            tell(proc, killed[0], 1, killed[1])
            stands_beneath(killed[0])
            insiders.look([killed], runs=frozenset({killed}))
            rmtree(proc / str(killed[0]))
            stands_beneath(1)
            insiders.look([killed], runs=frozenset({killed}))
            for _ in range(others):
                place.world.start()
            assert await bound(await place.gateway()) == task
            end(place, task)
            assert await bound(await place.gateway()) == "task-ended"

    asyncio.run(story())


def test_daemon_keeps_what_stands_beneath_a_run_for_the_next_daemon_of_its_data_directory(
    tmp_path: Path,
) -> None:
    here = ancestry_of(os.getpid())

    async def story() -> None:
        async with station(tmp_path) as place:
            run(place, only(place), here[1][0])
            place.daemon.look_inside()
        async with station(tmp_path, beside=place.world) as again:
            assert again.daemon.insiders.line(here[:1]) == here[:2]

    asyncio.run(story())


@pytest.mark.parametrize("others", [0, 1, 2])
def test_front_refuses_the_token_of_an_ended_run_before_and_after_a_restart_whatever_other_tasks_run(
    tmp_path: Path, others: int
) -> None:
    async def refused(one: Front, token: str) -> None:
        assert await one.show(one.proven(token)) == "task-ended"
        with pytest.raises(RefusedByDaemonError) as caught:
            await one.seat(token)
        assert caught.value.fault.code == "task-ended"

    async def story(one: Front) -> None:
        task = only(one.place)
        registered = Run(namespace="default", task=task, boot=one.place.daemon.boot, pid=2**22 + 1, started=1)
        one.world.store.write(lambda tx: tx.tasks.put_run(registered))
        token = one.token()
        seat = await one.seat(token)
        assert await bound(seat) == task
        end(one.place, task)
        for _ in range(others):
            one.world.start()
        assert [await bound(seat) for _ in range(3)] == ["task-ended"] * 3
        call = msgspec.structs.replace(PAY, token=claims_in(token)["jti"])
        assert (await seat.ask(call, Refused)).code == "task-ended"
        await refused(one, token)
        (again := tmp_path / "again").mkdir()
        async with station(again, beside=one.world, issuer=ISSUER) as restarted:
            client = await restarted.client("front", origin=DEFAULT_GATEWAY)
            await refused(Front(restarted, one.tokens, client), token)

    played(tmp_path, story)


@pytest.mark.parametrize("restarted", [False, True])
def test_gateway_outside_every_run_follows_the_next_task_once_told_and_it_is_recorded(
    tmp_path: Path, *, restarted: bool
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            task = only(place)
            gateway = await place.gateway()
            assert await bound(gateway) == task
            end(place, task)
            after = place.world.start()
            (again := tmp_path / "again").mkdir()
            if restarted:
                async with station(again, beside=place.world) as other:
                    assert await bound(await other.gateway(), last=task) == after.id
            else:
                assert [await bound(gateway), await bound(gateway)] == ["task-ended", after.id]
            (event,) = place.world.events("task-followed")
            assert (event["before"], event["task"]) == (task, after.id)

    asyncio.run(story())


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("kind", ["older", "next"])
def test_sdk_outside_every_run_follows_after_a_restart_only_a_later_task_and_once_told(
    tmp_path: Path, kind: str, link: type[AsyncLink | BlockingLink]
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            older = only(place)
            place.world.tasks.pause("default", older, ANN, reason="")
            place.world.clock.advance(1)
            task = place.world.start().id
            program = Program(tmp_path, link)
            program.meet(place)
            begun = await program.bound()
            await program.rest()
            assert begun == task
            end(place, task)
            if kind == "older":
                place.world.tasks.resume("default", older, ANN)
                gets = ["no-task", "no-task"]
            else:
                gets = ["task-ended", place.world.start().id]
            (again := tmp_path / "again").mkdir()
            async with station(again, beside=place.world) as restarted:
                program.meet(restarted)
                found = [await program.bound() for _ in range(2)]
                await program.rest()
            assert found == gets
            told = [(one["before"], one["task"]) for one in place.world.events("task-followed")]
            assert told == [(task, gets[1])] * (kind == "next")

    asyncio.run(story())


def test_gateway_that_was_bound_before_a_run_registered_above_it_leaves_the_other_task(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            task = only(place)
            gateway = await place.gateway()
            assert await bound(gateway) == task
            mine = place.world.start()
            run(place, mine.id, os.getppid())
            await leave_others(place.daemon, mine.id)
            assert [await bound(gateway), await bound(gateway)] == ["task-ended", mine.id]

    asyncio.run(story())


def test_secret_of_a_lost_connection_gives_another_agent_no_task(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            place.world.add_agent("payer")
            gateway, opened = await place.open("gateway", agent="coder")
            assert await bound(gateway) == only(place)
            await place.lose(gateway)
            payer = await place.client("gateway", agent="payer", resume=opened.connection)
            assert await bound(payer) == "no-task"

    asyncio.run(story())
