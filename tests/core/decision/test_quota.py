from __future__ import annotations

import pytest

from taskbound.core.clock import Instant
from taskbound.core.decision import Allowance, Quota, TooManyRefusalsError

SECOND = 1_000_000
WHO = ("default", "coder")


def refuse(quota: Quota, count: int, at: int, code: str = "") -> int:
    """How many of so many refusals are recorded one by one."""
    recorded = 0
    for _ in range(count):
        try:
            quota.require(*WHO, Instant(at), code=code)
        except TooManyRefusalsError:
            continue
        quota.take(*WHO, Instant(at))
        recorded += 1
    return recorded


def test_a_burst_is_recorded_and_then_so_many_a_second() -> None:
    quota = Quota(Allowance(burst=10, rate=2))
    assert [refuse(quota, 50, at) for at in (0, SECOND, 3 * SECOND, 1000 * SECOND)] == [10, 2, 4, 10]


def test_what_was_dropped_is_told_by_code_when_its_window_has_ended_and_once() -> None:
    quota = Quota(Allowance(burst=1, rate=1))
    refuse(quota, 3, 0)
    refuse(quota, 2, 1, "not-json")
    assert quota.dropped(Instant(9 * SECOND)) == ()
    (told,) = quota.dropped(Instant(10 * SECOND))
    assert (told.agent, told.since, told.count) == ("coder", 0, 4)
    assert told.codes == ("not-json=2", "too-many-refusals=2")
    assert quota.dropped(Instant(10 * SECOND)) == (told,), "it is kept until it is recorded"
    quota.told((told,))
    assert quota.dropped(Instant(99 * SECOND), final=True) == ()


def test_at_the_end_a_window_that_is_open_is_told_too() -> None:
    quota = Quota(Allowance(burst=1, rate=1))
    refuse(quota, 2, 0)
    assert [one.count for one in quota.dropped(Instant(1), final=True)] == [1]


def test_a_flood_of_codes_is_counted_under_few() -> None:
    quota = Quota(Allowance(burst=1, rate=1))
    refuse(quota, 1, 0)
    for number in range(100):
        refuse(quota, 1, 0, f"code-{number}")
    (told,) = quota.dropped(Instant(0), final=True)
    assert (told.count, len(told.codes)) == (100, 17)


def test_what_a_group_took_too_much_is_paid_back_first() -> None:
    quota = Quota(Allowance(burst=10, rate=1))
    for _ in range(64):
        quota.take(*WHO, Instant(0))
    with pytest.raises(TooManyRefusalsError):
        quota.require(*WHO, Instant(54 * SECOND))
    quota.require(*WHO, Instant(55 * SECOND))
