"""The stated fraction of what `dev/soak` does with crowds, and a fault that it has to find."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.surfaces.gateway.crowd.clients import WAYS, WrongIdError
from tests.surfaces.gateway.crowd.crossing import Crossed, interleave
from tests.surfaces.gateway.crowd.soak import Plan, crowd

ROUNDS = 80
"""Of the 10,000 of `dev/soak --only interleavings`: the same draw, the first of it."""
CROSSES = """
from taskbound.surfaces.gateway.http.seat import TaskSession
_answer, _last, _count = TaskSession.answer, [b""], [0]
def crossing(self, line, to):
    if not line:  # the news that a cancelled call gets no answer
        return _answer(self, line, to)
    _count[0] += 1
    before, _last[0] = _last[0], line
    _answer(self, line if _count[0] % 20 else before, to)
TaskSession.answer = crossing
"""
"""Each twentieth answer of the front is the one that was given before it, to whomever."""


@pytest.mark.soak
@pytest.mark.timeout(180)
def test_two_clients_with_equal_ids_each_get_their_own_answers_however_they_interleave(
    tmp_path: Path,
) -> None:
    told = asyncio.run(interleave(tmp_path, ROUNDS, 1))
    assert told.rounds == ROUNDS
    assert {way for ways in told.ways for way in ways.split(" and ")} == set(WAYS)
    assert told.cancelled.total() > 0


@pytest.mark.timeout(180)
def test_an_answer_that_a_front_gives_to_another_is_found(tmp_path: Path) -> None:
    with pytest.raises((ExceptionGroup, Crossed, WrongIdError)) as raised:  # callers at once may find several
        asyncio.run(interleave(tmp_path, ROUNDS, 1, before=CROSSES))
    if isinstance(raised.value, ExceptionGroup):
        assert raised.value.split((Crossed, WrongIdError))[1] is None


# --- the crowd ----------------------------------------------------------------------------------------------

SMALL = Plan(
    calls=600,
    clients=24,
    tokens=8,
    pipes=2,
    kill=60,
    resets=0.02,
    cancels=0.1,
    flood=1 << 26,
    floods=2,
    slow=1,
    size=4 << 20,
    lingers=True,
)
"""Of the 100,000 calls of `dev/soak --only gateway`: 0.6 %, of as many kinds, by 24 clients and not 200."""


@pytest.mark.soak
@pytest.mark.timeout(180)
def test_of_a_crowd_nothing_is_left_behind_and_every_call_is_accounted_for(tmp_path: Path) -> None:
    seen = asyncio.run(crowd(tmp_path, SMALL))
    assert seen.states.total() > SMALL.calls
    assert {"succeeded", "unknown"} <= seen.states.keys()
    assert min(seen.killed, seen.cut, seen.floods, seen.slow) > 0
    assert seen.most["front"].beneath > SMALL.tokens
    assert (seen.before.beneath, seen.after.beneath) == (0, 0)
