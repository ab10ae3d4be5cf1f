from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.adapters.policy.cedar import engine as telling
from taskbound.adapters.policy.cedar.reads import HeadIndex
from tests.adapters.policy import rules
from tests.adapters.policy.whole import require_alike, seeded

if TYPE_CHECKING:
    from random import Random

    from taskbound.adapters.policy.cedar.reads import EntityPath, Reads


EXAMPLES, REQUESTS = 240, 100
COMPARED = 20_000
"""As many at least, a fifth of what dev/soak compares; of other bundles not all arguments can be told."""


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False))
def test_i16_the_engine_says_what_plain_cedar_and_the_plain_rules_say(chance: Random) -> None:
    require_alike(chance, 2)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_i16_i18_twenty_thousand_requests_are_answered_as_plain_cedar_and_the_plain_rules_say() -> None:
    compared = 0

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(st.integers(0, 2**40))
    def alike(seed: int) -> None:
        nonlocal compared
        compared += require_alike(seeded(seed), REQUESTS)["compared"]

    alike()
    assert compared >= COMPARED


def test_an_index_that_drops_a_policy_is_found_by_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(self: HeadIndex, *places: EntityPath) -> tuple[int, ...]:
        return whole(self, places[0], places[1], places[2])[1:]

    whole = HeadIndex.candidates
    monkeypatch.setattr(HeadIndex, "candidates", short)
    with pytest.raises(AssertionError):
        many(50)


def test_a_read_that_is_overlooked_is_found_by_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(one: Reads, other: Reads) -> Reads:
        return one or other

    monkeypatch.setattr(telling, "merge", short)
    with pytest.raises(AssertionError):
        many(50)


def many(bundles: int) -> dict[str, int]:
    counted = {"compared": 0, "untold": 0}
    for seed in range(bundles):
        for name, count in require_alike(seeded(seed), 10).items():
            counted[name] += count
    return counted


def test_the_plain_rules_are_plain_enough_to_be_read_at_once() -> None:
    assert len(Path(rules.__file__).read_text(encoding="utf-8").splitlines()) <= 60
