"""A call that is interrupted: what was known of it is told, and by nobody twice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest

from taskbound.sdk.guard import near
from taskbound.sdk.guard.client import Client
from taskbound.sdk.guard.errors import HeldError, OutcomeUntoldError, RepeatedError
from taskbound.sdk.guard.guarded import guard
from taskbound.surfaces.api.server.socket import SocketServer
from tests.sdk.interrupted import STAGES, Log, at_line, cancelling, interrupting, nothing_left, owed
from tests.sdk.noted import note_later, ran
from tests.sdk.notes import async_client_at, client_at, held_world, noting, outcomes, within
from tests.waiting import others
from tests.world import World

pytestmark = pytest.mark.anyio
ASKED = (
    '@id("asked") @hold("approval:finance")'
    ' forbid (principal, action == Taskbound::Action::"notes__fail", resource);'
)
STRIDE = 3
"""Every so manieth line is interrupted; all of them were, by hand."""
Where = Literal["before", "within", "behind"]


@guard(server="notes", tool="fail", effect="write")
def put(text: str) -> str:
    """Fail, with a secret in the words."""
    ran.append(text)
    return text


def did_run(call: Callable[[str], Any], text: str = "x") -> bool:
    """Whether the function ran, in a call that is interrupted or is not."""
    ran.clear()
    with suppress(KeyboardInterrupt):
        call(text)
    return bool(ran)


def decided(world: World) -> int:
    return len(world.events("action-decided"))


async def test_law_7_a_call_that_is_interrupted_at_any_line_of_the_sdk_leaves_what_was_known_of_it(
    tmp_path: Path,
) -> None:
    async with noting(tmp_path) as place:
        log = Log(place.world)

        def work() -> None:
            with client_at(place):
                put("first")
                number, seen = 0, [0]
                while seen[0] >= number:
                    number += STRIDE
                    log.begins()
                    with at_line(number) as seen:
                        did = did_run(put, f"{number}")
                    log.over(did=did)
                    put("more")  # the client lives on

        await within(work)
        found = log.stages()
        places = [STAGES.index(stage) for stage, _ in found]
        assert places == sorted(places)  # the further it came, the more is known
        assert set(places) == {0, 1, 2, 3}
        assert all(stage in STAGES[2:] for stage, did in found if did)
        assert sum(not did for stage, did in found if stage == "unknown") <= 4  # lines right before it began
        assert len(found) > 200 / STRIDE


@pytest.mark.parametrize("where", ["before", "behind"])
@pytest.mark.parametrize("times", [1, 2, 3])
async def test_law_7_a_call_that_is_interrupted_again_and_again_is_told_by_the_next_one(
    tmp_path: Path, times: int, where: Where
) -> None:
    async with noting(tmp_path) as place:
        log = Log(place.world)

        def work() -> None:
            with client_at(place) as client:
                put("first")
                number, seen = 0, [0]
                while seen[0] >= number:
                    log.begins()
                    with interrupting(client, **{where: range(number, number + times)}) as seen:
                        did = did_run(put, f"{number}")
                    log.over(did=did)
                    put("more")
                    assert not owed(client)
                    number += 1

        await within(work)
        found = log.stages()
        assert len(found) > 2
        for stage, did in found:
            assert stage in (("unknown", "succeeded") if did else ("nothing", "not-sent"))


@pytest.mark.parametrize("how", ["beat", "block", "close", "thread"])
async def test_what_is_owed_is_told_with_the_next_sign_of_life_whatever_it_is(
    tmp_path: Path, how: str
) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            (task,) = {one["task"] for one in place.world.events("task-started")}
            client = client_at(place, task=task)
            with interrupting(client, before=range(1, 3)):
                assert did_run(using(client))
            assert outcomes(place.world) == []
            assert owed(client) == 1
            if how == "beat":
                over = Once()
                client._beat(over)  # type: ignore[arg-type]  # noqa: SLF001 - as a block's thread does
            elif how == "block":
                with client.task("to go on"):
                    pass
            elif how == "thread":
                other = threading.Thread(target=using(client), args=("y",))
                other.start()
                other.join()
            else:
                client.close()
            assert owed(client) == 0
            client.close()

        await within(work)
        assert outcomes(place.world)[:1] == ["succeeded"]


async def test_who_is_interrupted_while_it_is_told_has_told_it_when_the_interruption_is_heard(
    tmp_path: Path,
) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            client = client_at(place)
            with interrupting(client, before=[1]):
                assert did_run(using(client))
            assert outcomes(place.world) == ["succeeded"]
            with interrupting(client, before=[1]), pytest.raises(KeyboardInterrupt):
                using(client)("y")
            client.close()

        await within(work)


class Once:
    """Over after one round."""

    def __init__(self) -> None:
        self._rounds = iter((False, True))

    def wait(self, _: float) -> bool:
        return next(self._rounds)


def using(client: Client) -> Callable[[str], str]:
    """The function, as this client's own."""
    return client.guard(server="notes", tool="fail", effect="write")(put.__wrapped__)


async def test_what_could_not_be_told_is_said_when_a_client_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near, "GRACE", 0.2)
    async with noting(tmp_path) as place:

        def work(path: Path) -> None:
            client = client_at(place)
            with interrupting(client, before=range(1, 3)):
                assert did_run(using(client))
            path.unlink()
            vars(client)["_link"]._client.close()  # noqa: SLF001 - the daemon is gone
            with pytest.raises(OutcomeUntoldError, match="succeeded") as caught:
                client.close()
            assert caught.value.action.startswith("act_")
            assert caught.value.outcome == "succeeded"
            client.close()  # it was said

        await within(lambda: work(place.path))


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
async def test_what_another_holder_can_not_tell_is_noted_on_the_error_that_leaves_the_block(
    tmp_path: Path, outcome: str
) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            client = client_at(place)

            @client.guard(server="notes", tool="fail", effect="write", failed=ZeroDivisionError)
            def some(text: str) -> str:
                """Fail, with a secret in the words."""
                if outcome == "failed":
                    raise ZeroDivisionError
                return text

            def block() -> None:
                with client:
                    with interrupting(client, before=range(1, 3)), suppress(KeyboardInterrupt):
                        some("x")
                    link = vars(client)["_link"]
                    link._client.close()  # noqa: SLF001 - the connection breaks
                    link._secret = ""  # noqa: SLF001 - time passes
                    raise KeyError

            with pytest.raises(KeyError) as caught:
                block()
            (note,) = caught.value.__notes__
            assert f"({outcome}) could not be told" in note
            assert "no open permit" in note

        await within(work)
        assert outcomes(place.world) == []


async def test_a_question_of_another_holder_is_not_asked_anew(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            client = client_at(place)
            with interrupting(client, behind=[0], before=[1]):
                assert not did_run(using(client))
            assert owed(client) == 1
            link = vars(client)["_link"]
            link._client.close()  # noqa: SLF001 - the connection breaks
            link._secret = ""  # noqa: SLF001 - time passes
            client.close()

        await within(work)
        assert decided(place.world) == 1
        assert outcomes(place.world) == []


async def test_a_question_that_was_never_sent_is_not_asked_anew(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            client = client_at(place)
            with interrupting(client, before=range(1)):
                assert not did_run(using(client))
            assert owed(client) == 0
            client.close()

        await within(work)
        assert decided(place.world) == 0


async def test_nothing_is_said_of_an_interrupted_question_under_a_key_of_the_callers_own(
    tmp_path: Path,
) -> None:
    async with noting(tmp_path) as place:
        once = put.using(idempotency_key="monday")

        def work() -> None:
            with client_at(place) as client:
                with interrupting(client, behind=[0], before=[1]):
                    assert not did_run(once)
                with pytest.raises(RepeatedError) as caught:
                    once("x")
                assert caught.value.state == "permitted"

        await within(work)
        assert outcomes(place.world) == []


async def test_an_answer_that_still_comes_is_given_back_under_a_key_of_the_callers_own_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with noting(tmp_path) as place:
        once = note_later.using(idempotency_key="monday")
        ran.clear()
        async with async_client_at(place) as client:
            await note_later("first")
            call = asyncio.ensure_future(once("x"))
            send = SocketServer._answer  # noqa: SLF001 - the seam of the moment

            def answer(self: Any, number: int, said: Any) -> None:
                call.cancel()
                send(self, number, said)

            monkeypatch.setattr(SocketServer, "_answer", answer)
            with pytest.raises(asyncio.CancelledError):
                await call
            await nothing_left(client)
        assert ran == ["first"]
        assert outcomes(place.world) == ["succeeded", "not-sent"]


async def test_people_that_are_asked_for_a_call_that_was_interrupted_are_asked_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near, "_LOOK", 0.05)
    world, _ = held_world(ASKED)
    async with noting(tmp_path, world=world) as place:

        def work() -> None:
            with client_at(place, wait=30) as client:
                for stop in (
                    {"behind": [0], "before": [1]},
                    {"before": [1, 2]},
                    {"behind": [1], "before": [2]},
                ):
                    with interrupting(client, **stop):
                        assert not did_run(using(client))
                    client._owed.tell()  # noqa: SLF001 - as the next call does
                    assert not owed(client)
            with client_at(place) as client:
                with pytest.raises(HeldError):
                    using(client)("x")
                assert owed(client) == 0  # whoever called knows that it is held

        await within(work)
        moved = [one["after"] for one in place.world.events("approval-changed")]
        assert moved == ["withdrawn"] * 3


@pytest.mark.parametrize("times", [1, 2, 3, 100])
@pytest.mark.parametrize("where", ["before", "within", "behind"])
async def test_law_7_what_is_cancelled_at_any_step_is_told_behind_its_caller(
    tmp_path: Path, times: int, where: Where
) -> None:
    async with noting(tmp_path) as place, async_client_at(place) as client:
        await note_later("first")
        log, number, seen = Log(place.world), 0, [0]
        while seen[0] >= number:
            ran.clear()
            log.begins()
            with cancelling(client, **{where: range(number, number + times)}) as seen:
                call = asyncio.ensure_future(note_later(f"{number}"))
                await asyncio.wait((call,))
            await nothing_left(client, alive=True)
            log.over(did=bool(ran))
            number += 1
        assert number > 2
        for stage, did in log.stages():
            assert stage in (("succeeded",) if did else ("nothing", "not-sent"))


async def test_law_7_a_scope_that_cancels_again_and_again_loses_nothing(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        log = Log(place.world)
        async with async_client_at(place) as client:
            await note_later("first")
            for rounds in range(40):
                ran.clear()
                log.begins()
                async with anyio.create_task_group() as group:
                    group.start_soon(note_later, f"{rounds}")
                    for _ in range(rounds):
                        await asyncio.sleep(0)
                    group.cancel_scope.cancel()
                await nothing_left(client)
                log.over(did=bool(ran))
        found = log.stages()
        for stage, did in found:
            assert stage in (("succeeded",) if did else ("nothing", "not-sent"))
        assert {"not-sent", "succeeded"} <= {stage for stage, _ in found}


async def test_law_7_an_error_that_a_function_declared_is_told_though_its_call_is_cancelled_meanwhile(
    tmp_path: Path,
) -> None:
    async with noting(tmp_path) as place:
        client = async_client_at(place)

        @client.guard(server="notes", tool="note_later", effect="write", failed=ZeroDivisionError)
        async def some(text: str) -> str:
            """Write a note down, by and by."""
            raise ZeroDivisionError(text)

        with cancelling(client, before=range(1, 2)):
            call = asyncio.ensure_future(some("x"))
            await asyncio.wait((call,))
        assert call.cancelled()
        await client.close()
        (told,) = place.world.events("action-outcome")
        assert (told["after"], told["reason"]) == ("failed", "ZeroDivisionError")


@pytest.mark.parametrize("begun", [False, True])
async def test_a_coroutine_that_is_closed_in_the_middle_leaves_what_was_known_of_it(
    tmp_path: Path, *, begun: bool
) -> None:
    async with noting(tmp_path) as place:
        never = asyncio.get_running_loop().create_future()
        client = async_client_at(place)

        @client.guard(server="notes", tool="note_later", effect="write")
        async def endless(text: str) -> str:
            """Write a note down, by and by."""
            ran.append(text)
            return str(await never)

        def is_there() -> bool:
            return bool(ran if begun else decided(place.world))

        coroutine = endless("x")
        while not is_there():
            waited = coroutine.send(None)
            while not is_there() and waited is not None and not waited.done():
                await others()
        coroutine.close()
        await nothing_left(client)
        await client.close()
        assert outcomes(place.world) == ["unknown" if begun else "not-sent"]


async def test_a_client_that_is_closed_by_who_is_cancelled_tells_all_the_same(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        with anyio.CancelScope() as scope:
            async with async_client_at(place) as client:
                await note_later("first")
                with cancelling(client, before=range(1, 2)):
                    call = asyncio.ensure_future(note_later("x"))
                    await asyncio.wait((call,))
                assert owed(client)
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        async with asyncio.timeout(20):
            while client._owed._closing is None or not client._owed._closing.done():  # noqa: SLF001 - it goes on
                await others()
        assert outcomes(place.world) == ["succeeded", "succeeded"]
        assert vars(client)["_link"]._client is None  # noqa: SLF001 - it was closed
