from __future__ import annotations

import asyncio
import time

import pytest

from taskbound.surfaces.http.errors import TooManyRequestsError
from taskbound.surfaces.http.rate import Buckets, Rates, Turns

pytestmark = pytest.mark.anyio


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


async def test_verified_credential_counts_for_no_address_and_another_one_there_still_waits_in_turn() -> None:
    rates = Rates(burst=1, each_second=0.001, clock=Hand())
    await rates.admit("10.0.0.1", "one")
    rates.believe("10.0.0.1", "one", "ann")
    for _ in range(5):
        await rates.admit("10.0.0.1", "one")
    await rates.admit("10.0.0.1", "other")  # what was verified has cost nothing
    for address, credential in (("10.0.0.1", "third"), ("10.0.0.1", "")):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(rates.admit(address, credential), 0.01)
    await rates.admit("10.0.0.2", "one")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(rates.admit("10.0.0.2", "one"), 0.01)  # it was not verified there


async def test_verified_credential_whose_proofs_fail_is_refused_after_so_many() -> None:
    rates = Rates(burst=2, each_second=0.001, clock=Hand())
    await rates.admit("10.0.0.1", "one")
    rates.believe("10.0.0.1", "one", "ann")
    for _ in range(2):
        await rates.admit("10.0.0.1", "one")
        rates.doubt("10.0.0.1", "one")
    with pytest.raises(TooManyRequestsError):
        await rates.admit("10.0.0.1", "one")
    assert many(rates, "10.0.0.1", 2) == 2


async def test_requests_without_a_credential_take_nothing_from_those_that_show_one() -> None:
    rates = Rates(burst=1, each_second=0.001, clock=Hand())
    assert many(rates, "10.0.0.1", 9) == 1
    async with asyncio.timeout(5):
        await rates.admit("10.0.0.1", "one")


def test_requests_for_livez_count_apart_by_a_rate_of_their_own() -> None:
    clock = Hand()
    rates = Rates(burst=1, each_second=0.001, clock=clock)
    assert many(rates, "10.0.0.1", 9) == 1
    for _ in range(200):
        rates.take_live("10.0.0.1")
    with pytest.raises(TooManyRequestsError):
        rates.take_live("10.0.0.1")
    clock.now = 1.0
    rates.take_live("10.0.0.1")


def test_credentials_that_were_verified_are_remembered_in_a_bounded_number() -> None:
    rates = Rates(burst=1, each_second=1.0, clock=Hand())
    for number in range(20_000):
        rates.believe("10.0.0.1", str(number), "ann")
    assert len(rates) <= 16_384


async def test_waiting_requests_pass_in_order_and_one_that_leaves_frees_its_turn() -> None:
    turns = Turns(Buckets(burst=1, each_second=200.0, clock=time.monotonic), most=4)
    passed: list[int] = []

    async def ask(number: int) -> None:
        await turns.take("net", named="it")
        passed.append(number)

    await ask(0)
    tasks = [asyncio.create_task(ask(number)) for number in range(1, 5)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequestsError):
        await ask(9)
    tasks[1].cancel()
    await asyncio.sleep(0)
    await ask(5)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert passed == [0, 1, 3, 4, 5]
    assert not turns._locks  # noqa: SLF001 -- that nothing is kept is the point
    assert not turns._waiting  # noqa: SLF001 -- the same
