"""What is owed, and what is not: second interruptions, keys of the caller's own, people, who has heard."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.approval import AnswerKind
from taskbound.sdk.guard import errors, near
from taskbound.sdk.guard import owed as owed_module
from taskbound.sdk.guard.async_client import AsyncClient
from taskbound.sdk.guard.guarded import current
from taskbound.sdk.guard.near import Listen
from taskbound.sdk.guard.owed import Debt
from taskbound.sdk.guard.speaker import ClientSettings
from taskbound.surfaces.api.server.socket import SocketServer
from taskbound.wire.action import Duplicate, Permitted, Released, Withheld
from tests.sdk.interrupted import cancelling, interrupting, nothing_left, owed
from tests.sdk.noted import note_later, ran
from tests.sdk.notes import Here, async_client_at, client_at, held_world, noting, outcomes, within
from tests.sdk.test_guard_owed import ASKED, decided, did_run, put, using
from tests.sdk.test_guard_ran import BUSY, answering, ended, gone
from tests.waiting import others

pytestmark = pytest.mark.anyio


class Interrupted(dict[int, Any]):
    """Keeps what is put into it from the second time on: a signal comes at the first."""

    times = 0

    def __setitem__(self, key: int, value: Any) -> None:
        self.times += 1
        if self.times == 1:
            raise KeyboardInterrupt
        super().__setitem__(key, value)


async def test_law_7_who_is_interrupted_while_that_is_written_down_still_owes_it(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            client = client_at(place)
            vars(client._owed)["_left"] = Interrupted()  # noqa: SLF001 - the seam of a second signal
            with interrupting(client, before=[1]):
                assert did_run(using(client))
            assert outcomes(place.world) == []
            client.close()

        await within(work)
        assert outcomes(place.world) == ["succeeded"]


async def test_who_has_heard_that_an_outcome_is_untold_does_not_hear_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near, "GRACE", 0.2)
    async with noting(tmp_path) as place:

        def work() -> None:
            client = client_at(place)

            @client.guard(server="notes", tool="fail", effect="write")
            def last(text: str) -> str:
                """Fail, with a secret in the words."""
                away.__enter__()
                return text

            away = answering((Released,), BUSY)
            with pytest.raises(errors.OutcomeUntoldError, match="too much") as caught:
                last("x")
            away.__exit__(None, None, None)
            assert not caught.value.over
            gone(client)
            client.close()

        await within(work)


async def test_an_outcome_that_could_not_be_told_in_time_is_told_once_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near, "GRACE", 0.2)
    async with noting(tmp_path) as place:
        client = async_client_at(place)

        @client.guard(server="notes", tool="note_later", effect="write")
        async def last(text: str) -> str:
            """Write a note down, by and by."""
            place.path.rename(place.path.with_suffix(".away"))
            vars(client)["_link"]._client.close()  # noqa: SLF001 - the daemon is away for a while
            return text

        with pytest.raises(errors.OutcomeUntoldError):
            await last("x")
        monkeypatch.setattr(near, "GRACE", 5.0)
        place.path.with_suffix(".away").rename(place.path)
        await client.close()
        assert outcomes(place.world) == ["succeeded"]


async def test_a_question_whose_answer_can_not_be_had_now_is_asked_for_again(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            with client_at(place) as client:
                with interrupting(client, behind=[0], before=[1]):
                    assert not did_run(using(client))
                with answering((Duplicate,), BUSY, times=2):
                    client._owed.tell()  # noqa: SLF001 - as a sign of life does
                    assert owed(client) == 1

        await within(work)
        assert outcomes(place.world) == ["not-sent"]


async def test_a_question_under_a_key_of_the_callers_own_that_was_lost_is_not_asked_anew(
    tmp_path: Path,
) -> None:
    async with noting(tmp_path) as place:

        def signalled(*_: object) -> None:
            raise KeyboardInterrupt

        def work() -> None:
            with client_at(place) as client:
                put("first")
                link = vars(client)["_link"]
                link._client.ask_any = signalled  # noqa: SLF001 - a signal comes before a byte is sent
                assert not did_run(put.using(idempotency_key="monday"))
                assert decided(place.world) == 1
                assert did_run(put.using(idempotency_key="monday"))

        await within(work)
        assert outcomes(place.world) == ["succeeded", "succeeded"]


async def test_law_7_a_cancelled_repeat_says_nothing_of_the_call_that_runs_under_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with noting(tmp_path) as place:
        client = async_client_at(place)
        over = asyncio.Event()

        @client.guard(server="notes", tool="note_later", effect="write")
        async def slow(text: str) -> str:
            """Write a note down, by and by."""
            ran.append(text)
            await over.wait()
            return text

        once = slow.using(idempotency_key="monday")
        first = asyncio.ensure_future(once("x"))
        while not ran:
            await others()
        second = asyncio.ensure_future(once("x"))
        send = SocketServer._answer  # noqa: SLF001 - the seam of the moment

        def answer(self: Any, number: int, said: Any) -> None:
            if isinstance(said, Duplicate):
                second.cancel()
            send(self, number, said)

        monkeypatch.setattr(SocketServer, "_answer", answer)
        with pytest.raises(asyncio.CancelledError):
            await second
        await nothing_left(client)
        over.set()
        assert await first == "x"
        await client.close()
        assert outcomes(place.world) == ["succeeded"]


async def test_who_interrupts_the_wait_for_people_hears_of_that_though_the_task_is_over(
    tmp_path: Path,
) -> None:
    world, _ = held_world(ASKED)
    async with noting(tmp_path, world=world) as place:

        def work() -> None:
            client = client_at(place, wait=30)
            transport, perform = client._spoken  # noqa: SLF001 - the seam of an interruption

            def interrupted(step: Any) -> object:
                if isinstance(getattr(step, "what", None), Listen):
                    ended(place)
                    gone(client)
                    raise KeyboardInterrupt
                return perform(step)

            vars(client)["_spoken"] = transport, interrupted
            with pytest.raises(KeyboardInterrupt):
                using(client)("x")
            client.close()

        await within(work)


async def test_nothing_is_owed_of_what_people_said_no_to(tmp_path: Path) -> None:
    world, people = held_world()
    async with noting(tmp_path, world=world) as place, async_client_at(place, wait=30) as client:
        call = asyncio.ensure_future(note_later("hello"))
        while not place.world.events("approval-asked"):
            await others()
        people.say(place, AnswerKind.DENY)
        with pytest.raises(errors.HoldDeniedError):
            await call
        assert owed(client) == 0


async def test_nothing_is_owed_of_what_is_recorded_and_withheld(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        client = async_client_at(place)

        @client.guard(server="notes", tool="note_later", effect="write")
        async def last(text: str) -> str:
            """Write a note down, by and by."""
            ended(place)
            return text

        with pytest.raises(errors.ResultWithheldError):
            await last("x")
        assert owed(client) == 0
        await client.close()
        assert outcomes(place.world) == ["succeeded"]


async def test_nothing_is_owed_of_what_will_never_be_heard(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        client = async_client_at(place)

        @client.guard(server="notes", tool="note_later", effect="write")
        async def last(text: str) -> str:
            """Write a note down, by and by."""
            gone(client)
            return text

        with pytest.raises(errors.OutcomeUntoldError, match="no open permit") as caught:
            await last("x")
        assert caught.value.over
        assert owed(client) == 0
        await client.close()


async def left(client: AsyncClient, text: str) -> None:
    """A call of which is owed that it succeeded: whoever told it was cancelled too."""
    with cancelling(client, before=range(1, 3)):
        call = asyncio.ensure_future(note_later(text))
        await asyncio.wait((call,))
        async with asyncio.timeout(20):
            while client._owed._telling:  # noqa: SLF001 - it is told, and cancelled
                await others()
    assert owed(client) == 1


@pytest.mark.parametrize("how", ["beat", "block", "call", "close"])
async def test_what_is_owed_by_an_asyncio_program_is_told_with_its_next_sign_of_life(
    tmp_path: Path, how: str
) -> None:
    async with noting(tmp_path) as place:
        (task,) = {one["task"] for one in place.world.events("task-started")}
        client = AsyncClient(ClientSettings(task=task), Here(socket=place.path))
        vars(client)["_every"] = lambda: 0.0  # the signs of life follow each other
        token = current.set(client)
        await left(client, "x")
        assert outcomes(place.world) == []
        if how == "beat":
            beating = asyncio.ensure_future(client._beat())  # noqa: SLF001 - as a block's own
            await nothing_left(client)
            beating.cancel()
        elif how == "block":
            vars(client)["_every"] = lambda: 1000.0
            async with client.task("to go on"):
                pass
            assert owed(client) == 0
        elif how == "call":
            await note_later("more")
            await nothing_left(client)
        await client.close()
        current.reset(token)
        assert outcomes(place.world)[:1] == ["succeeded"]


async def test_a_blocks_end_gives_up_nothing_that_can_be_told_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near, "GRACE", 0.0)
    async with noting(tmp_path) as place:
        (task,) = {one["task"] for one in place.world.events("task-started")}

        def work() -> None:
            client = client_at(place, task=task)
            with interrupting(client, before=range(1, 3)):
                assert did_run(using(client))
            with answering((Released, Withheld), BUSY):
                with client.task("to go on"):
                    pass
                with pytest.raises(KeyError), client._owed.settled(None):  # noqa: SLF001 - it ends so
                    raise KeyError
            assert owed(client) == 1
            client.close()

        await within(work)
        client = AsyncClient(ClientSettings(task=task), Here(socket=place.path))
        token = current.set(client)
        await left(client, "x")
        current.reset(token)
        with answering((Released, Withheld), BUSY):
            async with client.task("to go on"):
                pass
            with pytest.raises(KeyError):
                async with client._owed.settled(None):  # noqa: SLF001 - a block's end, where its task is not ended
                    raise KeyError
        assert owed(client) == 1
        await client.close()
        assert outcomes(place.world) == ["succeeded"] * 2


async def test_an_asyncio_client_waits_for_its_end_as_long_as_an_outcome_is_told_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with noting(tmp_path) as place:

        async def owing() -> AsyncClient:
            client = async_client_at(place)
            token = current.set(client)
            await left(client, "x")
            current.reset(token)
            return client

        monkeypatch.setattr(near, "GRACE", 60.0)
        client = await owing()
        with answering((Released, Withheld), BUSY, times=2):
            await client.close()
        monkeypatch.setattr(near, "GRACE", 0.2)
        client = await owing()
        untold = pytest.raises(errors.OutcomeUntoldError, match="was closed before")
        with answering((Released, Withheld), BUSY), untold as caught:
            await client.close()
        assert caught.value.outcome == "succeeded"
        await client.close()  # it was said


async def test_a_sign_of_life_tells_what_is_owed_once(tmp_path: Path) -> None:
    async with noting(tmp_path) as place, async_client_at(place) as client:
        await left(client, "x")
        with answering((Released, Withheld), BUSY, times=1):
            client._owed.tell()  # noqa: SLF001 - as a block's sign of life does
            async with asyncio.timeout(20):
                while client._owed._telling:  # noqa: SLF001 - it is told
                    await others()
            assert owed(client) == 1
        client._owed.tell()  # noqa: SLF001 - and the next one
        await nothing_left(client)
        assert outcomes(place.world)[:1] == ["succeeded"]


async def test_another_loop_tells_nothing_and_the_own_one_does(tmp_path: Path) -> None:
    async with noting(tmp_path) as place, async_client_at(place) as client:
        await left(client, "x")
        question = Debt()
        question.asks("which nobody hears", own=False)
        question.sent = 99
        client._owed._leave(question)  # noqa: SLF001 - as a call that is over does

        async def elsewhere() -> None:
            with pytest.raises(errors.OtherLoopError):
                await note_later("more")
            async with client._owed.settled(None):  # noqa: SLF001 - a block's end
                await others()

        await within(lambda: asyncio.run(elsewhere()))
        assert owed(client) == 2  # there, nobody could be asked anything
        client._owed.tell()  # noqa: SLF001 - as a sign of life does
        await nothing_left(client)
        assert outcomes(place.world) == ["succeeded"]


async def test_a_cancelled_question_whose_answer_is_lost_is_presented_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with noting(tmp_path) as place, async_client_at(place) as client:
        await note_later("first")
        call = asyncio.ensure_future(note_later("x"))
        send = SocketServer._answer  # noqa: SLF001 - the seam of a loss

        def lose(self: Any, number: int, said: Any) -> None:
            if isinstance(said, Permitted):
                call.cancel()
                self._transport.abort()
            else:
                send(self, number, said)

        monkeypatch.setattr(SocketServer, "_answer", lose)
        with pytest.raises(asyncio.CancelledError):
            await call
        await nothing_left(client)
        assert outcomes(place.world) == ["succeeded", "not-sent"]
        assert len({one["action"] for one in place.world.events("action-decided")}) == 2


async def test_a_coroutine_that_is_closed_in_another_thread_leaves_what_was_known_of_it(
    tmp_path: Path,
) -> None:
    async with noting(tmp_path) as place:
        never = asyncio.get_running_loop().create_future()
        client = async_client_at(place)

        @client.guard(server="notes", tool="note_later", effect="write")
        async def endless(text: str) -> str:
            """Write a note down, by and by."""
            ran.append(text)
            return str(await never)

        coroutine: Any = endless("x")
        while not ran:
            waited = coroutine.send(None)
            while not ran and waited is not None and not waited.done():
                await others()
        await within(coroutine.close)
        await nothing_left(client)
        await client.close()
        assert outcomes(place.world) == ["unknown"]


async def test_what_an_asyncio_client_could_not_tell_is_said_when_it_is_closed(tmp_path: Path) -> None:
    async with noting(tmp_path) as place, async_client_at(place) as outer:
        client = async_client_at(place)
        token = current.set(client)
        await left(client, "x")
        gone(client)
        current.reset(token)
        with pytest.raises(errors.OutcomeUntoldError, match="succeeded") as caught:
            await client.close()
        assert caught.value.over
        await client.close()  # it was said
        assert owed(outer) == 0


async def test_all_that_could_not_be_told_is_said_also_beside_an_error_of_a_blocks_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owed_module, "_MOST", 2)
    async with noting(tmp_path) as place:

        def work() -> None:
            client = client_at(place)

            def owes(*actions: str) -> None:
                for one in actions:
                    debt = Debt()
                    debt.came(one, "succeeded")
                    client._owed._leave(debt)  # noqa: SLF001 - as a call that is over does

            owes("act_1", "act_2", "act_3")
            assert owed(client) == 2  # the oldest is said to be untold
            with pytest.raises(KeyError) as caught, client._owed.settled(None):  # noqa: SLF001 - a block's end
                raise KeyError
            assert [note.count("could not be told") for note in caught.value.__notes__] == [1, 1, 1]
            owes("act_4", "act_5")
            with pytest.raises(errors.OutcomeUntoldError, match="act_4") as last:
                client.close()
            assert ["act_5" in note for note in last.value.added_notes()] == [True]

        await within(work)
