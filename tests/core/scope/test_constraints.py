from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest

from taskbound.core.scope import Covered, NotCovered, ScopeSyntaxError, cover, parse_scope
from taskbound.core.scope.constraints.choice import AnyValue, Equals
from taskbound.core.scope.constraints.constraint import (
    MAX_CONSTRAINT_DEPTH,
    Constraint,
    ReadConstraint,
    read_constraint,
)
from taskbound.core.scope.constraints.range import Range
from taskbound.core.scope.constraints.registry import CONSTRAINTS, close
from taskbound.core.scope.path import Place
from taskbound.core.scope.values import MET, Match, Mismatch, Verdict

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue

DOCUMENT: JsonValue = {"a": [1, "x", None], "b": {"c": True}}


def code_of(rule: JsonValue, value: JsonValue) -> str:
    match read_constraint(rule, Place(text="here"), CONSTRAINTS).permits(value):
        case Match():
            return "met"
        case Mismatch(code=code):
            return code


@pytest.mark.parametrize(
    ("rule", "value", "code"),
    [
        ({"any": True}, None, "met"),
        ({"any": True}, DOCUMENT, "met"),
        ({"equals": None}, None, "met"),
        ({"equals": None}, False, "not-equal"),
        ({"equals": None}, "", "not-equal"),
        ({"equals": ""}, None, "not-equal"),
        ({"equals": []}, {}, "not-equal"),
        ({"equals": ["a"]}, "a", "not-equal"),
        ({"equals": "a"}, ["a"], "not-equal"),
        ({"equals": "é"}, "e\u0301", "not-equal"),
        ({"equals": DOCUMENT}, {"b": {"c": True}, "a": [1.0, "x", None]}, "met"),
        ({"equals": DOCUMENT}, {"b": {"c": 1}, "a": [1, "x", None]}, "not-equal"),
        ({"equals": DOCUMENT}, {"b": {"c": True}, "a": [True, "x", None]}, "not-equal"),
        ({"equals": [2, "x"]}, ["x", 2], "not-equal"),
        ({"equals": [2, "x"]}, [2.0, "x"], "met"),
        ({"equals": {"a": 2}}, {"a": 2, "b": 3}, "not-equal"),
        ({"equals": True}, 1, "not-equal"),
        ({"equals": 1}, True, "not-equal"),
        ({"one_of": ["a", 2, None, [1]]}, "a", "met"),
        ({"one_of": ["a", 2, None, [1]]}, 2.0, "met"),
        ({"one_of": ["a", 2, None, [1]]}, None, "met"),
        ({"one_of": ["a", 2, None, [1]]}, [1.0], "met"),
        ({"one_of": ["a", 2, None, [1]]}, [True], "not-one-of"),
        ({"one_of": ["a", 2, None, [1]]}, "2", "not-one-of"),
        ({"one_of": ["a", 2, None, [1]]}, False, "not-one-of"),
        ({"one_of": [0, 1]}, True, "not-one-of"),
        ({"one_of": [True]}, 1, "not-one-of"),
        ({"range": {"min": 1}}, 1, "met"),
        ({"range": {"min": 1}}, 0.9999999999999999, "below-min"),
        ({"range": {"min": 1}}, 1e300, "met"),
        ({"range": {"max": 1}}, 1, "met"),
        ({"range": {"max": 1}}, 1.0000000000000002, "above-max"),
        ({"range": {"max": 1}}, -1e300, "met"),
        ({"range": {"min": 0, "max": 9007199254740991}}, 9007199254740991, "met"),
        ({"range": {"min": 0, "max": 9007199254740990}}, 9007199254740991, "above-max"),
        ({"range": {"min": 0, "max": 1e21}}, 1e21, "met"),
        ({"range": {"max": 0.3}}, 0.1 + 0.2, "above-max"),
        ({"range": {"min": 0}}, "1", "not-a-number"),
        ({"range": {"min": 0}}, True, "not-a-number"),
        ({"range": {"min": 0}}, None, "not-a-number"),
        ({"range": {"min": 0}}, [1], "not-a-number"),
        ({"range": {"min": 0}}, float("inf"), "not-a-number"),
        ({"range": {"max": 0}}, float("nan"), "not-a-number"),
        ({"prefix": "inv-"}, "inv-", "met"),
        ({"prefix": "inv-"}, "inv-17", "met"),
        ({"prefix": "inv-"}, "INV-17", "wrong-prefix"),
        ({"prefix": "inv-"}, "inv", "wrong-prefix"),
        ({"prefix": "inv-"}, " inv-17", "wrong-prefix"),
        ({"prefix": "1"}, 17, "not-text"),
        ({"prefix": "a"}, ["a"], "not-text"),
        ({"below": "/a"}, ["/a"], "not-text"),
        ({"below": "/a"}, None, "not-text"),
        ({"below": "/"}, "/etc/passwd", "met"),
        ({"below": "/"}, "/", "met"),
        ({"below": "/"}, "/..", "met"),
        ({"below": "/"}, "etc", "path-relative"),
        ({"below": "/\uff41"}, "/\uff41/x", "met"),
        ({"below": "/\uff41"}, "/a/x", "path-outside"),
        ({"below": "/é"}, "/e\u0301/x", "path-outside"),
    ],
)
def test_a_constraint_permits_exactly_its_values(rule: JsonValue, value: JsonValue, code: str) -> None:
    assert code_of(rule, value) == code


@pytest.mark.parametrize("verdict", [MET, Mismatch(code="x", reason="y")])
def test_a_verdict_of_a_constraint_has_no_truth_value(verdict: Verdict) -> None:
    with pytest.raises(TypeError, match="no truth value"):
        bool(verdict)


def test_nobody_can_add_to_the_registry_and_every_tag_is_named_in_the_reference() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "scope.md").read_text(encoding="utf-8")
    assert all(f'{{"{tag}": ' in page for tag in CONSTRAINTS)
    with pytest.raises(TypeError):
        CONSTRAINTS["all"] = AnyValue  # type: ignore[index]  # what must not work


def test_two_constraints_of_one_tag_are_refused() -> None:
    with pytest.raises(ValueError, match="`any`"):
        close(AnyValue, Equals, AnyValue)


def test_a_bound_that_is_no_number_makes_no_range() -> None:
    with pytest.raises(TypeError):
        Range(min=float("nan"), max=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neither(Constraint):
    """Not this one: what the next constraint may look like."""

    tag: ClassVar[str] = "neither"
    inner: Constraint

    @classmethod
    def parse(cls, body: JsonValue, place: Place, read: ReadConstraint) -> Neither:
        return cls(inner=read(body, place))

    def permits(self, value: JsonValue) -> Verdict:
        match self.inner.permits(value):
            case Match():
                return Mismatch(code="neither", reason="is what it must not be")
            case Mismatch():
                return MET

    def describe(self, name: str) -> str:
        return f"anything but {self.inner.describe(name)}"

    def value(self) -> JsonValue:
        return {self.inner.tag: self.inner.value()}


WIDER = close(*CONSTRAINTS.values(), Neither)


def nested(depth: int) -> JsonValue:
    rule: JsonValue = {"equals": 1}
    for _ in range(depth):
        rule = {"neither": rule}
    return {"grants": [{"tool": "a__b", "arguments": {"x": rule}}]}


def test_a_constraint_inside_of_another_is_read_written_and_obeyed() -> None:
    scope = parse_scope(nested(1), registry=WIDER)
    assert scope.value() == nested(1)
    assert isinstance(cover(scope, "a__b", {"x": 2}, None), Covered)
    missed = cover(scope, "a__b", {"x": 1}, None)
    assert isinstance(missed, NotCovered)
    assert missed.code == "neither"
    with pytest.raises(ScopeSyntaxError) as caught:
        parse_scope(
            {"grants": [{"tool": "a__b", "arguments": {"x": {"neither": {"range": {"min": "1"}}}}}]},
            registry=WIDER,
        )
    assert caught.value.where == "grants[0].arguments.x.neither.range.min"


def test_constraints_are_nested_at_most_eight_deep() -> None:
    parse_scope(nested(MAX_CONSTRAINT_DEPTH - 1), registry=WIDER)
    with pytest.raises(ScopeSyntaxError, match="inside more than 7 other constraints"):
        parse_scope(nested(MAX_CONSTRAINT_DEPTH), registry=WIDER)


def test_a_constraint_that_is_not_registered_is_not_known() -> None:
    with pytest.raises(ScopeSyntaxError, match="no constraint"):
        parse_scope(nested(1))
