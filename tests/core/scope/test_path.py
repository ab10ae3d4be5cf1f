from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.scope import Charge, Covered, NotCovered, ScopeSyntaxError, cover, describe, parse_scope
from taskbound.core.scope.path import Items, Place, parse_argument_path

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue

Json = dict[str, "JsonValue"]
ANY: Json = {"any": True}
EACH = Items.EACH

PAY: Json = {
    "tool": "a__b",
    "arguments": {"payment.to.iban": {"prefix": "DE"}, "payment.amount": {"range": {"max": 500}}},
}
FILES: Json = {
    "tool": "a__b",
    "arguments": {"files[*].path": {"below": "/repo"}, "files[*].mode": {"equals": "r"}},
    "optional": ["files[*].mode"],
}


def answer(grant: Json, arguments: Json, schema: Json | None = None) -> Covered | NotCovered:
    return cover(parse_scope({"grants": [grant]}), "a__b", arguments, schema)


def miss(grant: Json, arguments: Json, schema: Json | None = None) -> tuple[str, str, str]:
    found = answer(grant, arguments, schema)
    assert isinstance(found, NotCovered)
    first = found.misses[0]
    return first.argument, first.code, first.needed


def refused(**members: JsonValue) -> ScopeSyntaxError:
    with pytest.raises(ScopeSyntaxError) as caught:
        parse_scope({"grants": [{"tool": "a__b", **members}]})
    return caught.value


@pytest.mark.parametrize(
    ("written", "steps", "text"),
    [
        ("a", ("a",), "a"),
        ("a b/c-d", ("a b/c-d",), "a b/c-d"),
        ("a.b.c", ("a", "b", "c"), "a.b.c"),
        ("a[*]", ("a", EACH), "a[*]"),
        ("a[*][*].b", ("a", EACH, EACH, "b"), "a[*][*].b"),
        ('"a.b".c', ("a.b", "c"), '"a.b".c'),
        ('a."b"', ("a", "b"), "a.b"),
        ('"[*]"', ("[*]",), '"[*]"'),
        ('"/a"', ("/a",), '"/a"'),
        ('"\\u0061\\"\\\\\\n"', ('a"\\\n',), '"a\\"\\\\\\n"'),
        ('"*"[*]."["', ("*", EACH, "["), '"*"[*]."["'),
    ],
)
def test_a_path_is_read_into_its_steps_and_has_one_text(
    written: str, steps: tuple[object, ...], text: str
) -> None:
    path = parse_argument_path(written, Place(text="here"))
    assert (path.steps, str(path)) == (steps, text)
    assert parse_argument_path(text, Place(text="here")) == path


@pytest.mark.parametrize(
    "written",
    [
        "", ".", "a.", ".a", "a..b", "a[0]", "a[-1]", "a[]", "a[*", "a*]", "a[*]b", "a.[*]", "[*]", "[*].a",
        "*", "/a", "a./b", 'a"b"', '"a"b', '"a', '""', 'a.""', '"\\x"', '"\\ud800"', '"a\n"', "a\x00",
        "a\x7f", "a\\b", ".".join("x" * 17), "x" * 257,
    ],
)  # fmt: skip  # what is no path, a few lines long
def test_what_is_no_path_is_refused_at_its_place(written: str) -> None:
    where = refused(arguments={written: ANY}).where
    assert where.startswith(("grants[0].arguments[", "grants[0].arguments."))


def test_a_path_of_sixteen_steps_is_read() -> None:
    assert len(parse_argument_path(".".join("x" * 16), Place()).steps) == 16


def test_one_path_written_two_ways_is_refused() -> None:
    assert "a second way" in refused(arguments={"a.b": ANY, 'a."b"': ANY}).message


def test_a_value_can_not_be_both_an_object_and_a_list() -> None:
    error = refused(arguments={"a.b[*]": ANY, "a.b.c": ANY})
    assert "permits nothing" in error.message


def test_a_path_reaches_into_objects() -> None:
    good: Json = {"payment": {"to": {"iban": "DE1"}, "amount": 5}}
    assert isinstance(answer(PAY, good), Covered)
    assert miss(PAY, {"payment": {"to": {"iban": "FR1"}, "amount": 5}})[:2] == (
        "payment.to.iban",
        "wrong-prefix",
    )
    assert miss(PAY, {"payment": {"to": "DE1", "amount": 5}}) == ("payment.to", "not-an-object", "an object")
    assert miss(PAY, {"payment": [good["payment"]]})[:2] == ("payment", "not-an-object")


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({}, "payment"),
        ({"payment": {"amount": 5}}, "payment.to"),
        ({"payment": {"amount": 5, "to": {}}}, "payment.to.iban"),
    ],
)
def test_a_member_that_is_constrained_must_be_present_at_every_level(arguments: Json, place: str) -> None:
    assert miss(PAY, arguments)[:2] == (place, "argument-missing")


def test_an_object_that_is_optional_is_absent_with_all_below_it_and_constrained_when_it_is_there() -> None:
    grant: Json = {**PAY, "optional": ["payment.to"]}
    assert isinstance(answer(grant, {"payment": {"amount": 5}}), Covered)
    assert miss(grant, {"payment": {"amount": 5, "to": {}}})[:2] == ("payment.to.iban", "argument-missing")
    assert miss(grant, {})[:2] == ("payment", "argument-missing")


def test_an_object_all_of_whose_members_are_optional_may_be_absent_and_a_list_may_not() -> None:
    grant: Json = {**PAY, "optional": ["payment.to.iban", "payment.amount"]}
    assert isinstance(answer(grant, {}), Covered)
    files: Json = {**FILES, "optional": ["files[*].mode", "files[*].path"]}
    assert miss(files, {}) == ("files", "argument-missing", "a list")


def test_the_world_is_closed_at_every_level() -> None:
    extra: Json = {"payment": {"to": {"iban": "DE1", "bic": "X"}, "amount": 5}}
    assert miss(PAY, extra) == ("payment.to.bic", "argument-unmentioned", "left out")
    extra = {"payment": {"to": {"iban": "DE1"}, "amount": 5, "Amount": 900}}
    assert miss(PAY, extra)[:2] == ("payment.Amount", "argument-unmentioned")
    assert isinstance(answer({**PAY, "others": "any"}, extra), Covered)


def test_a_member_that_nothing_mentions_may_hold_the_default_of_the_schema_at_its_own_place() -> None:
    about: Json = {"properties": {"bic": {"default": "X"}}}
    schema: Json = {"properties": {"payment": {"properties": {"to": about}}}}
    extra: Json = {"payment": {"to": {"iban": "DE1", "bic": "X"}, "amount": 5}}
    assert isinstance(answer(PAY, extra, schema), Covered)
    others: list[Json] = [{"properties": {"to": about}}, about, {"properties": {"payment": about}}]
    for elsewhere in others:
        assert miss(PAY, extra, elsewhere)[1] == "argument-unmentioned"
    other: Json = {"payment": {"to": {"iban": "DE1", "bic": "Y"}, "amount": 5}}
    assert miss(PAY, other, schema)[2] == 'left out, or its default `"X"`'


def test_a_path_with_a_rule_of_its_own_speaks_for_all_below_and_a_deeper_rule_holds_too() -> None:
    grant: Json = {"tool": "a__b", "arguments": {"payment": ANY, "payment.to.iban": {"prefix": "DE"}}}
    assert isinstance(answer(grant, {"payment": {"to": {"iban": "DE1", "x": 1}, "y": 2}}), Covered)
    assert miss(grant, {"payment": {"to": {"iban": "FR"}}})[1] == "wrong-prefix"
    assert miss(grant, {"payment": {}})[1] == "argument-missing"
    assert miss(grant, {"payment": {"to": {"iban": "DE1"}}, "z": 1})[:2] == ("z", "argument-unmentioned")
    both: Json = {
        "tool": "a__b",
        "arguments": {"p": {"one_of": [{"k": 1}, {"k": 2}]}, "p.k": {"range": {"min": 2}}},
    }
    assert isinstance(answer(both, {"p": {"k": 2}}), Covered)
    assert miss(both, {"p": {"k": 1}})[1] == "below-min"
    assert miss(both, {"p": {"k": 3}})[1] == "not-one-of"


def test_every_item_of_a_list_is_judged_and_the_first_that_misses_is_named() -> None:
    good: Json = {"path": "/repo/a", "mode": "r"}
    assert isinstance(answer(FILES, {"files": [good, {"path": "/repo"}]}), Covered)
    assert isinstance(answer(FILES, {"files": []}), Covered)
    bad: Json = {"path": "/etc/passwd"}
    assert miss(FILES, {"files": [good, bad, bad]})[:2] == ("files[1].path", "path-outside")
    assert miss(FILES, {"files": [good, "x"]})[:2] == ("files[1]", "not-an-object")
    assert miss(FILES, {"files": {"path": "/repo"}})[:2] == ("files", "not-a-list")
    assert miss(FILES, {"files": [{**good, "x": 1}]})[:2] == ("files[0].x", "argument-unmentioned")


def test_the_default_of_an_item_is_read_through_items_unless_the_schema_knows_items_by_their_place() -> None:
    item: Json = {"properties": {"x": {"default": 1}}}
    files: Json = {"type": "array", "items": item}
    call: Json = {"files": [{"path": "/repo", "x": 1}]}
    assert isinstance(answer(FILES, call, {"properties": {"files": files}}), Covered)
    placed: Json = {**files, "prefixItems": [{}]}
    assert isinstance(answer(FILES, call, {"properties": {"files": placed}}), NotCovered)
    assert isinstance(answer(FILES, call, {"properties": {"files": {"items": [item]}}}), NotCovered)


def test_a_list_in_a_list_is_judged_to_its_items() -> None:
    grant: Json = {"tool": "a__b", "arguments": {"rows[*][*]": {"range": {"max": 5}}}}
    assert isinstance(answer(grant, {"rows": [[1, 2], [], [3]]}), Covered)
    assert miss(grant, {"rows": [[1, 2], [3, 6]]})[:2] == ("rows[1][1]", "above-max")
    assert miss(grant, {"rows": [1]})[:2] == ("rows[0]", "not-a-list")


def test_a_total_counts_an_amount_deep_inside() -> None:
    total: Json = {"payment.amount": {"limit": 1000, "exponent": 2}}
    found = answer({**PAY, "total": total}, {"payment": {"to": {"iban": "DE"}, "amount": 5}})
    assert isinstance(found, Covered)
    (payer,) = found.payers
    assert payer.charges == (Charge(limit="g0/total/payment.amount", amount=500, exponent=2),)
    assert miss({**PAY, "total": total}, {"payment": {"to": {"iban": "DE"}, "amount": 0.001}})[:2] == (
        "payment.amount",
        "excess-precision",
    )


@pytest.mark.parametrize(
    ("members", "where"),
    [
        ({"total": {"payment": {"limit": 1, "exponent": 0}}}, "total.payment"),
        ({"total": {"rows[*]": {"limit": 1, "exponent": 0}}}, 'total["rows[*]"]'),
        ({"total": {"payment.amount": {"limit": 1, "exponent": 0}}, "optional": ["payment"]},
         'total["payment.amount"]'),
        ({"optional": ["rows[*]"]}, "optional[0]"),
        ({"optional": ["payment.other"]}, "optional[0]"),
        ({"optional": ["pay"]}, "optional[0]"),
    ],
)  # fmt: skip  # one case a line
def test_optional_and_total_speak_only_of_what_a_path_says(members: Json, where: str) -> None:
    arguments: Json = {"payment.amount": ANY, "rows[*]": ANY}
    assert refused(arguments=arguments, **members).where == f"grants[0].{where}"


def test_a_secret_inside_is_not_recited() -> None:
    grant: Json = {"tool": "a__b", "arguments": {"auth.password.value": {"equals": "swordfish"}}}
    found = answer(grant, {"auth": {"password": {"value": "letmein"}}})
    assert "swordfish" not in repr(found) + str(describe(parse_scope({"grants": [grant]})))
    assert "letmein" not in repr(found)


def test_the_words_say_that_there_may_be_no_item() -> None:
    (words,) = describe(parse_scope({"grants": [FILES]}))
    assert "with each `files[*].path` (there may be none) a path at or below" in words


def test_a_name_with_a_dot_is_not_taken_for_a_path() -> None:
    assert miss({"tool": "a__b"}, {"payment.to": 1})[0] == '"payment.to"'
