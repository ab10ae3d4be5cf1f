from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.scope import describe, parse_scope
from taskbound.core.scope.show import bare, kind_of, quote, show
from taskbound.core.scope.values import write_amount
from tests.core.scope.strategies import json_values

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (1.0, "1"),
        (1e21, "1e+21"),
        (float("nan"), "no number"),
        ("a", '"a"'),
        ('say "hi"\\', '"say \\"hi\\"\\\\"'),
        (["a", 1, [None]], '["a",1,[null]]'),
        ({"b": 1, "a": {"c": []}}, '{"a":{"c":[]},"b":1}'),
        ("\x1b[2J", '"\\u{1B}[2J"'),
        ("`", '"\\u{60}"'),
    ],
)
def test_a_value_is_shown_as_one_line_of_json(value: JsonValue, shown: str) -> None:
    assert show(value) == shown


@given(json_values | st.text() | st.dictionaries(st.text(), st.text()))
def test_what_is_shown_is_short_printable_and_holds_no_fence(value: JsonValue) -> None:
    shown = show(value)
    assert len(shown) <= 80
    assert shown.isprintable()
    assert "`" not in shown


@pytest.mark.parametrize(
    "value", ["x" * 81, "\u200b" * 10_000, ["x"] * 1000, {"a": "x" * 1_000_000}, [[[["x" * 70]]], 1]]
)
def test_what_is_cut_says_so(value: JsonValue) -> None:
    shown = show(value)
    assert len(shown) <= 80
    assert "…" in shown


def test_a_text_of_eighty_characters_less_its_quotes_is_not_cut() -> None:
    assert show("x" * 78) == '"' + "x" * 78 + '"'


@pytest.mark.parametrize(
    "name",
    ["password", "user_password", "Passwd", "apiKey", "api_key", "API-KEY", "client_secret", "token",
     "accessToken", "private key", "authorization", "cookie", "pin", "otp", "passphrase", "credentials"],
)  # fmt: skip  # a list of names reads better as names
def test_a_text_of_an_argument_named_like_a_secret_is_hidden(name: str) -> None:
    assert show("hunter2", name) == "(hidden)"
    assert "hunter2" not in show({"a": [{name: "hunter2"}]})


@pytest.mark.parametrize("name", ["max_tokens", "path", "shipping", "author", "pinned", "recipient"])
def test_an_ordinary_argument_is_shown(name: str) -> None:
    assert show("hunter2", name) == '"hunter2"'


def test_a_number_is_shown_whatever_its_name() -> None:
    assert show(5, "token") == "5"
    assert show("", "token") == '""'


@pytest.mark.parametrize(
    "secret",
    [
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "github_pat_11ABC",
        "xoxb-17653672481-19874698323",
        "AKIAIOSFODNN7EXAMPLE",
        "Authorization: Bearer abc.def",
        "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "postgres://app:hunter2@db.example.com/app",
        "sk-abcdefghijkl",
        "hvs.CAESIJ",
    ],
)
def test_a_text_of_the_shape_of_a_well_known_secret_is_hidden(secret: str) -> None:
    assert show(secret) == "(hidden)"
    assert show([secret]) == "[(hidden)]"


def test_a_plain_name_is_shown_bare_and_any_other_quoted() -> None:
    assert bare("max_count") == "max_count"
    assert bare("git__git.log-2") == "git__git.log-2"
    assert bare("a b") == quote("a b") == '"a b"'
    assert bare("") == '""'


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        (True, "true or false"),
        (1, "a number"),
        (1.5, "a number"),
        ("", "a text"),
        ([], "a list"),
        ({}, "an object"),
    ],
)
def test_each_kind_of_value_has_its_words(value: JsonValue, kind: str) -> None:
    assert kind_of(value) == kind


@pytest.mark.parametrize(
    ("units", "exponent", "text"), [(100_000, 2, "1000.00"), (5, 0, "5"), (5, 3, "0.005"), (0, 2, "0.00")]
)
def test_an_amount_is_written_with_its_decimal_places(units: int, exponent: int, text: str) -> None:
    assert write_amount(units, exponent) == text


def test_a_scope_is_told_in_plain_words() -> None:
    scope = parse_scope(
        {
            "grants": [
                {
                    "tool": "git__log",
                    "arguments": {"path": {"below": "/repo"}, "count": {"range": {"min": 1, "max": 50}}},
                    "optional": ["count"],
                    "uses": 10,
                },
                {
                    "tool": "pay__send",
                    "arguments": {
                        "amount": {"range": {"max": 500}},
                        "memo": {"prefix": "inv-"},
                        "to": {"one_of": ["a", "b", "c", "d", "e", "f", "g"]},
                        "what": {"equals": None},
                    },
                    "others": "any",
                    "uses": 1,
                    "total": {"amount": {"limit": 100_000, "exponent": 2}},
                },
                {
                    "tool": "a__b",
                    "arguments": {
                        "five": {"one_of": [1, 2, 3, 4, 5]},
                        "n": {"range": {"min": -1}},
                        "two": {"one_of": [1, 2]},
                        "x": {"any": True},
                    },
                },
            ]
        }
    )
    assert describe(scope) == (
        (
            "g0: may call `git__log` up to 10 times; with `count` a number from 1 to 50, or left out; "
            'with `path` a path at or below `"/repo"`; every other argument left out or at its default'
        ),
        (
            "g1: may call `pay__send` once; with `amount` a number of at most 500; "
            'with `memo` a text that begins with `"inv-"`; '
            'with `to` one of `"a"`, `"b"`, `"c"`, `"d"`, `"e"` and 2 more; with `what` exactly `null`; '
            "and any other argument, whatever it holds (broad); `amount` adding up to at most 1000.00"
        ),
        (
            "g2: may call `a__b` any number of times; with `five` one of `1`, `2`, `3`, `4`, `5`; "
            "with `n` a number of at least -1; with `two` one of `1`, `2`; with `x` any value; "
            "every other argument left out or at its default"
        ),
    )
