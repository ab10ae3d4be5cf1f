from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.approval.apart.operands import PATIENCE
from taskbound.core.approval import Lookup, Operand, ProbeKind, parse_probe
from taskbound.flows.approval.look import NeedsProbe
from taskbound.flows.tool import Declaration
from taskbound.sdk.client import DaemonLostError, RefusedByDaemonError
from taskbound.surfaces.api.background.looking import (
    MOST,
    MOST_OF_ONE,
    MOST_ROUNDS,
    MOST_WAITING,
    THREADS,
    OperandLookups,
)
from taskbound.surfaces.api.operations.action import ANSWERED
from taskbound.surfaces.api.server.worker import OverloadedError
from taskbound.surfaces.gateway.link import Timings
from taskbound.wire.action import Permitted
from taskbound.wire.connection import Fault
from tests.peers.holding import hold_policy
from tests.sqlite import sqlite_store
from tests.surfaces.api.test_operations import decide, station
from tests.world import ANN, World

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from taskbound.flows.approval.look import OperandFindings
    from tests.surfaces.api.test_operations import Station
    from tests.world import WorldClock

PROBE = parse_probe("id=row:sqlite:/srv/a.db?table=t&key=id")
FOUND = (("key", "k"), ("row", "r"), ("table", "t"), ("version", "v"))


def looks(value: str = "a") -> tuple[Lookup, ...]:
    return (Lookup(place="/id", probe=PROBE, value=value, directory="/"),)


class Slow:
    """Looks that last until they are let go."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()

    def see(self, looks: Sequence[Lookup]) -> tuple[Operand, ...]:
        self.begun.release()
        if not self.go.wait(30):
            raise TimeoutError
        return tuple(Operand(place=one.place, kind=ProbeKind.ROW, found=FOUND) for one in looks)


def slow() -> tuple[OperandLookups, Slow]:
    far = Slow()
    adapters = replace(World(store=sqlite_store()).adapters, far=far)
    return OperandLookups(adapters, asyncio.get_running_loop()), far


def test_one_agent_s_looks_leave_threads_for_those_of_others() -> None:
    async def story() -> None:
        looking, far = slow()
        seen: asyncio.Queue[Any] = asyncio.Queue()
        try:
            for _ in range(MOST_OF_ONE + MOST_WAITING):
                looking.hand(("default", "one"), looks(), seen.put_nowait, seen.put_nowait)
            with pytest.raises(OverloadedError):
                looking.hand(("default", "one"), looks(), seen.put_nowait, seen.put_nowait)
            assert MOST_OF_ONE < THREADS
            looking.hand(("default", "two"), looks(), seen.put_nowait, seen.put_nowait)
            for _ in range(MOST_OF_ONE + 1):
                assert await asyncio.to_thread(far.begun.acquire, timeout=30), "each has a thread"
            assert not far.begun.acquire(blocking=False), "the others of the first one wait"
            far.go.set()
            for _ in range(MOST_OF_ONE + MOST_WAITING + 1):
                assert (await seen.get()).found[0].found == FOUND
            looking.hand(("default", "one"), looks(), seen.put_nowait, seen.put_nowait)
            await seen.get()
        finally:
            far.go.set()
            looking.close()

    asyncio.run(story())


def test_so_many_have_something_looked_at() -> None:
    async def story() -> None:
        looking, far = slow()
        seen: asyncio.Queue[Any] = asyncio.Queue()
        try:
            for number in range(MOST):
                looking.hand(("default", str(number)), looks(), seen.put_nowait, seen.put_nowait)
            with pytest.raises(OverloadedError):
                looking.hand(("default", "one more"), looks(), seen.put_nowait, seen.put_nowait)
            far.go.set()
            await seen.get()
        finally:
            far.go.set()
            looking.close()

    asyncio.run(story())


def test_what_is_old_each_time_is_given_up() -> None:
    async def story() -> None:
        looking, far = slow()
        far.go.set()
        given: list[OperandFindings | None] = []

        async def work(sight: OperandFindings | None) -> str | NeedsProbe:
            given.append(sight)
            return NeedsProbe(looks=looks(str(len(given))))

        try:
            with pytest.raises(OverloadedError, match="old each time"):
                await looking.until_seen(("default", "one"), work)
            assert [one and one.looks[0].value for one in given] == [None, "1", "2", "3"]
        finally:
            looking.close()

    asyncio.run(story())


def test_a_call_whose_looks_are_old_each_time_is_told_to_come_again(tmp_path: Path) -> None:
    class Late:
        """Looks that take longer than what they find is worth."""

        def __init__(self, clock: WorldClock) -> None:
            self.clock, self.seen = clock, 0

        def see(self, looks: Sequence[Lookup]) -> tuple[Operand, ...]:
            self.seen += 1
            self.clock.advance(6)
            return tuple(Operand(place=one.place, kind=ProbeKind.ROW, found=FOUND) for one in looks)

    async def story() -> None:
        async with station(tmp_path, policy=hold_policy("confirm")) as place:
            late = Late(place.world.clock)
            declare_look(place, late)
            gateway = await place.gateway()
            with pytest.raises(RefusedByDaemonError) as refused:
                await gateway.ask(decide("1"), Permitted)
            assert (refused.value.fault.code, late.seen) == ("overloaded", MOST_ROUNDS)

    asyncio.run(story())


def test_whoever_waits_is_told_in_time_and_what_nobody_waits_for_is_not_begun() -> None:
    async def story() -> None:
        looking, far = slow()
        told: asyncio.Queue[Any] = asyncio.Queue()
        try:
            soon = asyncio.get_running_loop().time() + 0.05
            for _ in range(MOST_OF_ONE + 2):
                looking.hand(("default", "one"), looks(), told.put_nowait, told.put_nowait, soon)
            for _ in range(MOST_OF_ONE + 2):
                assert isinstance(await told.get(), OverloadedError)
            looking.hand(("default", "one"), looks("b"), told.put_nowait, told.put_nowait)
            far.go.set()
            assert (await told.get()).looks == looks("b"), "what was found for the others is not heard"
            for _ in range(MOST_OF_ONE + 1):
                assert await asyncio.to_thread(far.begun.acquire, timeout=30)
            assert not far.begun.acquire(blocking=False), "those that waited were not begun"
            assert told.empty()
        finally:
            far.go.set()
            looking.close()

    asyncio.run(story())


def declare_look(place: Station, far: Any) -> None:
    """Payments are held, and looked at by this."""
    world = place.world
    place.daemon.looking.close()
    place.daemon.looking = OperandLookups(replace(world.adapters, far=far), asyncio.get_running_loop())
    with world.store.read() as snapshot:
        tool = snapshot.tools.tool("default", "bank__pay")
    assert tool is not None
    said = Declaration(probes=("to=row:sqlite:/srv/a.db?table=t&key=id",))
    world.sights.declare("default", "bank__pay", tool.digest, ANN, said)


def test_a_gateway_has_an_answer_before_it_takes_the_daemon_for_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PATIENCE < ANSWERED < Timings().grace, "one look that takes its time is still heard"
    monkeypatch.setattr("taskbound.surfaces.api.operations.action.ANSWERED", 0.05)

    async def story() -> None:
        far = Slow()
        async with station(tmp_path, policy=hold_policy("confirm")) as place:
            declare_look(place, far)
            gateway = await place.gateway()
            asked = [gateway.ask_any(decide(str(one))) for one in range(MOST_OF_ONE + 1)]
            try:
                answers = await asyncio.gather(*asked)
            finally:
                far.go.set()
            assert [one.code for one in answers if isinstance(one, Fault)] == ["overloaded"] * 3

    asyncio.run(story())


def test_whoever_is_gone_when_it_was_seen_gets_no_permit(tmp_path: Path) -> None:
    async def story() -> None:
        far = Slow()
        async with station(tmp_path, policy=hold_policy("confirm")) as place:
            declare_look(place, far)
            first, second = await place.gateway(), await place.gateway()
            gone = asyncio.ensure_future(first.ask_any(decide("1")))
            assert await asyncio.to_thread(far.begun.acquire, timeout=30)
            first.close()
            with pytest.raises(DaemonLostError):
                await gone
            far.go.set()
            assert await second.ask_any(decide("2")) is not None
            with place.world.store.read() as snapshot:
                known = snapshot.actions.actions("default", limit=10)
            assert [one.request for one in known] == ["2"]

    asyncio.run(story())


def test_what_nobody_foresaw_in_a_look_is_told_to_who_asked() -> None:
    class Broken:
        def see(self, _: Sequence[Lookup]) -> tuple[Operand, ...]:
            raise ZeroDivisionError

    async def story() -> None:
        adapters = replace(World(store=sqlite_store()).adapters, far=Broken())
        looking = OperandLookups(adapters, asyncio.get_running_loop())

        async def work(_: OperandFindings | None) -> str | NeedsProbe:
            return NeedsProbe(looks=looks())

        try:
            with pytest.raises(ZeroDivisionError):
                await looking.until_seen(("default", "one"), work)
        finally:
            looking.close()

    asyncio.run(story())
