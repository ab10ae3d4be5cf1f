from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.clock import Instant
from taskbound.core.scope import Charge, Covered, Exhausted, Paid, Payer, Shortfall, cover, parse_scope, pay

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue

NOW = Instant(1_000_000)
SMALL: dict[str, JsonValue] = {
    "tool": "pay__send",
    "arguments": {"amount": {"range": {"max": 10}}},
    "uses": 2,
    "total": {"amount": {"limit": 1500, "exponent": 2}},
}
LARGE: dict[str, JsonValue] = {
    "tool": "pay__send",
    "arguments": {"amount": {"any": True}},
    "total": {"amount": {"limit": 5000, "exponent": 2}},
}
SCOPE = parse_scope({"grants": [SMALL, LARGE]})


def covering(amount: JsonValue) -> Covered:
    found = cover(SCOPE, "pay__send", {"amount": amount}, None)
    assert isinstance(found, Covered)
    return found


def test_the_first_covering_grant_with_everything_left_pays() -> None:
    left = {"g0/uses": 1, "g0/total/amount": 1000, "g1/total/amount": 5000}
    assert pay(covering(10), left, NOW) == Paid(
        grant="g0",
        charges=(
            Charge(limit="g0/uses", amount=1),
            Charge(limit="g0/total/amount", amount=1000, exponent=2),
        ),
    )


@pytest.mark.parametrize(
    "left",
    [
        {"g0/uses": 0, "g0/total/amount": 1000, "g1/total/amount": 1000},
        {"g0/uses": 1, "g0/total/amount": 999, "g1/total/amount": 1000},
        {"g0/uses": -1, "g0/total/amount": 1000, "g1/total/amount": 1000},
        {"g0/total/amount": 1000, "g1/total/amount": 1000},
        {"g0/uses": 1, "g1/total/amount": 1000},
    ],
)
def test_a_grant_that_lacks_anything_pays_nothing_and_the_next_one_pays(left: dict[str, int]) -> None:
    assert pay(covering(10), left, NOW) == Paid(
        grant="g1", charges=(Charge(limit="g1/total/amount", amount=1000, exponent=2),)
    )


def test_when_no_grant_can_pay_each_limit_that_falls_short_is_named() -> None:
    found = pay(covering(10), {"g0/uses": 0, "g0/total/amount": 250, "g1/total/amount": 999}, NOW)
    assert found == Exhausted(
        shortfalls=(
            Shortfall(grant="g0", limit="g0/uses", left=0, asked=1),
            Shortfall(grant="g0", limit="g0/total/amount", left=250, asked=1000, exponent=2),
            Shortfall(grant="g1", limit="g1/total/amount", left=999, asked=1000, exponent=2),
        )
    )
    assert found.code == "exhausted"
    assert [one.sentence for one in found.shortfalls] == [
        "grant g0 has no use left",
        "grant g0 has 2.50 left for `amount`, and this asks for 10.00",
        "grant g1 has 9.99 left for `amount`, and this asks for 10.00",
    ]


def test_a_limit_that_is_not_known_has_nothing_left() -> None:
    found = pay(covering(20), {}, NOW)
    assert found == Exhausted(
        shortfalls=(Shortfall(grant="g1", limit="g1/total/amount", left=0, asked=2000, exponent=2),)
    )


def test_a_limit_that_is_not_known_pays_not_even_for_nothing() -> None:
    assert isinstance(pay(covering(0), {"g0/uses": 1}, NOW), Exhausted)


def test_a_grant_without_limits_always_pays() -> None:
    assert pay(Covered(tool="a__b", payers=(Payer(grant="g0", charges=()),)), {}, NOW) == Paid(
        grant="g0", charges=()
    )


@pytest.mark.parametrize("amount", [-1, 2**63])
def test_a_charge_is_never_negative_nor_beyond_64_bits(amount: int) -> None:
    Charge(limit="g0/uses", amount=2**63 - 1)
    with pytest.raises(ValueError, match="a charge is from 0"):
        Charge(limit="g0/uses", amount=amount)


def test_a_limit_is_charged_once_for_an_action() -> None:
    one = Charge(limit="g0/uses", amount=1)
    with pytest.raises(ValueError, match="charged once"):
        Payer(grant="g0", charges=(one, one))


def test_no_answer_about_paying_has_a_truth_value() -> None:
    for found in (pay(covering(10), {}, NOW), pay(covering(10), {"g1/total/amount": 1000}, NOW)):
        with pytest.raises(TypeError, match="no truth value"):
            bool(found)
