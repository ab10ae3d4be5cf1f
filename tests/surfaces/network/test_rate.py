from __future__ import annotations

import pytest

from taskbound.surfaces.http.errors import TooManyRequestsError
from taskbound.surfaces.http.rate import Rates


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def many(rates: Rates, address: str, count: int) -> int:
    """How many of so many requests are taken."""
    taken = 0
    for _ in range(count):
        try:
            rates.take(address)
        except TooManyRequestsError:
            continue
        taken += 1
    return taken


def test_an_address_has_its_bucket_and_no_other_pays_for_it() -> None:
    clock = Hand()
    rates = Rates(burst=5, each_second=2.0, clock=clock)
    assert many(rates, "10.0.0.1", 9) == 5
    assert many(rates, "10.0.0.2", 9) == 5
    clock.now = 1.0
    assert many(rates, "10.0.0.1", 9) == 2
    clock.now = 1000.0
    assert many(rates, "10.0.0.1", 9) == 5


def test_a_clock_that_goes_back_fills_nothing() -> None:
    clock = Hand()
    clock.now = 100.0
    rates = Rates(burst=2, each_second=1.0, clock=clock)
    assert many(rates, "10.0.0.1", 3) == 2
    clock.now = 50.0
    assert many(rates, "10.0.0.1", 3) == 0


def test_all_addresses_of_one_machine_are_one() -> None:
    rates = Rates(burst=3, each_second=1.0, clock=Hand())
    assert sum(many(rates, f"2001:db8::{n:x}", 1) for n in range(9)) == 3
    assert many(rates, "2001:db8:0:1::1", 3) == 3
    assert many(rates, "::ffff:10.0.0.1", 2) + many(rates, "10.0.0.1", 2) == 3
    with pytest.raises(TooManyRequestsError):
        rates.take("10.0.0.1")


def test_addresses_without_end_are_not_remembered_without_end() -> None:
    rates = Rates(burst=1, each_second=1.0, clock=Hand())
    for n in range(20_000):
        rates.take(f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}")
    assert len(rates) <= 16_384
