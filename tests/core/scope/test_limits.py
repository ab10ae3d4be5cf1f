from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.clock import Instant
from taskbound.core.scope import (
    Charge,
    Covered,
    Exhausted,
    NotCovered,
    Paid,
    ScopeSyntaxError,
    counted_limits,
    cover,
    describe,
    initial_limits,
    parse_scope,
    pay,
)

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope import Scope

Json = dict[str, "JsonValue"]
ANY: Json = {"any": True}
SECOND = 1_000_000
START = 1_700_000_000 * SECOND

MONEY: Json = {
    "tool": "a__b",
    "arguments": {"pay.amount": ANY, "pay.currency": ANY},
    "total": {
        "pay.amount": {
            "currency": "pay.currency",
            "limits": {"EUR": "1000.00", "JPY": "100000", "KWD": "5.5"},
            "text": True,
        }
    },
}
HOURLY: Json = {"tool": "a__b", "rate": {"uses": 2, "seconds": 3600}}


def scope_of(*grants: Json) -> Scope:
    return parse_scope({"grants": list(grants)})


def charges(grant: Json, arguments: Json) -> tuple[Charge, ...]:
    found = cover(scope_of(grant), "a__b", arguments, None)
    assert isinstance(found, Covered)
    return found.payers[0].charges


def miss(grant: Json, arguments: Json) -> tuple[str, str, str]:
    found = cover(scope_of(grant), "a__b", arguments, None)
    assert isinstance(found, NotCovered)
    first = found.misses[0]
    return first.argument, first.code, first.needed


def where_of(**members: JsonValue) -> str:
    with pytest.raises(ScopeSyntaxError) as caught:
        parse_scope({"grants": [{**MONEY, **members}]})
    return caught.value.where.removeprefix("grants[0].")


def total(body: JsonValue) -> JsonValue:
    return {"pay.amount": body}


def by_currency(limits: JsonValue) -> JsonValue:
    return total({"currency": "pay.currency", "limits": limits})


TOTAL = 'total["pay.amount"]'


@pytest.mark.parametrize(
    ("amount", "currency", "limit", "units", "places"),
    [
        (12.5, "EUR", "EUR", 1250, 2),
        ("12.50", "EUR", "EUR", 1250, 2),
        ("12.5000", "EUR", "EUR", 1250, 2),
        ("0", "EUR", "EUR", 0, 2),
        ("0.01", "EUR", "EUR", 1, 2),
        (12, "JPY", "JPY", 12, 0),
        ("12", "JPY", "JPY", 12, 0),
        ("0.001", "KWD", "KWD", 1, 3),
    ],
)
def test_an_amount_is_charged_to_the_total_of_its_currency_in_its_smallest_unit(
    amount: JsonValue, currency: str, limit: str, units: int, places: int
) -> None:
    assert charges(MONEY, {"pay": {"amount": amount, "currency": currency}}) == (
        Charge(limit=f"g0/total/pay.amount/{limit}", amount=units, exponent=places),
    )


@pytest.mark.parametrize("currency", ["USD", "eur", "EUR ", "\uff25UR", "", None, ["EUR"], "EURO"])
def test_a_currency_that_is_not_named_is_not_covered(currency: JsonValue) -> None:
    where, code, needed = miss(MONEY, {"pay": {"amount": 1, "currency": currency}})
    assert (where, code) == ("pay.currency", "currency-not-granted")
    assert needed == "any value, one of the currencies EUR, JPY, KWD"


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        ("12.505", "excess-precision"),
        ("1e2", "not-a-decimal"),
        ("+1", "not-a-decimal"),
        ("-1", "not-a-decimal"),
        (" 1", "not-a-decimal"),
        ("1 ", "not-a-decimal"),
        ("1.", "not-a-decimal"),
        (".5", "not-a-decimal"),
        ("01", "not-a-decimal"),
        ("1,000", "not-a-decimal"),
        ("1_000", "not-a-decimal"),
        ("\uff11\uff12", "not-a-decimal"),
        ("\u00b2", "not-a-decimal"),
        ("NaN", "not-a-decimal"),
        ("0x10", "not-a-decimal"),
        ("", "not-a-decimal"),
        ("9" * 33, "not-a-decimal"),
        ("9" * 20, "amount-overflow"),
        (-1, "negative-amount"),
        (True, "not-a-number"),
    ],
)
def test_an_amount_that_is_no_exact_decimal_is_not_covered(amount: JsonValue, code: str) -> None:
    assert miss(MONEY, {"pay": {"amount": amount, "currency": "EUR"}})[:2] == ("pay.amount", code)


def test_a_decimal_text_is_an_amount_only_where_the_scope_says_so() -> None:
    plain: Json = {"tool": "a__b", "arguments": {"x": ANY}, "total": {"x": {"limit": 1, "exponent": 2}}}
    assert miss(plain, {"x": "1.50"})[1] == "not-a-number"
    texts: Json = {**plain, "total": {"x": {"limit": 1, "exponent": 2, "text": True}}}
    assert charges(texts, {"x": "1.50"}) == (Charge(limit="g0/total/x", amount=150, exponent=2),)


def test_currencies_have_totals_of_their_own() -> None:
    scope = scope_of(MONEY)
    assert initial_limits(scope) == {
        "g0/total/pay.amount/EUR": 100_000,
        "g0/total/pay.amount/JPY": 100_000,
        "g0/total/pay.amount/KWD": 5500,
    }
    (words,) = describe(scope)
    assert "`pay.amount` adding up to at most 1000.00 EUR" in words
    assert "at most 5.500 KWD" in words


def test_a_total_of_currencies_has_one_form() -> None:
    spelled: Json = {
        **MONEY,
        "total": total(
            {
                "currency": 'pay."currency"',
                "limits": {"KWD": "5.50", "JPY": "100000", "EUR": "1000"},
                "text": True,
            }
        ),
    }
    assert scope_of(spelled) == scope_of(MONEY)
    assert parse_scope(scope_of(MONEY).value()) == scope_of(MONEY)


@pytest.mark.parametrize(
    ("members", "where"),
    [
        ({"total": total({"currency": "pay.currency"})}, 'total["pay.amount"].limits'),
        ({"total": by_currency({})}, TOTAL + ".limits"),
        ({"total": total({"currency": "pay.other", "limits": {"EUR": "1"}})}, 'total["pay.amount"].currency'),
        ({"total": by_currency({"XXX": "1"})}, TOTAL + ".limits.XXX"),
        ({"total": by_currency({"eur": "1"})}, TOTAL + ".limits.eur"),
        ({"total": by_currency({"EUR": 1})}, TOTAL + ".limits.EUR"),
        ({"total": by_currency({"EUR": "0.00"})}, TOTAL + ".limits.EUR"),
        ({"total": by_currency({"EUR": "0.001"})}, TOTAL + ".limits.EUR"),
        ({"total": by_currency({"JPY": "0.1"})}, TOTAL + ".limits.JPY"),
        ({"total": total({"currency": "pay.currency", "limits": {}, "limit": 5})}, TOTAL + ".limit"),
        ({"total": total({"limit": 1, "exponent": 0, "text": False})}, 'total["pay.amount"].text'),
        ({"optional": ["pay.currency"]}, 'total["pay.amount"].currency'),
        ({"rate": {"uses": 1}}, "rate.seconds"),
        ({"rate": {"uses": 0, "seconds": 60}}, "rate.uses"),
        ({"rate": {"uses": 1, "seconds": 0}}, "rate.seconds"),
        ({"rate": {"uses": 1, "seconds": 366 * 86_400 + 1}}, "rate.seconds"),
        ({"rate": []}, "rate"),
        ({"rate": [{"uses": 1, "seconds": 60}, {"uses": 2, "seconds": 60}]}, "rate[1]"),
        ({"rate": [{"uses": 1, "seconds": at} for at in range(1, 6)]}, "rate"),
    ],
)  # fmt: skip  # one case a line
def test_a_limit_that_is_written_wrong_is_refused_at_its_place(members: Json, where: str) -> None:
    assert where_of(**members) == where


def test_a_rate_has_a_row_for_its_uses_and_one_for_its_window() -> None:
    scope = scope_of(HOURLY)
    assert initial_limits(scope) == {"g0/rate/3600": 2, "g0/rate/3600/opened": 0}
    assert counted_limits(scope) == {"g0/rate/3600": 2}
    assert describe(scope)[0].endswith("at most 2 in a window of 3600 seconds, so 4 in any span as long")
    one = scope_of({**HOURLY, "rate": [{"uses": 2, "seconds": 3600}]})
    assert one == scope
    assert parse_scope(scope.value()) == scope


def use(scope: Scope, left: dict[str, int], at: int) -> bool:
    found = cover(scope, "a__b", {}, None)
    assert isinstance(found, Covered)
    paid = pay(found, left, Instant(at))
    if isinstance(paid, Exhausted):
        return False
    left.update(paid.windows)
    return True


def test_a_window_opens_at_its_first_use_and_the_next_at_the_first_use_after_it() -> None:
    scope = scope_of(HOURLY)
    left = initial_limits(scope)
    times = (0, 3599, 3599, 3600, 3600, 7199, 7200)
    assert [use(scope, left, START + at * SECOND) for at in times] == [
        True,
        True,
        False,
        True,
        True,
        False,
        True,
    ]


def test_a_clock_that_goes_back_opens_no_window() -> None:
    scope = scope_of(HOURLY)
    left = initial_limits(scope)
    assert [use(scope, left, START - at * SECOND) for at in (0, 5, 9999)] == [True, True, False]


@pytest.mark.parametrize("lost", ["g0/rate/3600", "g0/rate/3600/opened"])
def test_a_rate_whose_row_is_not_known_has_nothing_left(lost: str) -> None:
    scope = scope_of(HOURLY)
    left = initial_limits(scope)
    del left[lost]
    assert not use(scope, left, START)


def test_every_rate_of_a_grant_must_have_a_use_left_and_the_next_grant_pays_otherwise() -> None:
    both: Json = {**HOURLY, "rate": [{"uses": 1, "seconds": 1}, {"uses": 2, "seconds": 60}]}
    scope = scope_of(both)
    left = initial_limits(scope)
    assert [use(scope, left, START + at * SECOND) for at in (0, 0, 1, 2, 60)] == [
        True,
        False,
        True,
        False,
        True,
    ]
    wide: Json = {"tool": "a__b", "others": "any"}
    found = cover(scope_of(HOURLY, wide), "a__b", {}, None)
    assert isinstance(found, Covered)
    spent = {"g0/rate/3600": 0, "g0/rate/3600/opened": START}
    assert pay(found, spent, Instant(START)) == Paid(grant="g1", charges=())


def test_a_rate_that_has_nothing_left_is_told_with_its_window() -> None:
    found = cover(scope_of(HOURLY), "a__b", {}, None)
    assert isinstance(found, Covered)
    spent = pay(found, {"g0/rate/3600": 0, "g0/rate/3600/opened": START}, Instant(START))
    assert isinstance(spent, Exhausted)
    assert spent.shortfalls[0].sentence == "grant g0 has no use left in this window of 3600 seconds"


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 3), st.integers(1, 9))
def test_at_most_twice_the_uses_of_a_rate_fall_into_any_span_of_its_length(
    gaps: list[int], uses: int, seconds: int
) -> None:
    scope = scope_of({"tool": "a__b", "rate": {"uses": uses, "seconds": seconds}})
    left = initial_limits(scope)
    at, used = START, []
    for gap in gaps:
        at += gap * SECOND // 10
        if use(scope, left, at):
            used.append(at)
    for first in used:
        assert sum(first <= one < first + seconds * SECOND for one in used) <= 2 * uses
