"""Calls of guarded functions about which people are asked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from taskbound.core.approval import AnswerKind
from taskbound.core.identity.proof import parse_request_key
from taskbound.core.task import Holds
from taskbound.sdk.guard import errors
from tests.sdk.noted import note, note_later, ran, spend
from tests.sdk.notes import async_client_at, client_at, held_world, noting, outcomes, within
from tests.surfaces.api.test_operations import Station
from tests.waiting import others
from tests.world import ANN

pytestmark = pytest.mark.anyio


async def test_a_held_call_says_what_people_are_asked_and_goes_on_when_it_is_called_again(
    tmp_path: Path,
) -> None:
    world, people = held_world()
    async with noting(tmp_path, world=world) as place:
        client = client_at(place)

        def work() -> str:
            with client:
                with pytest.raises(errors.HeldError) as caught:
                    note("hello")
                error = caught.value
                assert error.approval == people.approval(error.action).question.id
                assert error.look == f"taskbound approval show {error.approval}"
                assert f"is waiting for approval by finance: {error.approval}, until " in str(error)
                people.say(place)
                return note("hello")

        assert await within(work) == "noted hello"
        assert len(ran) == 1
        assert outcomes(place.world) == ["succeeded"]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("wait", [0.0, -1.0, float("-inf"), float("nan")])
async def test_nobody_waits_for_a_time_that_is_none(tmp_path: Path, wait: float) -> None:
    world, _ = held_world()
    async with noting(tmp_path, world=world) as place:

        def work() -> None:
            with client_at(place), pytest.raises(errors.HeldError):
                note.using(wait=wait)("hello")

        await within(work)
        assert ran == []


@pytest.mark.parametrize("holds", Holds, ids=lambda one: one.value)
async def test_what_is_held_is_gone_on_with_by_another_program_where_its_task_says_so(
    tmp_path: Path, holds: Holds
) -> None:
    world, people = held_world(holds=holds)
    async with noting(tmp_path, world=world) as place:

        def first() -> str:
            with client_at(place), pytest.raises(errors.HeldError) as caught:
                note("hello")
            return caught.value.action

        def second(action: str) -> str:
            if holds is Holds.OUTLIVE_CALL:
                people.say(place)
                with client_at(place):
                    return note("hello")
            assert people.state(action) == ("withdrawn", "withdrawn")
            with client_at(place), pytest.raises(errors.HeldError) as caught:
                note("hello")
            return "" if caught.value.action != action else "the first one's question"

        action = await within(first)
        if holds is not Holds.OUTLIVE_CALL:
            while people.state(action) != ("withdrawn", "withdrawn"):
                await others()
        wanted = "noted hello" if holds is Holds.OUTLIVE_CALL else ""
        assert await within(lambda: second(action)) == wanted
        assert len(ran) == (holds is Holds.OUTLIVE_CALL)


async def asked(place: Station) -> None:
    """People are asked."""
    while not place.world.events("approval-asked"):
        await others()


async def test_who_waits_goes_on_as_soon_as_people_have_said_yes(tmp_path: Path) -> None:
    world, people = held_world()
    async with noting(tmp_path, world=world) as place:

        def work() -> str:
            with client_at(place, wait=30):
                return note("hello")

        waiting = asyncio.ensure_future(within(work))
        await asked(place)
        people.say(place)
        assert await waiting == "noted hello"
        assert len(place.world.events("approval-asked")) == 1


async def test_a_denial_is_an_error_of_its_own(tmp_path: Path) -> None:
    world, people = held_world()
    async with noting(tmp_path, world=world) as place:

        async def work() -> None:
            async with async_client_at(place, wait=30):
                await note_later("hello")

        waiting = asyncio.ensure_future(work())
        await asked(place)
        people.say(place, AnswerKind.DENY)
        with pytest.raises(errors.HoldDeniedError, match="does not run") as caught:
            await waiting
        assert caught.value.code == "approval-denied"
        assert caught.value.approval
        assert ran == []


async def test_a_question_that_is_withdrawn_is_over(tmp_path: Path) -> None:
    world, people = held_world()
    async with noting(tmp_path, world=world) as place:

        async def work() -> None:
            async with async_client_at(place, wait=30):
                await note_later("hello")

        waiting = asyncio.ensure_future(work())
        await asked(place)
        told = world.approvals.withdraw(
            "default", people.approval(people.held()).question.id, ANN, reason="not today"
        )
        place.daemon.tell_held(told)
        with pytest.raises(errors.HoldOverError, match="not today") as caught:
            await waiting
        assert caught.value.code == "hold-over"
        assert ran == []


async def test_whoever_waits_no_longer_takes_the_question_back(tmp_path: Path) -> None:
    world, people = held_world()
    async with noting(tmp_path, world=world) as place:
        client = async_client_at(place, wait=30)

        async def work() -> None:
            async with client:
                await note_later("hello")

        waiting = asyncio.ensure_future(work())
        await asked(place)
        action = people.held()
        while not vars(client)["_link"]._waiting:  # noqa: SLF001 - who waits says so nowhere else
            await others()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert people.state(action) == ("withdrawn", "withdrawn")
        assert ran == []


async def test_less_runs_for_who_said_so_and_is_an_error_for_who_did_not(tmp_path: Path) -> None:
    world, people = held_world()
    async with noting(tmp_path, world=world) as place:

        def held() -> str:
            with pytest.raises(errors.HeldError) as caught:
                spend(500)
            return caught.value.action

        def work() -> int:
            with client_at(place, wait=0):
                people.narrow(place, held(), {"amount": 20})
                with pytest.raises(errors.NarrowedError) as caught:
                    spend(500)
                assert caught.value.arguments == {"amount": 20}
                assert caught.value.changed == (("amount", "500", "20"),)
                assert ran == []
                return spend.using(narrowed=True)(500)

        assert await within(work) == 20
        assert ran == [20]
        assert outcomes(place.world)[-1] == "succeeded"


@pytest.mark.parametrize("key", ["k" * 128, "short"])
async def test_what_runs_instead_has_a_key_of_its_own_that_may_be_one(tmp_path: Path, key: str) -> None:
    world, people = held_world()
    async with noting(tmp_path, world=world) as place:

        def work() -> int:
            again = spend.using(narrowed=True, idempotency_key=key)
            with client_at(place):
                with pytest.raises(errors.HeldError) as caught:
                    again(500)
                people.narrow(place, caught.value.action, {"amount": 20})
                return again(500)

        assert await within(work) == 20
        with world.store.read() as snapshot:
            second, first = (one.key for one in snapshot.actions.actions("default"))
        assert first == key
        assert parse_request_key(second) != key
