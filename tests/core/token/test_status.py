from __future__ import annotations

import zlib
from base64 import urlsafe_b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.clock import Instant, minutes
from taskbound.core.token.key import (
    SIZE,
    Status,
    list_of,
    pack_statuses,
    place_of,
    window_of,
)

ONE = ("eNrbuRgAAhcBXQ", 1, [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1])
TWO = ("eNo76fITAAPfAgc", 2, [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3])
"""The vectors of draft-ietf-oauth-status-list-20, §4."""


def status_at(lst: str, bits: int, place: int) -> int:
    """As a verifier reads it (§8.3)."""
    held = zlib.decompress(urlsafe_b64decode(lst + "=" * (-len(lst) % 4)))
    return held[place * bits // 8] >> place * bits % 8 & ((1 << bits) - 1)


@pytest.mark.parametrize(("lst", "bits", "statuses"), [ONE, TWO])
def test_the_vectors_of_the_draft_read_as_they_say(lst: str, bits: int, statuses: list[int]) -> None:
    assert [status_at(lst, bits, place) for place in range(len(statuses))] == statuses
    packed = {place: value for place, value in enumerate(statuses) if value < len(Status)}
    if bits == 2:
        again = pack_statuses({place: Status(value) for place, value in packed.items()}, size=12)
        assert [status_at(again, 2, place) for place in packed] == list(packed.values())


@given(st.dictionaries(st.integers(0, 63), st.sampled_from(Status)))
def test_what_is_packed_is_read_and_the_rest_is_valid(statuses: dict[int, Status]) -> None:
    lst = pack_statuses(statuses, size=64)
    found = [status_at(lst, 2, place) for place in range(64)]
    assert found == [statuses.get(place, Status.VALID).value for place in range(64)]


def test_a_whole_list_is_small_and_its_last_place_is_there() -> None:
    lst = pack_statuses({SIZE - 1: Status.SUSPENDED})
    assert len(lst) < 1000
    assert status_at(lst, 2, SIZE - 1) == 2
    with pytest.raises(IndexError):
        status_at(lst, 2, SIZE)


def test_tokens_of_one_list_end_at_about_the_same_time() -> None:
    number = list_of(Instant(1_800_000_000_000_000))
    start, end = window_of(number)
    assert list_of(Instant(start)) == list_of(Instant(end - 1)) == number
    assert list_of(Instant(end)) == number + 1
    assert end - start == minutes(15)


def test_places_are_spread_over_the_list() -> None:
    places = [place_of(f"{number:043d}") for number in range(400)]
    assert all(0 <= place < SIZE for place in places)
    assert len(set(places)) > 390
    assert len({place * 4 // SIZE for place in places}) == 4
