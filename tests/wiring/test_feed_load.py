"""A share of the soak of the feed, and how what its readers say is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.wiring.feeding import Came, Faults, Life, Report, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import Server

COUNT = 900
"""Of the 100,000 of dev/soak."""


@pytest.mark.soak
def test_t7_k20_readers_in_processes_of_their_own_miss_nothing_whatever_is_cut_and_killed(
    server: Server, tmp_path: Path
) -> None:
    name = server.database()
    faults = Faults(cut=0.03, away=1.0, lives=3.0, kills=1.0, pace=250)
    came = run(server.url(name), tmp_path, count=COUNT, seed=1, readers=2, faults=faults)
    server.drop(name)
    assert (len(came.committed), came.missed(), came.unheard(), came.refusals("other-log")) == (
        COUNT,
        0,
        0,
        0,
    )
    assert came.kills > 0
    assert came.held > 0
    assert all(len(one.lives) > 1 for one in came.reports)
    assert any(one.spoiled for one in came.reports)


def came(life: Life, *away: tuple[float, float], ended: float = 100.0) -> Came:
    report = Report(lives=[life], away=list(away))
    return Came(committed={"tok": ended}, held=0, seconds=1.0, reports=[report], kills=0)


def life(heard: float, *clear: float, whole: float = 1.0) -> Life:
    looks = [(when, when + 0.01) for when in clear]
    return Life(began=0.5, whole=whole, heard=[(heard, heard + 0.25, ["tok"])], clear=looks)


def test_who_was_connected_waited_from_the_end_on_and_who_was_cut_off_from_its_reconnection() -> None:
    assert came(life(101.0)).waits() == ([1.25], [])
    assert came(life(101.0), (90.0, 99.0), (102.0, 103.0)).waits() == ([1.25], [])
    assert came(life(101.0), (99.0, 100.5)).waits() == ([], [0.75])
    assert came(life(108.0), (99.0, 100.5), (101.0, 107.0)).waits() == ([], [1.25])


def test_what_a_reader_heard_as_it_began_is_none_of_its_waits() -> None:
    assert came(life(101.0, whole=102.0)).waits() == ([], [])
    assert came(life(101.0, whole=0.0)).waits() == ([], [])
    assert came(life(101.0, whole=0.0)).unfinished() == 1
    assert came(life(101.0)).wholes() == [0.5]
    assert came(life(101.0), (0.0, 0.75)).wholes() == []


@pytest.mark.parametrize(
    ("heard", "clear", "wrong"),
    [
        (101.0, (104.0, 105.5), 0),
        (105.25, (105.5,), 0),
        (106.0, (104.9,), 0),
        (106.0, (104.9, 105.1), 1),
        (106.0, (700.0,), 0),
    ],
    ids=["in-time", "just-in-time", "refused", "rested-on", "no-more-kept"],
)
def test_i23_a_look_that_rests_on_what_was_not_heard_for_five_seconds_is_found(
    heard: float, clear: tuple[float, ...], wrong: int
) -> None:
    assert came(life(heard, *clear)).unheard() == wrong
