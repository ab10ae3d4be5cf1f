"""Questions of an egress about credentials that people or a broker take their time for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from taskbound.sdk.client import DaemonLostError
from taskbound.wire.action import Narrowed, Refused
from taskbound.wire.approval import HoldPush
from taskbound.wire.connection import Done, Fault, TaskPush
from tests.peers.seating import OPEN, SECRET, TASK
from tests.surfaces.egress.test_minted import HELD, Egress, refused

if TYPE_CHECKING:
    from taskbound.wire.envelope import Answer

pytestmark = pytest.mark.anyio


async def passing(there: Egress, seconds: float) -> None:
    """So many seconds pass, and whoever waits goes on meanwhile."""
    while seconds > 0:
        there.loop.ahead += 5
        seconds -= 5
        for _ in range(8):
            await asyncio.sleep(0)


async def held(there: Egress) -> None:
    """A question that nobody waits for any more."""
    there.daemon.answers = [HELD] * 1000
    starting = asyncio.ensure_future(refused(there))
    await passing(there, 60)
    assert await starting == "credential-held"
    assert not there.daemon.places[0].closed


@pytest.mark.parametrize("how", ["no task of its gateway", "no word of the daemon", "lost", "time"])
async def test_a_question_is_kept_while_its_gateway_is_one_of_the_task_and_not_for_ever(
    how: str, there: Egress
) -> None:
    await held(there)
    match how:
        case "no task of its gateway":
            there.daemon.tasks = ()
        case "no word of the daemon":
            there.daemon.fault = DaemonLostError("lost")
        case "lost":
            there.daemon.places[0].lost()
        case _:
            await passing(there, 800)
            assert not there.daemon.places[0].closed
            await passing(there, 100)
    await passing(there, 10)
    assert there.daemon.places[0].closed


async def test_a_question_of_one_task_is_not_gone_on_with_for_another_and_ends_with_the_egress(
    there: Egress,
) -> None:
    await held(there)
    there.daemon.answers = []
    there.daemon.tasks = (TASK, "tsk_2")
    await there.start(task="tsk_2")
    first, second = there.daemon.places
    assert there.daemon.asked[-1].resume == ""
    await there.asking.close()
    assert (first.closed, second.closed) == (True, False)


async def test_a_question_that_was_lost_while_it_was_kept_is_asked_anew_on_another_connection(
    there: Egress,
) -> None:
    await held(there)
    there.daemon.answers = []
    there.daemon.places[0].lost()
    _, values = await there.start()
    assert values == OPEN | SECRET
    assert (len(there.daemon.places), there.daemon.asked[-1].resume) == (2, "")


async def test_a_question_whose_task_was_paused_is_closed_by_whoever_comes_first_for_it(
    there: Egress,
) -> None:
    await held(there)
    there.daemon.answers = []
    there.daemon.places[0].pushed(TaskPush(task=TASK, state="paused", reason=""))
    await there.start()  # before the one that watches it has had its turn
    first, second = there.daemon.places
    assert (first.closed, second.closed) == (True, False)


async def test_of_two_starts_that_people_are_asked_for_one_question_is_kept(there: Egress) -> None:
    there.daemon.answers = [HELD] * 1000
    starting = [asyncio.ensure_future(refused(there)) for _ in range(2)]
    await passing(there, 60)
    assert [await one for one in starting] == ["credential-held"] * 2
    assert sorted(one.closed for one in there.daemon.places) == [False, True]


async def test_what_was_narrowed_is_asked_for_anew_and_its_answer_is_waited_for(there: Egress) -> None:
    there.daemon.answers = [HELD] * 2
    starting = asyncio.ensure_future(there.start())
    await there.daemon.was_asked.wait()
    there.daemon.places[0].pushed(HoldPush(action="act_9", state="superseded", reason=""))
    _, values = await starting
    assert values == OPEN | SECRET
    assert [one.resume for one in there.daemon.asked] == ["", "", "act_9"]


def narrowed(raw: bytes) -> Narrowed:
    return Narrowed(action="act_9", task=TASK, arguments=msgspec.Raw(raw), changed=())


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Fault(code="task-paused", message="it is paused"), "refused-by-daemon"),
        (Done(), "malformed"),
        (Refused(action="", task=TASK, code="held", instead=""), "credential-refused"),
        (Refused(action="act_9", task=TASK, code="not-granted", instead=""), "credential-refused"),
        (narrowed(b'{"seconds":true,"tenant":"acme"}'), "credential-refused"),
        (narrowed(b'{"seconds":"7","tenant":"acme"}'), "credential-refused"),
        (narrowed(b'{"seconds":7}'), "credential-refused"),
        (narrowed(b'{"more":1,"seconds":7,"tenant":"acme"}'), "credential-refused"),
    ],
    ids=["fault", "done", "held", "not-granted", "a-flag", "a-text", "one-left-out", "one-more"],
)
async def test_whatever_is_no_permit_starts_nothing_and_closes_the_connection(
    answer: Answer, code: str, there: Egress
) -> None:
    there.daemon.answers = [answer]
    assert await refused(there) == code
    await there.asking.close()
    assert there.daemon.places[0].closed


async def test_what_is_not_minted_yet_is_asked_for_again_for_as_long_as_it_takes_and_no_longer(
    there: Egress,
) -> None:
    asked = 0

    def still() -> Fault | None:
        nonlocal asked
        asked += 1
        there.loop.ahead += 1
        return Fault(code="still-minting", message="not yet") if asked % 30 else None

    there.daemon.takes = still
    assert await refused(there) == "refused-by-daemon"
    assert 20 <= asked <= 22
    _, values = await there.start()
    assert (values, asked) == (OPEN | SECRET, 30)
    there.daemon.takes = lambda: Fault(code="not-minted", message="no")
    assert await refused(there) == "refused-by-daemon"
    assert asked == 30
