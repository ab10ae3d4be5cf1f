from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from taskbound.sdk.client import DaemonLostError
from taskbound.surfaces.gateway.http.door import Pace
from taskbound.surfaces.gateway.http.seat import FrontBounds
from taskbound.surfaces.http.errors import TooManyRequestsError
from taskbound.wire.connection import Fault, Open, Seated, ShowProof
from tests.peers.daemon import FAR, Held
from tests.surfaces.gateway.http.fronting import OTHER, TOKEN, Answer, Near, Wire, near

pytestmark = pytest.mark.anyio

LIST = {"method": "tools/list"}
METADATA = "/.well-known/oauth-protected-resource/mcp/coder"


async def asked(there: Near, stack: AsyncExitStack, token: str, host: int) -> Wire:
    """A connection from an address of this machine, over which one request was sent."""
    opened = await asyncio.open_connection("127.0.0.1", there.port, local_addr=(f"127.0.0.{host}", 0))
    wire = await stack.enter_async_context(Wire(*opened))
    wire.send(there.modern(token, LIST))
    return wire


async def answered(there: Near, token: str, host: int) -> Answer:
    async with AsyncExitStack() as stack:
        return await (await asked(there, stack, token, host)).answer()


def judged(ask: ShowProof) -> Seated | Fault:
    """One token is of a task."""
    if ask.shown.authorization == f"Bearer {TOKEN}":
        return Seated(task="tsk_1", token="tok_1", until=FAR)
    return Fault(code="unknown-token", message="no", family="unproven")


def later(answer: Answer) -> bool:
    """Whether it is told to come back later."""
    return (answer.status, answer.code, answer.headers.get("retry-after")) == (429, "too-many-requests", "1")


async def test_address_that_asks_too_often_without_a_token_is_refused_and_its_proven_client_is_served(
    tmp_path: Path,
) -> None:
    async with near(tmp_path, burst=2, rate=0.001) as there:
        raw = there.raw("", b"", verb="GET", path=METADATA, without=("Authorization",))
        documents = [await there.send(raw) for _ in range(4)]
        assert [one.status for one in documents] == [200, 200, 429, 429]
        assert [one.headers.get("retry-after") for one in documents] == [None, None, "1", "1"]
        assert [(await answered(there, TOKEN, 1)).status for _ in range(3)] == [200] * 3


async def test_bad_heads_of_an_address_count_as_its_requests_without_a_token(tmp_path: Path) -> None:
    async with near(tmp_path, burst=2, rate=0.001) as there:
        raw = there.raw("", b"", verb="GET", path="/nothing", without=("Authorization",))
        assert [(await there.send(raw)).status for _ in range(3)] == [404, 404, 429]
        assert (await answered(there, TOKEN, 1)).status == 200


async def test_token_that_is_shown_too_often_at_one_address_is_refused_there_before_the_daemon_is_asked(
    tmp_path: Path,
) -> None:
    async with near(tmp_path, burst=2, rate=0.001) as there:
        assert [(await answered(there, TOKEN, 1)).status for _ in range(3)] == [200] * 3
        before = there.daemon.count(ShowProof)
        for _ in range(3):
            assert later(await answered(there, TOKEN, 1))
        assert there.daemon.count(ShowProof) == before
        assert (await answered(there, TOKEN, 2)).status == 200


async def test_who_shows_bad_tokens_is_asked_about_seldom_and_whose_task_is_served_goes_on(
    tmp_path: Path,
) -> None:
    async with near(tmp_path, strange_burst=2, strange_rate=0.001) as there:
        there.daemon.on[ShowProof] = judged
        assert (await answered(there, TOKEN, 1)).status == 200
        assert (await answered(there, OTHER, 1)).status == 401
        before = there.daemon.count(ShowProof)
        for token in (OTHER, "another", "a.third"):
            assert later(await answered(there, token, 1))
        assert there.daemon.count(ShowProof) == before
        for _ in range(3):
            assert (await answered(there, TOKEN, 1)).status == 200
        assert (await answered(there, OTHER, 2)).status == 401


async def test_strangers_leave_the_daemons_time_to_others_and_one_address_does_too(tmp_path: Path) -> None:
    async with (
        near(tmp_path, proving=5, proving_each=3, strange=2, strange_each=1) as there,
        AsyncExitStack() as stack,
    ):
        there.daemon.on[ShowProof] = judged
        assert (await answered(there, TOKEN, 1)).status == 200
        waiting: list[tuple[Held, Wire]] = []
        with there.daemon.holding(ShowProof) as held:

            async def held_one(token: str, host: int) -> None:
                wire = await asked(there, stack, token, host)
                waiting.append((await held.next(), wire))

            await held_one(OTHER, 1)
            assert later(await answered(there, "another", 1))  # its part of strangers'
            await held_one(OTHER, 2)
            full = await answered(there, OTHER, 3)
            assert (full.status, full.code) == (503, "front-full")  # strangers' part
            await held_one(TOKEN, 1)
            await held_one(TOKEN, 1)
            assert later(await answered(there, TOKEN, 1))  # its part of all
            await held_one(TOKEN, 4)
            full = await answered(there, TOKEN, 5)
            assert (full.status, full.code) == (503, "front-full")  # all
            assert there.daemon.count(ShowProof) == 6
        for one, _ in waiting:
            one.answer(judged(one.ask))
        assert [(await wire.answer()).status for _, wire in waiting] == [401, 401, 200, 200, 200]
        for host in (1, 2, 3):  # all of it is given back
            assert (await answered(there, OTHER, host)).status == 401
            assert (await answered(there, TOKEN, host)).status == 200


async def test_requests_with_a_token_that_was_renewed_wait_for_the_first_of_them_and_count_as_one(
    tmp_path: Path,
) -> None:
    async with (
        near(tmp_path, strange_each=1, strange_burst=1, strange_rate=0.001) as there,
        AsyncExitStack() as stack,
    ):
        there.daemon.on[ShowProof] = judged
        with there.daemon.holding(ShowProof) as held:
            wires = [await asked(there, stack, TOKEN, 1)]
            first = await held.next()
            wires += [await asked(there, stack, TOKEN, 1) for _ in range(8)]
            assert later(await answered(there, OTHER, 1))  # what came before it was read, and waits
            assert there.daemon.count(ShowProof) == 1
        first.answer(judged(first.ask))
        assert [(await one.answer()).status for one in wires] == [200] * 9
        assert there.daemon.count(ShowProof) == 9  # each has a proof of its own


async def test_who_waited_for_a_token_that_turns_out_to_be_a_strangers_is_a_stranger(tmp_path: Path) -> None:
    async with (
        near(tmp_path, strange_burst=2, strange_rate=0.001) as there,
        AsyncExitStack() as stack,
    ):
        there.daemon.on[ShowProof] = judged
        with there.daemon.holding(ShowProof) as held:
            wires = [await asked(there, stack, OTHER, 1)]
            first = await held.next()
            wires += [await asked(there, stack, OTHER, 1) for _ in range(4)]
        first.answer(judged(first.ask))
        statuses = sorted([(await one.answer()).status for one in wires])
        assert statuses == [401, 401, 429, 429, 429]
        assert there.daemon.count(ShowProof) == 2


async def test_who_waits_for_the_first_with_its_token_and_leaves_is_waited_with_no_more(there: Near) -> None:
    async with AsyncExitStack() as stack:
        there.daemon.on[ShowProof] = judged
        work = there.front._work  # noqa: SLF001 -- that they are waited with is the point
        with there.daemon.holding(ShowProof) as held:
            first = await asked(there, stack, TOKEN, 1)
            one = await held.next()
            async with AsyncExitStack() as leaving:
                for _ in range(8):
                    await asked(there, leaving, TOKEN, 1)
                await there.until(lambda: len(work) == 9)
            last = await asked(there, stack, TOKEN, 1)
            await there.until(lambda: len(work) == 2)
        one.answer(judged(one.ask))
        assert [(await each.answer()).status for each in (first, last)] == [200, 200]
        assert there.daemon.count(ShowProof) == 2
        assert not there.front._pace._first  # noqa: SLF001 -- that nothing is kept is the point


async def test_where_the_first_finds_no_daemon_those_who_waited_do_not_find_it_one_after_another(
    there: Near,
) -> None:
    async with AsyncExitStack() as stack:
        there.daemon.on[ShowProof] = judged
        with there.daemon.holding(ShowProof) as held:
            wires = [await asked(there, stack, TOKEN, 1)]
            await held.next()
            wires += [await asked(there, stack, TOKEN, 1) for _ in range(8)]
            await there.until(lambda: len(there.front._work) == 9)  # noqa: SLF001 -- that they wait is the point
            there.daemon.drop()
            found = [await one.answer() for one in wires]
        assert [(one.status, one.code) for one in found] == [(503, "daemon-lost")] * 9
        assert there.daemon.count(ShowProof) == 1
        assert (await answered(there, TOKEN, 1)).status == 200  # who comes later asks anew


def test_a_network_is_counted_as_one_address_and_is_forgotten_once_nothing_of_it_is_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        pace = Pace(FrontBounds(burst=1, rate=0.001, strange_each=1), lambda: 0.0)
        pace.take("2001:db8::1")
        with pytest.raises(TooManyRequestsError):
            pace.take("2001:db8::2")
        pace.take("2001:db8:0:1::1")
        with pace.question("2001:db8::1", "a", known=False), pytest.raises(TooManyRequestsError):
            pace.question("2001:db8::2", "b", known=False).__enter__()
        with pytest.raises(DaemonLostError), pace.question("2001:db8::1", "a", known=False):
            raise DaemonLostError("it hangs")
        kept = (pace._each, pace._each_strange, pace._first)  # noqa: SLF001 -- that nothing is kept is the point
        assert [len(one) for one in kept] == [0, 0, 0]
        gc.collect()  # what nobody waited for is not logged as forgotten

    asyncio.run(story())
    assert not caplog.records


async def test_another_address_with_the_same_token_waits_for_nobody(there: Near) -> None:
    async with AsyncExitStack() as stack:
        there.daemon.on[ShowProof] = judged
        with there.daemon.holding(ShowProof) as held:
            wires = [await asked(there, stack, TOKEN, host) for host in (1, 2)]
            asks = [await held.next(), await held.next()]
            wires += [await asked(there, stack, OTHER, 1)]  # nor does another token of the address
            asks.append(await held.next())
        asks[1].answer(judged(asks[1].ask))
        assert (await wires[1].answer()).status == 200
        assert (await answered(there, TOKEN, 1)).status == 200  # its task is served: it is no stranger's
        for one in (asks[0], asks[2]):
            one.answer(judged(one.ask))
        assert [(await one.answer()).status for one in (wires[0], wires[2])] == [200, 401]


async def test_who_waits_while_the_daemon_cannot_be_reached_does_not_try_it_once_more(there: Near) -> None:
    async with AsyncExitStack() as stack:
        with there.daemon.holding(Open) as held:
            wires = [await asked(there, stack, f"token.{number}", 1) for number in range(9)]
            await held.next()
            await there.until(lambda: len(there.front._work) == 9)  # noqa: SLF001 -- that they wait is the point
            there.daemon.drop()
            found = [await one.answer() for one in wires]
        assert [(one.status, one.code) for one in found] == [(503, "daemon-lost")] * 9
        assert there.daemon.count(Open) == 1
        assert (await answered(there, TOKEN, 1)).status == 200  # who comes later tries it anew
