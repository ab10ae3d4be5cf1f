from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskbound.core.clock import (
    BadInstantError,
    Duration,
    Instant,
    advance,
    days,
    hours,
    milliseconds,
    minutes,
    parse_instant,
    render_instant,
    seconds,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST = -62_135_596_800_000_000
LAST = 253_402_300_799_999_999

instants = st.integers(FIRST, LAST).map(Instant)
walls = st.integers(FIRST, LAST).map(Instant)
spans = st.integers(0, days(4_000)).map(Duration)


def test_durations_are_whole_microseconds() -> None:
    assert milliseconds(1) == 1_000
    assert seconds(1) == 1_000_000
    assert minutes(2) == seconds(120)
    assert hours(1) == minutes(60)
    assert days(1) == hours(24)


@settings(deadline=None)
@given(instants, walls, spans)
def test_law_10_now_is_the_later_of_the_wall_clock_and_the_last_instant_plus_what_passed(
    last: Instant, wall: Instant, elapsed: Duration
) -> None:
    now = advance(last, wall, elapsed)
    assert now >= wall
    assert now >= last + elapsed
    assert now in {wall, last + elapsed}


@settings(deadline=None)
@given(instants, walls, st.integers(-days(1), days(1)).map(Duration))
def test_law_10_now_is_never_before_the_last_instant(last: Instant, wall: Instant, elapsed: Duration) -> None:
    assert advance(last, wall, elapsed) >= last


@settings(deadline=None)
@given(instants, walls, st.integers(1, days(1)).map(Duration))
def test_law_10_time_never_stands_still(last: Instant, wall: Instant, elapsed: Duration) -> None:
    assert advance(last, wall, elapsed) > last


@settings(deadline=None)
@given(instants, spans, st.lists(st.tuples(walls, spans), max_size=10))
def test_i52_what_has_expired_stays_expired_however_the_wall_clock_jumps(
    start: Instant, life: Duration, jumps: list[tuple[Instant, Duration]]
) -> None:
    deadline = start + life
    now, expired = start, False
    for wall, elapsed in jumps:
        now = advance(now, wall, elapsed)
        assert not (expired and now < deadline)
        expired = expired or now >= deadline


@settings(deadline=None)
@given(instants, st.lists(st.tuples(st.integers(-days(3_650), 0), spans), min_size=1, max_size=10))
def test_i52_with_the_wall_clock_set_back_time_goes_on_by_what_really_passed(
    start: Instant, jumps: list[tuple[int, Duration]]
) -> None:
    now = start
    for back, elapsed in jumps:
        before = now
        now = advance(now, Instant(before + back), elapsed)
        assert now == before + elapsed


@settings(deadline=None)
@given(instants, spans, spans, spans)
def test_i53_what_a_clock_set_forward_let_expire_is_not_resurrected_when_it_is_set_back(
    start: Instant, life: Duration, forward: Duration, elapsed: Duration
) -> None:
    there = advance(start, Instant(start + forward), Duration(0))
    back = advance(there, Instant(start + elapsed), elapsed)
    assert back >= there
    assert not (there >= start + life > back)


def test_i52_a_day_back_and_a_year_forward_and_back_is_one_timeline() -> None:
    start = parse_instant("2026-11-24T12:00:00Z")
    now = advance(start, Instant(start - days(1)), seconds(1))
    assert now == start + seconds(1)
    now = advance(now, Instant(start + days(365)), seconds(1))
    assert now == start + days(365)
    now = advance(now, Instant(start + seconds(3)), seconds(1))
    assert now == start + days(365) + seconds(1)


@settings(max_examples=500, deadline=None)
@given(instants)
@example(Instant(0))
@example(Instant(-1))
@example(Instant(FIRST))
@example(Instant(LAST))
def test_an_instant_that_was_written_is_read_back(instant: Instant) -> None:
    text = render_instant(instant)
    assert len(text) == 27
    assert text.endswith("Z")
    assert parse_instant(text) == instant
    assert datetime.fromisoformat(text) - EPOCH == timedelta(microseconds=instant)


@settings(deadline=None)
@given(instants, instants)
def test_text_sorts_as_time_does(left: Instant, right: Instant) -> None:
    assert (render_instant(left) < render_instant(right)) == (left < right)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-11-24T15:18:00Z", "2026-11-24T15:18:00.000000Z"),
        ("2026-11-24T15:18:00.5Z", "2026-11-24T15:18:00.500000Z"),
        ("2026-11-24T15:18:00.000001Z", "2026-11-24T15:18:00.000001Z"),
        ("2026-11-24T15:18:00+00:00", "2026-11-24T15:18:00.000000Z"),
        ("2026-11-24T15:18:00+01:30", "2026-11-24T13:48:00.000000Z"),
        ("2026-11-24T23:18:00-08:00", "2026-11-25T07:18:00.000000Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"),
    ],
)
def test_an_instant_is_read_from_each_form_of_rfc_3339(text: str, same: str) -> None:
    assert render_instant(parse_instant(text)) == same


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-24",
        "2026-11-24T15:18:00",
        "2026-11-24 15:18:00Z",
        "2026-11-24t15:18:00z",
        "2026-11-24T15:18Z",
        "2026-11-24T15:18:00.Z",
        "2026-11-24T15:18:00.1234567Z",
        "2026-11-24T15:18:00,5Z",
        "2026-11-24T15:18:60Z",
        "2026-11-24T24:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-11-24T15:18:00-00:00",
        "2026-11-24T15:18:00+24:00",
        "2026-11-24T15:18:00+01:60",
        "2026-11-24T15:18:00+0100",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2026-11-24T15:18:00Z\n",
        " 2026-11-24T15:18:00Z",
        "2026-W48-2T00:00:00Z",
        "\uff12026-11-24T15:18:00Z",
        "2026-11-24T15:18:0\u0661Z",
        "1764000000",
    ],
)
def test_any_other_text_is_no_instant(text: str) -> None:
    with pytest.raises(BadInstantError):
        parse_instant(text)


@pytest.mark.parametrize("instant", [FIRST - 1, LAST + 1, 10**30, -(10**30)])
def test_an_instant_outside_the_years_of_rfc_3339_has_no_text(instant: int) -> None:
    with pytest.raises(BadInstantError):
        render_instant(Instant(instant))


def test_an_error_shows_hostile_text_harmlessly() -> None:
    with pytest.raises(BadInstantError) as caught:
        parse_instant("\x1b[2J" * 100)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300
