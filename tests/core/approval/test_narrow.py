from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.core.action import JsonValue, parse_object
from taskbound.core.approval import NotNarrowerError, change_words, require_narrower
from taskbound.core.scope import parse_scope

SCHEMA: dict[str, JsonValue] = {
    "type": "object",
    "properties": {"note": {"type": "string", "default": ""}, "force": {"type": "boolean", "default": False}},
}
GRANT: dict[str, Any] = {
    "tool": "bank__pay",
    "arguments": {
        "to": {"below": "/accounts"},
        "sum.amount": {"range": {"min": 1, "max": 500}},
        "sum.currency": {"one_of": ["EUR", "JPY"]},
        "fee": {"any": True},
        "days": {"range": {"min": 0, "max": 30}},
        "copies": {"any": True},
    },
    "total": {
        "sum.amount": {"currency": "sum.currency", "limits": {"EUR": "1000.00", "JPY": "100000"}},
        "fee": {"limit": 10000, "exponent": 2, "text": True},
    },
}
HELD: dict[str, JsonValue] = {
    "to": "/accounts/bob",
    "sum": {"amount": 100, "currency": "EUR"},
    "fee": "12.50",
    "days": 7,
    "copies": ["ann", "eve"],
    "note": "",
}


def sums(amount: JsonValue, currency: str = "EUR", **more: JsonValue) -> dict[str, JsonValue]:
    return HELD | {"sum": {"amount": amount, "currency": currency, **more}}


def narrow(after: dict[str, JsonValue], *grants: dict[str, Any], before: Any = None) -> str:
    scope = parse_scope({"grants": list(grants or (GRANT,))})
    held = HELD if before is None else before
    return change_words(require_narrower(scope, 0, "bank__pay", SCHEMA, before=held, after=after))


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (sums(99.99), "`sum.amount` is 99.99 instead of 100"),
        (sums(1), "`sum.amount` is 1 instead of 100"),
        (HELD | {"fee": "12.49"}, "`fee` is 12.49 instead of 12.50"),
        (HELD | {"fee": "0"}, "`fee` is 0 instead of 12.50"),
        (sums(40) | {"fee": "1"}, "`sum.amount` is 40 instead of 100, `fee` is 1 instead of 12.50"),
    ],
)
def test_less_of_what_a_total_counts_is_narrower(after: dict[str, JsonValue], words: str) -> None:
    assert narrow(after) == words


# Each has a twin above that differs in the one thing that is tried.
WIDER: dict[str, tuple[dict[str, JsonValue], str]] = {
    "the held action itself": (HELD, "approve that"),
    "more": (sums(100.01), "not lower"),
    "more in one, less in the other": (sums(101) | {"fee": "1"}, "not lower"),
    "the same, written otherwise (A183)": (HELD | {"fee": "12.5"}, "not lower"),
    "a number as text (A183)": (sums("99"), "of another type"),
    "a text as number (A183)": (HELD | {"fee": 1}, "of another type"),
    "true for a number": (sums(True), "of another type"),  # noqa: FBT003  # the value of an argument
    "nothing for a number": (sums(None), "of another type"),
    "an exponent in a text": (HELD | {"fee": "1e1"}, "does not cover it"),
    "zeros in front": (HELD | {"fee": "01.00"}, "does not cover it"),
    "a sign": (HELD | {"fee": "+1"}, "does not cover it"),
    "digits of another writing": (HELD | {"fee": "\u0661"}, "does not cover it"),
    "a fullwidth digit": (HELD | {"fee": "\uff11"}, "does not cover it"),
    "less than nothing": (HELD | {"fee": "-1"}, "does not cover it"),
    "beneath what the grant asks for": (sums(0), "does not cover it"),
    "finer than a cent": (sums(0.001), "does not cover it"),
    "another currency": (sums(99, "JPY"), "no total of grant g0 counts `sum.currency`"),
    "another currency, dearer": (sums(100, "JPY"), "no total of grant g0 counts `sum.currency`"),
    "a limit without a total": (HELD | {"days": 1}, "no total of grant g0 counts `days`"),
    "another path below": (HELD | {"to": "/accounts/bob/.."}, "not cover it|counts `to`"),
    "a path that is the same elsewhere": (HELD | {"to": "/accounts//bob"}, "not cover it|counts `to`"),
    "a deeper path": (HELD | {"to": "/accounts/bob/x"}, "no total of grant g0 counts `to`"),
    "a text that looks alike": (HELD | {"to": "/accounts/b\u043eb"}, "not cover it|counts `to`"),
    "a text in another normal form": (
        HELD | {"copies": ["ann", "e\u0301"]},
        r"no total of grant g0 counts `copies\[1\]`",
    ),
    "one who gets a copy less": (HELD | {"copies": ["ann"]}, "`copies` has 2 items, and 1"),
    "copies in another order": (HELD | {"copies": ["eve", "ann"]}, r"counts `copies\[0\]`"),
    "an argument more": (HELD | {"force": False}, "adds `force`"),
    "an argument less": (
        {name: value for name, value in HELD.items() if name != "note"},
        "leaves out `note`",
    ),
    "a limiting argument less": (
        {name: value for name, value in HELD.items() if name != "days"},
        "leaves out `days`",
    ),
    "a member more within": (sums(40, cents=99), r"adds `sum\.cents`"),
    "an object for a value": (HELD | {"fee": {"fee": "1"}}, "of another type"),
    "a name with a dot for a path": (
        {name: value for name, value in HELD.items() if name != "sum"} | {"sum.amount": 1},
        "leaves out `sum`",
    ),
}


@pytest.mark.parametrize("what", WIDER)
def test_nothing_else_is_narrower(what: str) -> None:
    after, words = WIDER[what]
    with pytest.raises(NotNarrowerError, match=words):
        narrow(after)


def test_one_grant_has_to_cover_both_and_count_all_that_differs() -> None:
    plain = {"tool": "bank__pay", "others": "any"}
    open_pay = {"tool": "bank__pay", "arguments": {"fee": {"any": True}}, "others": "any",
                "total": {"fee": {"limit": 10000, "exponent": 2, "text": True}}}  # fmt: skip  # one grant
    with pytest.raises(NotNarrowerError, match="no total of grant g0 counts"):
        narrow(sums(40), plain)
    with pytest.raises(NotNarrowerError, match="no total of grant g0 counts"):
        narrow(sums(40), open_pay)
    with pytest.raises(NotNarrowerError):
        narrow(sums(40) | {"fee": "1"}, plain, open_pay)
    assert narrow(sums(40), plain, GRANT) == "`sum.amount` is 40 instead of 100"
    other_tool = GRANT | {"tool": "bank__draw"}
    with pytest.raises(NotNarrowerError, match="does not cover the held action any more"):
        narrow(sums(40), other_tool)


def test_a_grant_that_covers_only_the_narrower_one_says_nothing_of_less() -> None:
    small = {**GRANT, "arguments": {**GRANT["arguments"], "sum.amount": {"range": {"min": 1, "max": 50}}}}
    rest = {"tool": "bank__pay", "others": "any"}
    with pytest.raises(NotNarrowerError, match="no total of grant g1 counts"):
        narrow(sums(40), small, rest)


def test_ten_is_ten_however_the_number_is_written_and_no_less() -> None:
    for raw in (b'{"amount":10.0}', b'{"amount":1e1}', b'{"amount":10}'):
        same = sums(parse_object(raw)["amount"])
        with pytest.raises(NotNarrowerError):
            narrow(same, before=sums(10))


@settings(deadline=None)
@given(st.integers(0, 60_000), st.integers(0, 60_000), st.sampled_from(["EUR", "JPY"]))
def test_an_amount_is_narrower_exactly_when_it_is_lower_and_granted(
    was: int, now: int, currency: str
) -> None:
    held, after = sums(was / 100, currency), sums(now / 100, currency)
    places = 1 if currency == "EUR" else 100
    granted = all(100 <= one <= 50_000 and one % places == 0 for one in (was, now))
    if granted and now < was:
        assert narrow(after, before=held)
    else:
        with pytest.raises(NotNarrowerError):
            narrow(after, before=held)
