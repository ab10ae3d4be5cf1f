"""What every target owes of sessions that are open when their credential ends (I-04)."""

from __future__ import annotations

import threading

import pytest

from taskbound.ports.target import ExpiresAt, Gone
from tests.contracts.target.bench import PATIENCE, Bench, Session, ShutError, end, make, require_over
from tests.contracts.target.conftest import SHAPES
from tests.wiring.running import until


@pytest.mark.parametrize(("started", "shape"), SHAPES, indirect=["started"])
def test_i04_a211_a212_a213_a_session_that_was_open_is_over_and_others_are_not(
    bench: Bench, shape: str
) -> None:
    made, other = make(bench), make(bench)
    session, beside = bench.open(made.minted, shape), bench.open(other.minted)
    assert session.acts()
    match require_over(bench, made):
        case Gone(cut=cut):
            assert cut == 1
            assert not session.acts()
        case ExpiresAt():
            assert session.acts()
    assert beside.acts()
    session.close()
    beside.close()
    require_over(bench, other)


def test_i04_all_of_its_sessions_are_over_at_once(bench: Bench) -> None:
    made = make(bench)
    sessions = [bench.open(made.minted, bench.shapes[number % len(bench.shapes)]) for number in range(4)]
    until(
        lambda: bench.target().look(made.name, patience=PATIENCE).open == len(sessions),
        "all of them are open",
    )
    match require_over(bench, made):
        case Gone(cut=cut):
            assert cut >= len(sessions)
            assert [one.acts() for one in sessions] == [False] * len(sessions)
        case ExpiresAt():
            pass
    for one in sessions:
        one.close()


def test_i04_a212_a_client_that_comes_again_all_the_time_is_out(bench: Bench) -> None:
    made = make(bench)
    held: list[Session] = []
    begun, over = threading.Barrier(4), threading.Event()
    raised: list[BaseException] = []

    def again(shape: str) -> None:
        first = True
        while not over.is_set():
            try:
                held.append(bench.open(made.minted, shape))
            except ShutError:
                over.wait(0.01)
            except Exception as error:  # noqa: BLE001 - what a client meets while it is thrown out is its own
                raised.append(error)
            if first:
                begun.wait(PATIENCE)
                first = False

    clients = [threading.Thread(target=again, args=(one,), daemon=True) for one in (*bench.shapes, "")[:3]]
    for one in clients:
        one.start()
    begun.wait(PATIENCE)
    try:
        found = end(bench.target(), made.name, made.ends)
        assert bench.open_of(made.name) == 0 or isinstance(found, ExpiresAt)
    finally:
        over.set()
        for one in clients:
            one.join(PATIENCE)
    assert held
    if isinstance(found, Gone):
        assert found.cut >= 1
        assert not [one for one in held if one.acts()]
    for session in held:
        session.close()
    require_over(bench, made)


def test_i04_a_session_that_ended_itself_is_in_no_ends_way(bench: Bench) -> None:
    made = make(bench)
    for shape in bench.shapes[:3]:
        bench.open(made.minted, shape).close()
    require_over(bench, made)
