from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.scope import Charge, Covered, NotCovered, cover, describe, parse_scope
from taskbound.core.scope.values import Mismatch, read_amount

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue

Json = dict[str, "JsonValue"]

LOG: Json = {
    "tool": "git__log",
    "arguments": {"path": {"below": "/repo"}, "count": {"range": {"min": 1, "max": 50}}},
    "optional": ["count"],
}
SEND: Json = {
    "tool": "pay__send",
    "arguments": {"amount": {"range": {"max": 500}}, "to": {"one_of": ["acme", "bob"]}},
    "uses": 2,
    "total": {"amount": {"limit": 100_000, "exponent": 2}},
}


def answer(
    grants: list[Json], tool: str, arguments: Json, schema: Json | None = None
) -> Covered | NotCovered:
    return cover(parse_scope({"grants": list(grants)}), tool, arguments, schema)


def missed(grants: list[Json], tool: str, arguments: Json, schema: Json | None = None) -> NotCovered:
    found = answer(grants, tool, arguments, schema)
    assert isinstance(found, NotCovered)
    return found


def covered(grants: list[Json], tool: str, arguments: Json, schema: Json | None = None) -> Covered:
    found = answer(grants, tool, arguments, schema)
    assert isinstance(found, Covered)
    return found


def schema_with(**properties: JsonValue) -> Json:
    return {"type": "object", "properties": properties}


def test_a_grant_covers_a_call_inside_its_constraints() -> None:
    assert [payer.grant for payer in covered([LOG], "git__log", {"path": "/repo/a", "count": 5}).payers] == [
        "g0"
    ]


def test_every_grant_that_covers_is_named_in_the_order_of_the_scope() -> None:
    wide: Json = {"tool": "pay__send", "others": "any"}
    found = covered([LOG, wide, SEND], "pay__send", {"amount": 12.5, "to": "bob"})
    assert [payer.grant for payer in found.payers] == ["g1", "g2"]
    assert found.payers[0].charges == ()
    assert found.payers[1].charges == (
        Charge(limit="g2/uses", amount=1),
        Charge(limit="g2/total/amount", amount=1250, exponent=2),
    )


def test_a_tool_that_no_grant_names_is_not_covered_and_the_tools_that_are_named_are_told() -> None:
    found = missed([LOG, SEND], "git__push", {})
    assert (found.code, found.grant, found.more) == ("tool-not-granted", None, 0)
    assert found.tools == ("git__log", "pay__send")
    assert found.sentence == "no grant names the tool `git__push`; it may be `git__log`, `pay__send`"


@pytest.mark.parametrize(("count", "rest"), [(5, ""), (6, " and 1 more"), (9, " and 4 more")])
def test_a_few_tools_are_told_and_how_many_there_are_beyond_them(count: int, rest: str) -> None:
    grants: list[Json] = [{"tool": f"git__t{number}"} for number in range(count)]
    told = ", ".join(f"`git__t{number}`" for number in range(5))
    assert missed(grants, "git__push", {}).sentence == (
        f"no grant names the tool `git__push`; it may be {told}{rest}"
    )


@pytest.mark.parametrize(
    "tool", ["git__log\n", "GIT__LOG", "git__lo", "git__log ", "git__log\u200b", "g\u0456t__log"]
)
def test_a_tool_of_almost_the_same_name_is_another_tool(tool: str) -> None:
    assert missed([LOG], tool, {"path": "/repo"}).code == "tool-not-granted"


def test_at_most_five_tools_are_told() -> None:
    many: list[Json] = [{"tool": f"a__t{index}"} for index in range(9, 0, -1)]
    assert missed(many, "a__b", {}).tools == ("a__t1", "a__t2", "a__t3", "a__t4", "a__t5")


def test_a_constrained_argument_must_be_present() -> None:
    found = missed([LOG], "git__log", {"count": 5})
    assert found.code == "argument-missing"
    assert found.sentence == (
        'grant g0 came nearest: argument `path` must be given: a path at or below `"/repo"`'
    )


def test_an_optional_argument_may_be_left_out_and_is_constrained_when_it_is_there() -> None:
    covered([LOG], "git__log", {"path": "/repo"})
    assert missed([LOG], "git__log", {"path": "/repo", "count": 51}).code == "above-max"


def test_null_is_not_absent() -> None:
    assert missed([LOG], "git__log", {"path": "/repo", "count": None}).code == "not-a-number"
    assert missed([LOG], "git__log", {"path": "/repo", "other": None}).code == "argument-unmentioned"


def test_a_missing_argument_with_a_default_is_still_missing() -> None:
    assert missed([LOG], "git__log", {}, schema_with(path={"default": "/repo"})).code == "argument-missing"


@pytest.mark.parametrize(
    ("about", "value", "fits"),
    [
        ({"default": 10}, 10, Covered),
        ({"default": 10}, 10.0, Covered),
        ({"default": 10}, 11, NotCovered),
        ({"default": 1}, True, NotCovered),
        ({"default": True}, 1, NotCovered),
        ({"default": None}, None, Covered),
        ({}, None, NotCovered),
        ({"default": {"a": [1]}}, {"a": [1]}, Covered),
        ({"default": {"a": [1]}}, {"a": [True]}, NotCovered),
        ({"const": 10}, 10, NotCovered),
        ({"anyOf": [{"default": 10}]}, 10, NotCovered),
        (True, 10, NotCovered),
        ("default", "default", NotCovered),
    ],
)
def test_an_argument_that_no_grant_mentions_holds_the_pinned_default_or_nothing(
    about: JsonValue, value: JsonValue, fits: type[Covered | NotCovered]
) -> None:
    call: Json = {"path": "/repo", "mode": value}
    found = answer([LOG], "git__log", call, schema_with(mode=about))
    assert isinstance(found, fits)


@pytest.mark.parametrize(
    "schema",
    [None, {}, {"properties": None}, {"properties": []}, {"default": {"mode": 1}}, {"mode": {"default": 1}}],
)
def test_without_a_default_at_the_top_level_of_the_schema_nothing_unmentioned_passes(
    schema: Json | None,
) -> None:
    found = missed([LOG], "git__log", {"path": "/repo", "mode": 1}, schema)
    assert found.code == "argument-unmentioned"
    assert found.misses[0].needed == "left out"


def test_the_default_of_the_schema_is_told() -> None:
    found = missed([LOG], "git__log", {"path": "/repo", "mode": 1}, schema_with(mode={"default": 0}))
    assert found.misses[0].needed == "left out, or its default `0`"


def test_an_argument_of_almost_the_same_name_is_another_argument() -> None:
    for name in ("Path", "path ", "path\x00", "pa\u200bth"):
        found = missed([LOG], "git__log", {"path": "/repo", name: "/etc"})
        assert found.code == "argument-unmentioned"


def test_others_any_opens_what_is_not_mentioned_and_nothing_else() -> None:
    wide: Json = {**LOG, "others": "any"}
    covered([wide], "git__log", {"path": "/repo", "mode": 1, "more": [None]})
    assert missed([wide], "git__log", {"path": "/etc", "mode": 1}).code == "path-outside"


def test_a_grant_without_arguments_covers_only_a_call_without_arguments() -> None:
    bare: Json = {"tool": "a__b"}
    covered([bare], "a__b", {})
    assert missed([bare], "a__b", {"x": 1}).code == "argument-unmentioned"


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (12.345, "excess-precision"),
        (0.001, "excess-precision"),
        (1e-7, "excess-precision"),
        (-1, "negative-amount"),
        (-0.01, "negative-amount"),
        (-5e-324, "negative-amount"),
        (1e21, "amount-overflow"),
        (1.7976931348623157e308, "amount-overflow"),
        (92233720368547758.08, "amount-overflow"),
        ("12.50", "not-a-number"),
        (True, "not-a-number"),
        (None, "not-a-number"),
        ([1], "not-a-number"),
        (float("inf"), "not-a-number"),
        (float("nan"), "not-a-number"),
    ],
)
def test_an_amount_that_can_t_be_counted_exactly_is_not_covered(amount: JsonValue, code: str) -> None:
    grant: Json = {**SEND, "arguments": {"amount": {"any": True}}}
    found = missed([grant], "pay__send", {"amount": amount})
    assert found.code == code
    assert found.misses[0].needed == "any value, as an amount with at most 2 decimal places"


@pytest.mark.parametrize(
    ("amount", "exponent", "units"),
    [
        (12.5, 2, 1250),
        (12, 2, 1200),
        (0.1, 1, 1),
        (0.29, 2, 29),
        (1.1, 9, 1_100_000_000),
        (-0.0, 2, 0),
        (0, 0, 0),
        (1e15, 0, 10**15),
        (1e18, 0, 10**18),
        (1.5e16, 2, 1_500_000_000_000_000_000),
        (9007199254740991, 3, 9_007_199_254_740_991_000),
        (1e-9, 9, 1),
    ],
)
def test_an_amount_is_charged_in_minor_units(amount: JsonValue, exponent: int, units: int) -> None:
    grant: Json = {
        "tool": "pay__send",
        "arguments": {"amount": {"any": True}},
        "total": {"amount": {"limit": 1, "exponent": exponent}},
    }
    (payer,) = covered([grant], "pay__send", {"amount": amount}).payers
    assert payer.charges == (Charge(limit="g0/total/amount", amount=units, exponent=exponent),)


def test_the_largest_amount_is_that_of_a_signed_64_bit_integer() -> None:
    grant: Json = {
        **SEND,
        "arguments": {"amount": {"any": True}},
        "total": {"amount": {"limit": 1, "exponent": 3}},
    }
    covered([grant], "pay__send", {"amount": 9007199254740991})
    grant = {**grant, "total": {"amount": {"limit": 1, "exponent": 4}}}
    assert missed([grant], "pay__send", {"amount": 9007199254740991}).code == "amount-overflow"


def test_an_amount_is_read_up_to_the_largest_signed_64_bit_integer() -> None:
    assert read_amount(2**63 - 1, 0) == 2**63 - 1
    assert read_amount(2**63, 0) == Mismatch(code="amount-overflow", reason="is more than an amount can be")


def test_an_amount_that_can_be_counted_is_still_constrained() -> None:
    found = missed([SEND], "pay__send", {"amount": 600, "to": "bob"})
    assert [(miss.argument, miss.code) for miss in found.misses] == [("amount", "above-max")]
    found = missed([SEND], "pay__send", {"amount": 5, "to": "eve"})
    assert [(miss.argument, miss.needed) for miss in found.misses] == [("to", 'one of `"acme"`, `"bob"`')]


def test_an_amount_that_can_be_counted_makes_its_grant_nearer() -> None:
    other: Json = {"tool": "pay__send", "arguments": {"amount": {"equals": 1}, "to": {"equals": "x"}}}
    found = missed([other, SEND], "pay__send", {"amount": 5, "to": "eve"})
    assert found.grant == "g1"


def test_an_argument_at_its_default_is_no_miss() -> None:
    found = missed([LOG], "git__log", {"path": "/etc", "mode": 1}, schema_with(mode={"default": 1}))
    assert [miss.argument for miss in found.misses] == ["path"]


def test_another_grant_can_cover_what_one_can_t_count() -> None:
    wide: Json = {"tool": "pay__send", "others": "any"}
    found = covered([SEND, wide], "pay__send", {"amount": 12.345, "to": "bob"})
    assert [payer.grant for payer in found.payers] == ["g1"]


def test_the_nearest_grant_is_the_one_with_the_most_accepted_arguments() -> None:
    other: Json = {"tool": "git__log", "arguments": {"path": {"below": "/other"}, "count": {"equals": 7}}}
    found = missed([LOG, other], "git__log", {"path": "/elsewhere", "count": 7, "x": 1})
    assert found.grant == "g0"  # as many accepted, as many missed, and first
    assert missed([LOG, other], "git__log", {"path": "/other/a", "count": 8}).grant == "g0"
    assert missed([LOG, other], "git__log", {"path": "/other/a", "count": 60}).grant == "g1"


def test_of_two_grants_as_near_the_one_with_fewer_misses_is_named() -> None:
    two: Json = {"tool": "a__b", "arguments": {"x": {"equals": 1}, "y": {"equals": 1}, "z": {"equals": 1}}}
    one: Json = {"tool": "a__b", "arguments": {"x": {"equals": 1}, "y": {"equals": 2}}}
    assert missed([two, one], "a__b", {"x": 1, "y": 3}).grant == "g1"


def test_a_miss_says_what_it_was_why_that_misses_and_what_would_do() -> None:
    found = missed([LOG], "git__log", {"path": "/etc/passwd", "count": 500, "mode": "x"})
    assert [(miss.argument, miss.code) for miss in found.misses] == [
        ("count", "above-max"),
        ("path", "path-outside"),
        ("mode", "argument-unmentioned"),
    ]
    assert found.sentences == (
        (
            "grant g0 came nearest: argument `count` was `500`, which is more than 50: "
            "it must be a number from 1 to 50, or left out"
        ),
        (
            'argument `path` was `"/etc/passwd"`, which is not inside the directory that is granted: '
            'it must be a path at or below `"/repo"`'
        ),
        'argument `mode` was `"x"`, which is not mentioned by the grant: it must be left out',
    )
    assert found.sentence == "; ".join(found.sentences)


def test_only_eight_misses_are_kept_and_three_told() -> None:
    bare: Json = {"tool": "a__b"}
    found = missed([bare], "a__b", {f"x{index:02}": index for index in range(20)})
    assert [miss.argument for miss in found.misses] == [f"x{index:02}" for index in range(8)]
    assert found.more == 12
    assert found.sentences[-1] == "and 12 more arguments"
    assert len(found.sentences) == 9
    assert found.sentence.endswith("; and 17 more")
    assert "`x02`" in found.sentence
    assert "`x03`" not in found.sentence


def test_what_was_is_escaped_and_short() -> None:
    found = missed([LOG], "git__log", {"path": "/e`\u202e\u200b\n" + "x" * 500, "\u202e`": 1})
    assert len(found.misses[0].was) <= 80
    assert found.misses[0].was.startswith('"/e\\u{60}\\u{202E}\\u{200B}\\nxxx')
    assert found.misses[0].was.endswith("…")
    assert found.misses[1].argument == '"\\u{202E}\\u{60}"'
    assert missed([LOG], "\u202e" + "x" * 500, {}).tool.endswith("…")


def test_a_secret_is_not_recited() -> None:
    grants: list[Json] = [
        {"tool": "a__b", "arguments": {"api_key": {"equals": "swordfish"}, "x": {"equals": 1}}}
    ]
    found = missed(grants, "a__b", {"api_key": "letmein", "x": "ghp_16C7e42F292c6912E7710c838347Ae178B4a"})
    assert "swordfish" not in repr(found)
    assert "letmein" not in repr(found)
    assert "16C7" not in repr(found)
    assert "swordfish" not in "".join(describe(parse_scope({"grants": list(grants)})))


def test_no_answer_about_cover_has_a_truth_value() -> None:
    for found in (covered([LOG], "git__log", {"path": "/repo"}), missed([LOG], "git__log", {})):
        with pytest.raises(TypeError, match="no truth value"):
            bool(found)
