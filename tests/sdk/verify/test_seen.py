"""What a verifier remembers of signatures and tells of answers that were too long: its rules 3 and 5."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskbound.adapters.jose import JoserfcCheck
from taskbound.core.token.shared import ServedAnswer
from taskbound.sdk.verify import Opened, Refused, Verifier
from taskbound.wire.jose import Compact, Jwk
from tests.sdk.verify.world import Place, Places

REMEMBERED = 1_024


class Counting(JoserfcCheck):
    """The real check, which counts what it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.computed: list[str] = []

    def verify(self, compact: Compact, key: Jwk) -> None:
        self.computed.append(compact.text)
        super().verify(compact, key)


@pytest.fixture
def place(tmp_path: Path, places: Places) -> Place:
    return places(tmp_path)


def counting(place: Place) -> Counting:
    check = Counting()
    place.verifier = Verifier(
        place.service, keys=place.keys, check=check, claims=place.claims, clock=place.now, status=place.feed
    )
    return check


def test_a_signature_that_was_right_is_computed_once_and_one_that_was_not_each_time(place: Place) -> None:
    check, token = counting(place), place.token()
    for _ in range(3):
        assert isinstance(place.opened(token), Opened)
    assert check.computed == [token]
    head, payload, _ = token.split(".")
    forged = f"{head}.{payload}.{place.token(jti='tok_2').split('.')[2]}"
    for _ in range(3):
        assert isinstance(place.opened(forged), Refused)
    assert check.computed == [token, *[forged] * 3]


def test_so_many_are_remembered_and_of_those_the_one_that_was_not_asked_for_longest_is_forgotten(
    place: Place,
) -> None:
    check = counting(place)
    first, second = place.token(jti="tok_a"), place.token(jti="tok_b")
    for token in (first, second, *(place.token(jti=f"tok_{number}") for number in range(REMEMBERED - 2))):
        assert isinstance(place.opened(token), Opened)
    assert len(check.computed) == REMEMBERED
    for token in (first, second):
        place.opened(token)
    assert len(check.computed) == REMEMBERED  # as many as may be are there still
    place.opened(first)  # so that the second one has waited longest of these two, and the rest longer
    for number in range(REMEMBERED - 1):
        place.opened(place.token(jti=f"tok_more_{number}"))
    place.opened(first)
    assert check.computed.count(first) == 1
    place.opened(second)
    assert check.computed.count(second) == 2


def test_of_an_answer_that_was_too_long_a_repeat_is_told_the_digest_and_no_answer(place: Place) -> None:
    token = place.token()
    long = ServedAnswer(status=207, headers=(), digest="d" * 64, length=300_000, body=None)
    place.verifier.answer(place.accepted(token), long)
    found = place.outcome(token)
    assert isinstance(found, Refused)
    assert (found.status, found.error.code, found.missing) == (409, "outcome-not-known", "known-outcome")
    for part in ("207", "d" * 64, "300000"):
        assert part in found.error.message
