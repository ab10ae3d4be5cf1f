"""What is owed where a second thing goes wrong: at a block's end, while it is told, once people answered."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.errors import UnavailableError
from taskbound.core.task import TaskState
from taskbound.sdk.guard import async_client as async_client_module
from taskbound.sdk.guard import client as client_module
from taskbound.sdk.guard import near
from taskbound.sdk.guard import owed as owed_module
from taskbound.sdk.guard.async_client import AsyncClient
from taskbound.sdk.guard.client import Client
from taskbound.sdk.guard.errors import OutcomeUntoldError
from taskbound.sdk.guard.link import Place
from taskbound.sdk.guard.owed import Debt
from taskbound.sdk.guard.speaker import ClientSettings
from taskbound.wire.action import Duplicate, Outcome, Released, Withheld
from tests.sdk.interrupted import cancelling, interrupting, nothing_left, owed
from tests.sdk.noted import note_later, ran
from tests.sdk.notes import Here, async_client_at, client_at, held_world, noting, outcomes, within
from tests.sdk.notes_afar import Distant, Starting, distant
from tests.sdk.test_guard_owed import ASKED, did_run, put, using
from tests.sdk.test_guard_owed_kept import left
from tests.sdk.test_guard_ran import BUSY, answering, ended, gone
from tests.waiting import others

pytestmark = pytest.mark.anyio


def telling(client: Any) -> Counter[str]:
    """How often each action's outcome is told by this client from now on."""
    transport, perform = client._spoken  # noqa: SLF001 - the seam of what is told
    seen: Counter[str] = Counter()

    def told(step: Any) -> Any:
        what = getattr(step, "what", None)
        if isinstance(what, Outcome):
            seen[what.action] += 1
        return perform(step)

    vars(client)["_spoken"] = transport, told
    return seen


def owes(client: Any, action: str) -> Debt:
    """A debt of a call that is over."""
    debt = Debt()
    debt.came(action, "succeeded")
    client._owed._leave(debt)  # noqa: SLF001 - as a call that is over does
    return debt


async def test_what_was_answered_meanwhile_is_not_used_up_by_a_question_that_was_never_sent(
    tmp_path: Path,
) -> None:
    world, people = held_world(ASKED)
    async with noting(tmp_path, world=world) as place:

        def work() -> None:
            with client_at(place, wait=30) as client:
                with interrupting(client, before=[2]):  # the question anew, once people said yes
                    assert not did_run(using(client))
                assert owed(client) == 0

        call = asyncio.ensure_future(within(work))
        while not world.events("approval-asked"):
            await others()
        people.say(place)
        await call
        assert outcomes(world) == []


async def test_a_cancelled_question_after_peoples_answer_is_not_taken_for_the_one_before(
    tmp_path: Path,
) -> None:
    world, people = held_world()
    async with noting(tmp_path, world=world) as place, async_client_at(place, wait=30) as client:
        with cancelling(client, before=[2]):
            call = asyncio.ensure_future(note_later("hello"))
            while not world.events("approval-asked"):
                await others()
            people.say(place)
            await asyncio.wait((call,))
        assert call.cancelled()
        assert owed(client) == 0
    assert outcomes(world) == []


async def test_who_hears_that_it_is_untold_hears_so_at_once(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            client = client_at(place)
            put_once(client)
            seen = telling(client)
            with pytest.MonkeyPatch.context() as patch, answering((Released, Withheld), BUSY):
                patch.setattr(near, "GRACE", 0.0)
                with pytest.raises(OutcomeUntoldError):
                    using(client)("second")
            assert list(seen.values()) == [1]
            client.close()

        await within(work)
        assert outcomes(place.world) == ["succeeded"] * 2


async def test_a_coroutine_that_is_closed_behind_its_loop_raises_nothing(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:

        def elsewhere() -> None:
            loop, client = asyncio.new_event_loop(), async_client_at(place)

            @client.guard(server="notes", tool="note_later", effect="write")
            async def endless(text: str) -> str:
                """Write a note down, by and by."""
                ran.append(text)
                return str(await loop.create_future())

            coroutine: Any = endless("x")

            async def begin() -> None:
                while not ran:
                    waited = coroutine.send(None)
                    while not ran and waited is not None and not waited.done():
                        await others()

            loop.run_until_complete(begin())
            loop.run_until_complete(client.close())
            loop.close()
            coroutine.close()
            assert owed(client) == 1

        await within(elsewhere)


async def test_what_an_asyncio_block_could_not_tell_is_said_whatever_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owed_module, "_MOST", 0)  # each is said to be untold at once
    async with noting(tmp_path) as place:
        client = async_client_at(place)
        owes(client, "act_1")
        with pytest.raises(KeyError) as caught:
            async with client._owed.settled(None):  # noqa: SLF001 - a block's end
                raise KeyError
        owes(client, "act_2")
        with pytest.raises(OutcomeUntoldError) as untold:
            async with client._owed.settled(None):  # noqa: SLF001 - a block's end
                pass
        owes(client, "act_3")
        left_by = KeyError()
        async with client._owed.settled(left_by):  # noqa: SLF001 - a block's end, beside an error
            pass
        owes(client, "act_4")

        async def cancelled() -> None:
            raise asyncio.CancelledError

        vars(client._owed)["_settle"] = cancelled  # noqa: SLF001 - the seam of a cancellation
        with pytest.raises(asyncio.CancelledError) as stopped:
            async with client._owed.settled(None):  # noqa: SLF001 - a block's end
                pass
        assert untold.value.action == "act_2"
        notes = [one.__notes__[0] for one in (caught.value, left_by, stopped.value)]
        assert [name in note for name, note in zip(("act_1", "act_3", "act_4"), notes, strict=True)] == [
            True
        ] * 3


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
async def test_who_is_interrupted_right_before_a_function_begins_is_told_as_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def stopped(*_: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt if kind == "blocking" else asyncio.CancelledError

    async with noting(tmp_path) as place:
        if kind == "blocking":
            monkeypatch.setattr(client_module, "on", stopped)  # the seam of a signal

            def work() -> None:
                with client_at(place):
                    assert not did_run(put)

            await within(work)
        else:
            monkeypatch.setattr(async_client_module, "on", stopped)  # the seam of a cancellation
            async with async_client_at(place):
                with pytest.raises(asyncio.CancelledError):
                    await note_later("hello")
        assert outcomes(place.world) == ["not-sent"]


async def test_a_question_is_asked_for_again_and_again_while_a_client_is_closed(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            client = client_at(place)
            with interrupting(client, behind=[0], before=[1]):
                assert not did_run(using(client))
            with answering((Duplicate,), BUSY, times=2):
                client.close()

        await within(work)
        assert outcomes(place.world) == ["not-sent"]


async def test_a_question_is_asked_for_again_and_again_for_a_moment_by_who_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owed_module, "_AT_ONCE", 60.0)
    async with noting(tmp_path) as place:

        def work() -> None:
            with client_at(place) as client:
                with interrupting(client, behind=[0]), answering((Duplicate,), BUSY, times=2):
                    assert not did_run(using(client))
                assert owed(client) == 0

        await within(work)
        assert outcomes(place.world) == ["not-sent"]


async def test_a_question_that_can_not_be_asked_anew_in_time_is_given_up_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near, "GRACE", 0.0)
    async with noting(tmp_path) as place:

        def work() -> None:
            client = client_at(place)
            with interrupting(client, behind=[0], before=[1]):
                assert not did_run(using(client))
            with answering((Duplicate,), BUSY):
                client.close()  # what it may have permitted is unknown in time: nothing ran
            assert owed(client) == 0

        await within(work)
        assert outcomes(place.world) == []


class Nowhere(Here):
    """A machine without a daemon."""

    def place(self, told: ClientSettings) -> Place:
        raise UnavailableError(f"no daemon is here for {told.agent}")


async def test_who_never_asked_anything_is_closed_without_looking_for_a_daemon() -> None:
    nowhere = Nowhere(socket=Path("/nowhere"))
    Client(ClientSettings(), nowhere).close()
    await AsyncClient(ClientSettings(), nowhere).close()
    with pytest.raises(UnavailableError, match="no daemon"):
        using(Client(ClientSettings(), nowhere))("x")


async def test_a_question_that_nobody_can_be_asked_about_any_more_holds_up_no_other_debt(
    tmp_path: Path,
) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            client = client_at(place)
            with interrupting(client, behind=[0], before=[1]):
                assert not did_run(using(client))
            owes(client, "act_1")
            ended(place)
            gone(client)
            client._owed.tell()  # noqa: SLF001 - as a sign of life does
            assert owed(client) == 0
            with pytest.raises(OutcomeUntoldError) as caught:
                client.close()
            assert caught.value.action == "act_1"

        await within(work)


async def test_what_is_told_late_and_withheld_is_recorded_and_owed_no_more(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            client = client_at(place)
            with interrupting(client, before=range(1, 3)):
                assert did_run(using(client))
            ended(place)
            client._owed.tell()  # noqa: SLF001 - as a sign of life does
            assert owed(client) == 0
            client.close()  # and nothing is left to say

        await within(work)
        assert outcomes(place.world) == ["succeeded"]


async def test_who_was_heard_of_already_is_told_once_when_a_client_is_closed_and_not_waited_for(
    tmp_path: Path,
) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            client = client_at(place)
            put_once(client)
            debt = owes(client, "act_1")
            debt.heard = True
            seen = telling(client)
            with answering((Released, Withheld), BUSY):
                client.close()
            assert seen == {"act_1": 1}

        await within(work)


def put_once(client: Client) -> None:
    using(client)("first")


async def test_an_asyncio_client_tells_it_once_too_and_not_behind_who_has_heard(tmp_path: Path) -> None:
    async with noting(tmp_path) as place, async_client_at(place) as client:
        await note_later("first")
        seen = telling(client)
        with pytest.MonkeyPatch.context() as patch, answering((Released, Withheld), BUSY):
            patch.setattr(near, "GRACE", 0.0)
            with pytest.raises(OutcomeUntoldError):
                await note_later("second")
        ((action, times),) = seen.items()
        assert times == 1
        assert not client._owed._telling  # noqa: SLF001 - its caller has heard, and it is told with the next
        with answering((Released, Withheld), BUSY):
            await client._owed._settle()  # noqa: SLF001 - as at the end of a block
        assert seen == {action: 2}
        assert owed(client) == 1
        await note_later("third")
        await nothing_left(client)
        assert outcomes(place.world) == ["succeeded"] * 3


async def test_what_can_not_be_told_now_holds_up_the_next_call_once_and_not_for_each(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            client = client_at(place)
            put_once(client)
            owes(client, "act_1")
            owes(client, "act_2")
            seen = telling(client)
            with answering((Released, Withheld), BUSY):
                client._owed.tell()  # noqa: SLF001 - as a call does before it asks
            assert seen == {"act_1": 1}
            with pytest.raises(OutcomeUntoldError):
                client.close()

        await within(work)


async def test_what_is_being_told_is_not_told_a_second_time_beside_that(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        async with async_client_at(place) as client:
            await left(client, "x")
            seen = telling(client)
            client._owed.tell()  # noqa: SLF001 - a sign of life
            client._owed.tell()  # noqa: SLF001 - and the next one
            await nothing_left(client)
        assert list(seen.values()) == [1]
        assert outcomes(place.world) == ["succeeded"]


async def test_a_client_that_is_interrupted_while_it_tells_is_closed_all_the_same(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            client = client_at(place)
            with interrupting(client, before=range(1, 3)):
                assert did_run(using(client))
            with interrupting(client, before=[0]), pytest.raises(KeyboardInterrupt) as caught:
                client.close()
            assert vars(client)["_link"]._client is None  # noqa: SLF001 - it was closed
            assert ["was closed before" in note for note in caught.value.__notes__] == [True]
            client.close()  # it was said

        await within(work)


@pytest.mark.parametrize("at", ["telling", "joining"])
def test_a_block_that_is_interrupted_while_it_ends_leaves_no_task_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def work(one: Distant) -> None:
        here = Starting(one)
        client, real, me = here.client(), threading.Thread.join, threading.current_thread()

        def join(thread: threading.Thread, timeout: float | None = None) -> None:
            real(thread, timeout)
            if threading.current_thread() is me:
                monkeypatch.setattr(threading.Thread, "join", real)
                raise KeyboardInterrupt

        def block() -> None:
            with client.task("keep notes", template="notes"):
                put("first")
                owes(client, "act_1")
                if at == "joining":
                    monkeypatch.setattr(threading.Thread, "join", join)  # the seam of a signal
                else:
                    stopping.__enter__()

        stopping = interrupting(client, before=[0])
        with pytest.raises(KeyboardInterrupt):
            block()
        if at == "telling":
            stopping.__exit__(None, None, None)
        how = TaskState.CANCELLED if at == "joining" else TaskState.COMPLETED
        assert set(here.states().values()) == {how}
        with suppress(OutcomeUntoldError), client.task("more notes", template="notes"):
            put("second")  # the client has a block again
        assert len(here.begun()) == 2
        client.close()

    distant(tmp_path, work, monkeypatch)


def test_an_awaited_block_that_is_cancelled_while_it_tells_leaves_no_task_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        here = Starting(one)

        async def story() -> None:
            client = here.async_client()

            async def block() -> None:
                async with client.task("keep notes", template="notes"):
                    await note_later("first")
                    owes(client, "act_1")
                    transport, perform = client._spoken  # noqa: SLF001 - the seam of a cancellation

                    def cancelled(step: Any) -> Any:
                        vars(client)["_spoken"] = transport, perform
                        call.cancel()
                        return perform(step)

                    vars(client)["_spoken"] = transport, cancelled

            call = asyncio.ensure_future(block())
            await asyncio.wait((call,))
            assert call.cancelled()
            with suppress(OutcomeUntoldError):
                await client.close()

        asyncio.run(story())
        assert set(here.states().values()) == {TaskState.COMPLETED}

    distant(tmp_path, work, monkeypatch)
