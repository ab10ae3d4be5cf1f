"""Whether a call of before still stands, as a gateway asks before it gives anything of it out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec import structs

from taskbound.core.task import ending
from taskbound.flows.revocation import stop
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire.action import Decide, Outcome, Permitted, Released
from taskbound.wire.connection import Bind, Bound
from taskbound.wire.tool import CoverCalls, Coverings
from tests.surfaces.api.test_operations import station
from tests.world import ANN

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.flows.means import TaskChange
    from taskbound.surfaces.api.server.daemon import Daemon
    from tests.world import World

ARGUMENTS = msgspec.Raw(b'{"amount":10,"to":"bob"}')
PAY = Decide(tool="bank__pay", arguments=ARGUMENTS, request="1")


def asked(task: str) -> CoverCalls:
    return CoverCalls(tool="bank__pay", calls=(ARGUMENTS,), task=task)


def happen(where: Daemon | World, what: str, task: str) -> list[TaskChange]:
    """As the operations do it: this process is a gateway's from the first that it opens, and no person's.

    The world beside a daemon has the same store and views of its own: it is another daemon.
    """
    match what:
        case "task-paused":
            return where.tasks.pause("default", task, ANN, reason="")
        case "task-ended":
            return where.tasks.end("default", task, ending("revoked"), ANN, reason="")
        case "inactive-agent":
            return where.agents.suspend("default", "coder", ANN, reason="")
        case _:
            stop(where.adapters, "default", stopped=True, reason="test", actor=ANN)
            return []


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "at-another-daemon"])
@pytest.mark.parametrize("code", ["task-paused", "task-ended", "stopped", "inactive-agent"])
def test_a_call_that_was_made_does_not_stand_once_its_task_does_not_run(
    code: str,
    elsewhere: bool,  # noqa: FBT001 -- a parameter
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            gateway, _ = await place.open("gateway", agent="coder")
            task = (await gateway.ask(Bind(), Bound)).task
            permit = await gateway.ask(PAY, Permitted)
            await gateway.ask(Outcome(action=permit.action, outcome="succeeded"), Released)
            assert (await gateway.ask(asked(task), Coverings)).covered == (0,)
            moved = happen(place.world if elsewhere else place.daemon, code, task)
            if not elsewhere:
                place.daemon.tell_ended(moved)
            found = await gateway.ask(asked(task), Coverings)
            ends = code == "inactive-agent" and not elsewhere  # its tasks end with it, which is told first
            assert (found.covered, found.code) == ((), "task-ended" if ends else code)
            assert found.refusal

    asyncio.run(story())


def test_nobody_but_a_gateway_asks_and_of_so_many_calls_at_a_time(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            gateway, _ = await place.open("gateway", agent="coder")
            task = (await gateway.ask(Bind(), Bound)).task
            most = structs.replace(asked(task), calls=(ARGUMENTS,) * 100)
            assert len((await gateway.ask(most, Coverings)).covered) == 100
            with pytest.raises(RefusedByDaemonError) as refused:
                await gateway.ask(structs.replace(most, calls=(ARGUMENTS,) * 101), Coverings)
            assert refused.value.fault.code == "too-many-to-cover"
            person, _ = await place.open("cli")
            with pytest.raises(RefusedByDaemonError) as refused:
                await person.ask(asked(task), Coverings)
            assert refused.value.fault.code == "unproven"

    asyncio.run(story())


def test_a_call_of_another_task_does_not_stand_whatever_that_covers(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            gateway, _ = await place.open("gateway", agent="coder")
            first = (await gateway.ask(PAY, Permitted)).task
            place.daemon.tell_ended(happen(place.daemon, "task-ended", first))
            second = place.world.start()
            told = await gateway.ask(asked(first), Coverings)  # the end is told once
            assert told.code == "task-ended"
            found = await gateway.ask(asked(first), Coverings)
            assert (found.covered, found.code) == ((), "other-task")
            assert (await gateway.ask(asked(second.id), Coverings)).covered == (0,)
            assert (await gateway.ask(asked(""), Coverings)).covered == (0,)

    asyncio.run(story())


def test_a_call_that_its_scope_does_not_cover_does_not_stand(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            gateway, _ = await place.open("gateway", agent="coder")
            task = (await gateway.ask(Bind(), Bound)).task
            other = CoverCalls(
                tool="bank__pay",
                calls=(msgspec.Raw(b'{"amount":10000000,"to":"bob"}'), ARGUMENTS),
                task=task,
            )
            found = await gateway.ask(other, Coverings)
            assert (found.covered, found.code, found.refusal) == ((1,), "", "")

    asyncio.run(story())
