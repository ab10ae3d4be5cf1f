from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from taskbound.core.action.canonical import canonical
from taskbound.core.errors import MalformedError
from taskbound.core.scope import ArgumentPath, Others, ScopeSyntaxError, initial_limits, parse_scope, tools_of

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue

GIT: dict[str, JsonValue] = {
    "tool": "git__git_log",
    "arguments": {"repo_path": {"below": "/home/u/repo"}, "max_count": {"range": {"min": 1, "max": 50}}},
    "optional": ["max_count"],
    "uses": 10,
}
PAY: dict[str, JsonValue] = {
    "tool": "pay__send",
    "arguments": {"amount": {"any": True}},
    "total": {"amount": {"limit": 100_000, "exponent": 2}},
}
ANY: dict[str, JsonValue] = {"any": True}


def place_of(grant: JsonValue) -> str:
    with pytest.raises(ScopeSyntaxError) as caught:
        parse_scope({"grants": [PAY, grant]})
    assert str(caught.value).startswith(f"`{caught.value.where}` ")
    return caught.value.where.removeprefix("grants[1]")


def grant_with(**members: JsonValue) -> JsonValue:
    return {**GIT, **members}


def arguments(rule: JsonValue) -> JsonValue:
    return {"tool": "a__b", "arguments": {"x": rule}}


def test_a_scope_is_read_from_bytes_and_from_a_value_alike() -> None:
    raw = b'{"grants": [{"tool": "a__b", "arguments": {"x": {"range": {"max": 5e1}}}, "uses": 10.0}]}'
    scope = parse_scope(raw)
    assert scope == parse_scope(
        {"grants": [{"uses": 10, "arguments": {"x": {"range": {"max": 50}}}, "tool": "a__b"}]}
    )
    assert scope.canonical == b'{"grants":[{"arguments":{"x":{"range":{"max":50}}},"tool":"a__b","uses":10}]}'
    assert scope.grants[0].uses == 10


def test_what_is_written_is_what_is_kept() -> None:
    scope = parse_scope({"grants": [GIT, PAY]})
    git, pay = scope.grants
    assert (git.id, git.tool, git.uses, git.others) == ("g0", "git__git_log", 10, Others.DEFAULT_ONLY)
    assert git.optional == {ArgumentPath(text="max_count", steps=("max_count",))}
    assert [(str(one.path), one.limit, one.exponent) for one in pay.totals] == [("amount", 100_000, 2)]
    assert initial_limits(scope) == {"g0/uses": 10, "g1/total/amount": 100_000}
    assert tools_of(scope) == {"git__git_log", "pay__send"}


def test_the_digest_is_of_kind_version_and_canonical_form() -> None:
    scope = parse_scope({"grants": [PAY]})
    assert (
        scope.digest
        == sha256(
            b'{"kind":"taskbound-scope","scope":{"grants":[{"arguments":{"amount":{"any":true}},"tool":"pay__send",'
            b'"total":{"amount":{"exponent":2,"limit":100000}}}]},"version":1}'
        ).hexdigest()
    )


def test_the_same_scope_written_otherwise_has_the_same_digest() -> None:
    scope = parse_scope({"grants": [PAY]})
    spelled: dict[str, JsonValue] = {"others": "default-only", "optional": [], **PAY}
    assert parse_scope({"grants": [spelled]}).digest == scope.digest
    assert parse_scope({"grants": [dict(reversed(spelled.items()))]}).digest == scope.digest
    bare = parse_scope({"grants": [{"tool": "a__b"}]})
    assert parse_scope({"grants": [{"tool": "a__b", "arguments": {}, "total": {}}]}).digest == bare.digest
    choices = parse_scope({"grants": [arguments({"one_of": [1, "b", True]})]})
    assert parse_scope({"grants": [arguments({"one_of": [True, 1.0, "b"]})]}).digest == choices.digest
    two: dict[str, JsonValue] = {"tool": "a__b", "arguments": {"x": ANY, "y": ANY}, "optional": ["x", "y"]}
    assert (
        parse_scope({"grants": [{**two, "optional": ["y", "x"]}]}).digest
        == parse_scope({"grants": [two]}).digest
    )


def test_what_is_default_is_left_out_of_the_canonical_form() -> None:
    spelled: JsonValue = {
        "tool": "a__b", "arguments": {}, "optional": [], "others": "default-only", "total": {},
    }  # fmt: skip  # one grant, on one line
    assert parse_scope({"grants": [spelled]}).canonical == b'{"grants":[{"tool":"a__b"}]}'


def test_another_scope_has_another_digest() -> None:
    one = parse_scope({"grants": [GIT, PAY]})
    others = [
        parse_scope({"grants": [PAY, GIT]}),
        parse_scope({"grants": [GIT]}),
        parse_scope({"grants": [grant_with(others="any"), PAY]}),
        parse_scope({"grants": [grant_with(optional=[]), PAY]}),
        parse_scope({"grants": [grant_with(uses=11), PAY]}),
        parse_scope({"grants": [GIT, {**PAY, "total": {"amount": {"limit": 100_000, "exponent": 3}}}]}),
    ]
    assert len({one.digest, *(other.digest for other in others)}) == 7
    assert all(one != other for other in others)


def test_a_scope_keeps_a_copy_of_its_own() -> None:
    inner: list[JsonValue] = [1]
    written: JsonValue = {"grants": [arguments({"equals": inner})]}
    scope = parse_scope(written)
    inner.append(2)
    assert scope == parse_scope({"grants": [arguments({"equals": [1]})]})
    given = scope.value()
    assert isinstance(given, dict)
    given.clear()
    assert scope.value() == {"grants": [arguments({"equals": [1]})]}
    assert hash(scope) == hash(parse_scope(scope.value()))


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b"", ""),
        (b"null", ""),
        (b'"grants"', ""),
        (b"[]", ""),
        (b"{}", "grants"),
        (b'{"grants": {}}', "grants"),
        (b'{"grants": []}', "grants"),
        (b'{"grants": [{"tool": "a__b"}], "version": 1}', "version"),
        (b'{"grants": [{"tool": "a__b"}], "grants": []}', ""),
        (b'{"grants": [null]}', "grants[0]"),
        (b'{"grants": [{"tool": "a__b", "arguments": {"x": {"equals": NaN}}}]}', ""),
        (b'{"grants": [{"tool": "a__b"}]} {}', ""),
    ],
)
def test_a_document_that_is_no_scope_is_refused_at_its_place(raw: bytes, where: str) -> None:
    with pytest.raises(ScopeSyntaxError) as caught:
        parse_scope(raw)
    assert where in {caught.value.where, ""}
    assert caught.value.code == "scope-syntax"


def test_the_scope_itself_is_named_in_words() -> None:
    with pytest.raises(ScopeSyntaxError) as caught:
        parse_scope([])
    assert caught.value.message == "the scope must be an object, not a list"


def test_a_value_that_json_can_t_say_is_refused_as_a_scope_error() -> None:
    with pytest.raises(ScopeSyntaxError, match="the scope can't be read"):
        parse_scope({"grants": [arguments({"equals": float("nan")})]})
    deep: JsonValue = 1
    for _ in range(100):
        deep = [deep]
    with pytest.raises(ScopeSyntaxError, match="the scope can't be read"):
        parse_scope({"grants": [arguments({"equals": deep})]})


@pytest.mark.parametrize(
    ("grant", "where"),
    [
        ({"arguments": {}}, ".tool"),
        (grant_with(tool=1), ".tool"),
        (grant_with(tool=""), ".tool"),
        (grant_with(tool="git_log"), ".tool"),
        (grant_with(tool="git__git_log\n"), ".tool"),
        (grant_with(tool="Git__git_log"), ".tool"),
        (grant_with(tool="git__g\u0456t_log"), ".tool"),
        (grant_with(tool="git__*"), ".tool"),
        (grant_with(tool="git__" + "x" * 124), ".tool"),
        (grant_with(use=1), ".use"),
        (grant_with(**{"bad name`": 1}), '["bad name\\u{60}"]'),
        (grant_with(arguments=[]), ".arguments"),
        (grant_with(arguments={"": ANY}), '.arguments[""]'),
        (grant_with(arguments={"a[0]": ANY}), '.arguments["a[0]"]'),
        (grant_with(arguments={"*": ANY}), '.arguments["*"]'),
        (grant_with(arguments={"/a": ANY}), '.arguments["/a"]'),
        (grant_with(arguments={"a\x00": ANY}), '.arguments["a\\u{0}"]'),
        (grant_with(arguments={"x": 5}), ".arguments.x"),
        (grant_with(arguments={"x": {}}), ".arguments.x"),
        (grant_with(arguments={"x": {"any": True, "equals": 1}}), ".arguments.x"),
        (grant_with(arguments={"x": {"matches": "a*"}}), ".arguments.x"),
        (grant_with(optional={}), ".optional"),
        (grant_with(optional=[1]), ".optional[0]"),
        (grant_with(optional=[""]), ".optional[0]"),
        (grant_with(optional=["max_count", "other"]), ".optional[1]"),
        (grant_with(optional=["max_count", "max_count"]), ".optional[1]"),
        (grant_with(others="all"), ".others"),
        (grant_with(others=None), ".others"),
        (grant_with(others=True), ".others"),
        (grant_with(uses=0), ".uses"),
        (grant_with(uses=-1), ".uses"),
        (grant_with(uses=True), ".uses"),
        (grant_with(uses="10"), ".uses"),
        (grant_with(uses=1.5), ".uses"),
        (grant_with(uses=None), ".uses"),
        (grant_with(total=[]), ".total"),
        (grant_with(total={"amount": {"limit": 1, "exponent": 0}}), ".total.amount"),
        (grant_with(total={"max_count": {"limit": 1, "exponent": 0}}), ".total.max_count"),
        (grant_with(total={"repo_path": 5}), ".total.repo_path"),
        (grant_with(total={"repo_path": {"limit": 1}}), ".total.repo_path.exponent"),
        (grant_with(total={"repo_path": {"exponent": 1}}), ".total.repo_path.limit"),
        (grant_with(total={"repo_path": {"limit": 1, "exponent": 0, "per": "day"}}), ".total.repo_path.per"),
        (grant_with(total={"repo_path": {"limit": 0, "exponent": 0}}), ".total.repo_path.limit"),
        (grant_with(total={"repo_path": {"limit": 1.5, "exponent": 0}}), ".total.repo_path.limit"),
        (grant_with(total={"repo_path": {"limit": 1, "exponent": -1}}), ".total.repo_path.exponent"),
        (grant_with(total={"repo_path": {"limit": 1, "exponent": 10}}), ".total.repo_path.exponent"),
        (arguments({"any": 1}), ".arguments.x.any"),
        (arguments({"any": False}), ".arguments.x.any"),
        (arguments({"one_of": []}), ".arguments.x.one_of"),
        (arguments({"one_of": "ab"}), ".arguments.x.one_of"),
        (arguments({"one_of": [1, 2, 1.0]}), ".arguments.x.one_of[2]"),
        (arguments({"range": {}}), ".arguments.x.range"),
        (arguments({"range": [1, 5]}), ".arguments.x.range"),
        (arguments({"range": {"min": "1"}}), ".arguments.x.range.min"),
        (arguments({"range": {"min": True}}), ".arguments.x.range.min"),
        (arguments({"range": {"max": None}}), ".arguments.x.range.max"),
        (arguments({"range": {"from": 1}}), ".arguments.x.range.from"),
        (arguments({"range": {"min": 0.3, "max": 0.2}}), ".arguments.x.range"),
        (arguments({"prefix": ""}), ".arguments.x.prefix"),
        (arguments({"prefix": 1}), ".arguments.x.prefix"),
        (arguments({"below": ""}), ".arguments.x.below"),
        (arguments({"below": None}), ".arguments.x.below"),
        (arguments({"below": "repo"}), ".arguments.x.below"),
        (arguments({"below": "~/repo"}), ".arguments.x.below"),
        (arguments({"below": "/repo/"}), ".arguments.x.below"),
        (arguments({"below": "/repo/../etc"}), ".arguments.x.below"),
        (arguments({"below": "/repo//a"}), ".arguments.x.below"),
        (arguments({"below": "/repo\x00"}), ".arguments.x.below"),
    ],
)
def test_a_grant_that_is_wrong_is_refused_at_its_place(grant: JsonValue, where: str) -> None:
    assert place_of(grant) == where


def test_a_name_of_an_argument_has_at_most_256_characters() -> None:
    parse_scope({"grants": [{"tool": "a__b", "arguments": {"x" * 256: ANY}}]})
    with pytest.raises(ScopeSyntaxError, match="longer than 256"):
        parse_scope({"grants": [{"tool": "a__b", "arguments": {"x" * 257: ANY}}]})


def test_a_limit_beyond_what_a_number_can_say_exactly_is_refused() -> None:
    assert parse_scope({"grants": [grant_with(uses=2**53 - 1)]}).grants[0].uses == 2**53 - 1
    for uses in (2**53, 2**63, 2**64):
        with pytest.raises(ScopeSyntaxError):
            parse_scope({"grants": [grant_with(uses=uses)]})


def test_two_grants_that_cover_the_same_calls_are_refused_whatever_their_limits() -> None:
    assert place_of({**PAY, "total": {"amount": {"limit": 5, "exponent": 0}}}) == ""
    assert place_of({**PAY, "uses": 5}) == ""
    parse_scope({"grants": [PAY, {**PAY, "others": "any"}]})


def test_a_scope_has_at_most_1000_grants() -> None:
    many: list[JsonValue] = [{"tool": f"a__t{index}"} for index in range(1001)]
    assert len(parse_scope({"grants": many[:1000]}).grants) == 1000
    with pytest.raises(ScopeSyntaxError, match="at most 1000") as caught:
        parse_scope({"grants": many})
    assert caught.value.where == "grants"


def test_a_grant_constrains_at_most_256_arguments_and_a_choice_has_at_most_1000_values() -> None:
    names: dict[str, JsonValue] = {f"a{index}": ANY for index in range(257)}
    with pytest.raises(ScopeSyntaxError, match="at most 256"):
        parse_scope({"grants": [{"tool": "a__b", "arguments": names}]})
    del names["a0"]
    parse_scope({"grants": [{"tool": "a__b", "arguments": names}]})
    parse_scope({"grants": [arguments({"one_of": list(range(1000))})]})
    with pytest.raises(ScopeSyntaxError, match="at most 1000"):
        parse_scope({"grants": [arguments({"one_of": list(range(1001))})]})


def test_a_scope_of_more_than_a_mebibyte_is_refused() -> None:
    with pytest.raises(ScopeSyntaxError, match="the scope can't be read"):
        parse_scope({"grants": [arguments({"equals": "x" * 1_048_576})]})


def test_a_scope_error_is_a_fault_of_the_input() -> None:
    assert issubclass(ScopeSyntaxError, MalformedError)
    assert "docs/reference/scope.md" in ScopeSyntaxError.remedy


def test_the_canonical_form_is_canonical_json() -> None:
    scope = parse_scope({"grants": [GIT, PAY]})
    assert scope.canonical == canonical(scope.value())
