"""The stated fraction of what `dev/soak` does with crowds, and the faults that it has to find."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.surfaces.gateway.crowd.accounts import Unaccounted
from tests.surfaces.gateway.crowd.clients import WAYS, WrongIdError
from tests.surfaces.gateway.crowd.crossing import Crossed, interleave
from tests.surfaces.gateway.crowd.soak import LeftBehind, Plan, TooMuch, crowd

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 200
"""Of the 10,000 of `dev/soak --only interleavings`: the same draw, a fiftieth of it."""
CROSSES = """
from taskbound.surfaces.gateway.http.seat import Seat
_answer, _last, _count = Seat.answer, [b""], [0]
def crossing(self, line, to):
    if not line:  # the news that a cancelled call gets no answer
        return _answer(self, line, to)
    _count[0] += 1
    before, _last[0] = _last[0], line
    _answer(self, line if _count[0] % 20 else before, to)
Seat.answer = crossing
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


@contextmanager
def finding(*kinds: type[Exception]) -> Iterator[None]:
    """At least one error is raised, and each is of these kinds: callers at work at once may find several."""
    with pytest.raises((ExceptionGroup, *kinds)) as raised:
        yield
    if isinstance(raised.value, ExceptionGroup):
        assert raised.value.split(kinds)[1] is None


@pytest.mark.timeout(180)
def test_an_answer_that_a_front_gives_to_another_is_found(tmp_path: Path) -> None:
    with finding(Crossed, WrongIdError):
        asyncio.run(interleave(tmp_path, ROUNDS, 1, before=CROSSES))


@pytest.mark.timeout(180)
def test_an_answer_that_a_server_gives_to_another_call_is_found(tmp_path: Path) -> None:
    with finding(Crossed):
        asyncio.run(interleave(tmp_path, ROUNDS, 1, crosses=20))


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
TINY = replace(SMALL, calls=120, clients=10, tokens=4, pipes=1, floods=0, kill=40, slow=0)
FAULTS = {
    "a lost answer": (
        """
from taskbound.surfaces.gateway.http.seat import Seat
_answer, _count = Seat.answer, [0]
def losing(self, line, to):
    _count[0] += 1
    if _count[0] % 25:
        _answer(self, line, to)
Seat.answer = losing
""",
        Unaccounted,
        "was not answered in 5 s",
    ),
    "a result for a call that was refused its result": (
        """
from taskbound.surfaces.gateway.http.seat import Seat
_answer, _count = Seat.answer, [0]
def refusing(self, line, to):
    _count[0] += 1
    if not _count[0] % 25 and b',"result"' in line:
        head = line.partition(b',"result"')[0]
        line = head + b',"error":{"code":-32603,"message":"no","data":{"code":"lost"}}}\\n'
    _answer(self, line, to)
Seat.answer = refusing
""",
        Unaccounted,
        "was refused its result as `lost`, and succeeded",
    ),
    "a process": (
        """
from taskbound.adapters.upstream.mcp import server as _server
_server.end_orphans = lambda known: []
""",
        LeftBehind,
        "processes",
    ),
    "a descriptor": (
        """
import os as _os
from taskbound.surfaces.gateway.http.seat import Seat
_start = Seat.start
def leaking(self, *args):
    _os.open("/dev/null", _os.O_RDONLY)
    return _start(self, *args)
Seat.start = leaking
""",
        LeftBehind,
        "descriptors",
    ),
    "memory": (
        """
from taskbound.surfaces.gateway.http.seat import Seat
_answer, _kept = Seat.answer, []
def hoarding(self, line, to):
    _kept.append(b"x" * 1_000_000)
    _answer(self, line, to)
Seat.answer = hoarding
""",
        TooMuch,
        "the front",
    ),
}


@pytest.mark.soak
@pytest.mark.timeout(180)
def test_of_a_crowd_nothing_is_left_behind_and_every_call_is_accounted_for(tmp_path: Path) -> None:
    seen = asyncio.run(crowd(tmp_path, SMALL))
    assert seen.states.total() > SMALL.calls
    assert {"succeeded", "unknown"} <= seen.states.keys()
    assert min(seen.killed, seen.cut, seen.floods, seen.slow) > 0
    assert seen.most["front"].beneath > SMALL.tokens
    assert (seen.before.beneath, seen.after.beneath) == (0, 0)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("before", "error", "words"), FAULTS.values(), ids=list(FAULTS))
def test_a_fault_of_the_front_is_found(
    before: str, error: type[Exception], words: str, tmp_path: Path
) -> None:
    plan = replace(
        TINY,
        before=before,
        growth=32 << 20,
        leaving=4.0 if error is LeftBehind else 30.0,
        patience=5.0 if "5 s" in words else 120.0,
    )
    with pytest.RaisesGroup(
        pytest.RaisesExc(error, match=words), allow_unwrapped=True, flatten_subgroups=True
    ):
        asyncio.run(crowd(tmp_path, plan))
