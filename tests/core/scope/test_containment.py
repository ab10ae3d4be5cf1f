from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from taskbound.core.scope.constraints.constraint import (
    CONTAINED,
    EXCLUDED,
    NOT_EXCLUDED,
    Contained,
    Excluded,
    NotContained,
    read_constraint,
)
from taskbound.core.scope.constraints.registry import CONSTRAINTS
from taskbound.core.scope.path import Place
from taskbound.core.scope.values import Match
from tests.core.scope.strategies import constraints, values

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Constraint


def rule(written: JsonValue) -> Constraint:
    return read_constraint(written, Place(text="here"), CONSTRAINTS)


WITHIN: list[tuple[JsonValue, JsonValue]] = [
    ({"any": True}, {"any": True}),
    ({"equals": [1, {"a": None}]}, {"any": True}),
    ({"prefix": "a"}, {"any": True}),
    ({"equals": 1}, {"equals": 1.0}),
    ({"equals": 1}, {"one_of": [1, 2]}),
    ({"one_of": [1]}, {"equals": 1}),
    ({"one_of": [2, 1]}, {"one_of": [3, 1, 2]}),
    ({"one_of": [1, 50]}, {"range": {"min": 1, "max": 50}}),
    ({"equals": "/d/e"}, {"below": "/d"}),
    ({"equals": "inv-1"}, {"prefix": "inv"}),
    ({"range": {"min": 2, "max": 3}}, {"range": {"min": 1, "max": 3}}),
    ({"range": {"min": 2, "max": 3}}, {"range": {"max": 3}}),
    ({"range": {"min": 2}}, {"range": {"min": 2}}),
    ({"prefix": "inv-1"}, {"prefix": "inv-"}),
    ({"below": "/d/e"}, {"below": "/d"}),
    ({"below": "/d"}, {"below": "/"}),
    ({"range": {"min": 6}}, {"not_one_of": [5, None]}),
    ({"not_one_of": ["A", "b", 3]}, {"not_one_of": ["a"]}),
    ({"one_of": ["a", "b"]}, {"not_one_of": ["c"]}),
    ({"length": {"min": 2, "max": 3}}, {"length": {"max": 3}}),
    ({"prefix": "abc"}, {"length": {"min": 2}}),
    ({"each": {"equals": 1}}, {"each": {"range": {"min": 1}}}),
    ({"contains": {"equals": 1}}, {"contains": {"range": {"min": 1}}}),
    ({"equals": [1, 2]}, {"each": {"range": {"min": 1}}}),
    ({"all_of": [{"prefix": "a"}, {"length": {"max": 5}}]}, {"prefix": "a"}),
    (
        {"all_of": [{"prefix": "ab"}, {"length": {"max": 5}}]},
        {"all_of": [{"length": {"max": 6}}, {"prefix": "a"}]},
    ),
    ({"prefix": "ab"}, {"any_of": [{"equals": 1}, {"prefix": "a"}]}),
    ({"any_of": [{"equals": 1}, {"range": {"min": 2, "max": 3}}]}, {"range": {"min": 1, "max": 3}}),
    (
        {"any_of": [{"prefix": "a"}, {"equals": 1}]},
        {"any_of": [{"equals": 1}, {"prefix": "a"}, {"equals": 2}]},
    ),
    ({"date_time": {"min": "2026-02-02", "max": "2026-02-03"}}, {"date_time": {"min": "2026-02-01"}}),
    ({"glob": "src/*.py"}, {"glob": "src/**"}),
    ({"glob": "src/*.py"}, {"prefix": "src/"}),
    ({"glob": "src/a/*"}, {"glob": "src/*/*"}),
    ({"glob": "v[0-3].?"}, {"glob": "v[0-9].*"}),
    ({"equals": "src/a.py"}, {"glob": "src/*"}),
    ({"host": ["a.example.org"]}, {"host": ["*.example.org"]}),
    ({"host": ["*.b.example.org"]}, {"host": ["*.example.org", "x.example"]}),
    ({"host": {"ip": ["10.1.0.0/16"]}}, {"host": {"ip": ["10.0.0.0/8"]}}),
    ({"url": {"names": ["a.example"], "path": "/v1/x"}}, {"url": {"names": ["a.example"], "path": "/v1"}}),
    ({"url": {"names": ["a.example"]}}, {"url": {"names": ["a.example"], "ports": [443, 80]}}),
    ({"email": {"addresses": ["b@x.example"]}}, {"email": {"domains": ["x.example"]}}),
    ({"equals": "b@x.example"}, {"email": {"domains": ["x.example"]}}),
    ({"cidr": ["10.1.0.0/16", "10.2.0.0/16"]}, {"cidr": ["10.0.0.0/8"]}),
]  # fmt: skip  # one pair after another
NOT_WITHIN: list[tuple[JsonValue, JsonValue]] = [
    ({"any": True}, {"equals": 1}),
    ({"equals": 1}, {"equals": True}),
    ({"one_of": [1, 2]}, {"equals": 1}),
    ({"one_of": [1, 51]}, {"range": {"min": 1, "max": 50}}),
    ({"range": {"min": 2}}, {"range": {"min": 1, "max": 3}}),
    ({"range": {"max": 3}}, {"range": {"min": 1, "max": 3}}),
    ({"range": {"min": 1, "max": 1}}, {"prefix": "1"}),
    ({"prefix": "inv"}, {"prefix": "inv-"}),
    ({"prefix": "/d/"}, {"below": "/d"}),
    ({"below": "/d"}, {"prefix": "/d"}),
    ({"below": "/dd"}, {"below": "/d"}),
    ({"below": "/d"}, {"below": "/d/e"}),
    ({"range": {"min": 5}}, {"not_one_of": [5]}),
    ({"not_one_of": ["a"]}, {"not_one_of": ["a", "b"]}),
    ({"not_one_of": ["a"]}, {"not_one_of": ["b"]}),
    ({"prefix": "a"}, {"not_one_of": ["A"]}),
    ({"any": True}, {"not_one_of": [1]}),
    ({"length": {"min": 2}}, {"length": {"min": 2, "max": 9}}),
    ({"length": {"max": 2}}, {"length": {"min": 1}}),
    ({"prefix": "abc"}, {"length": {"min": 4}}),
    ({"prefix": "abc"}, {"length": {"min": 1, "max": 9}}),
    ({"each": {"range": {"min": 1}}}, {"each": {"equals": 1}}),
    ({"each": {"equals": 1}}, {"contains": {"equals": 1}}),
    ({"contains": {"equals": 1}}, {"each": {"equals": 1}}),
    ({"prefix": "a"}, {"all_of": [{"prefix": "a"}, {"length": {"max": 5}}]}),
    ({"any_of": [{"equals": 1}, {"range": {"min": 2}}]}, {"range": {"min": 1, "max": 3}}),
    ({"date_time": {"min": "2026-02-02"}}, {"date_time": {"min": "2026-02-01", "max": "2026-02-03"}}),
    ({"date_time": {"max": "2026-02-02"}}, {"date_time": {"min": "2026-02-01"}}),
    ({"date_time": {"min": "2026-02-02"}}, {"date_time": {"min": "2026-02-01T00:00:00Z"}}),
    ({"glob": "src/**"}, {"glob": "src/*"}),
    ({"glob": "src/*"}, {"glob": "src/?"}),
    ({"glob": "s*"}, {"prefix": "src"}),
    ({"glob": "[!a]"}, {"glob": "[b-z]"}),
    ({"glob": "/repo/**"}, {"below": "/repo"}),
    ({"host": ["*.example.org"]}, {"host": ["a.example.org"]}),
    ({"host": ["example.org"]}, {"host": ["*.example.org"]}),
    ({"host": ["*.xn--bcher-kva.example"]}, {"host": ["*.example"]}),
    ({"host": ["xn--bcher-kva.example"]}, {"host": ["*.example"]}),
    ({"host": {"ip": ["10.0.0.0/8"]}}, {"host": {"ip": ["10.1.0.0/16"]}}),
    ({"url": {"names": ["a.example"]}}, {"url": {"names": ["a.example"], "path": "/v1"}}),
    ({"url": {"names": ["a.example"], "path": "/v1x"}}, {"url": {"names": ["a.example"], "path": "/v1"}}),
    ({"url": {"names": ["a.example"], "schemes": ["http"]}}, {"url": {"names": ["a.example"]}}),
    ({"url": {"names": ["a.example"], "schemes": ["http", "https"]}},
     {"url": {"names": ["a.example"], "schemes": ["http", "https"], "ports": [80]}}),
    ({"email": {"domains": ["x.example"]}}, {"email": {"addresses": ["b@x.example"]}}),
    ({"cidr": ["10.0.0.0/8"]}, {"cidr": ["10.0.0.0/9", "10.128.0.0/9"]}),
]  # fmt: skip  # one pair after another
APART: list[tuple[JsonValue, JsonValue]] = [
    ({"equals": 1}, {"equals": True}),
    ({"equals": 1}, {"one_of": [2, "1"]}),
    ({"equals": 0}, {"range": {"min": 1}}),
    ({"range": {"max": 1}}, {"range": {"min": 1.5}}),
    ({"range": {"max": 1}}, {"prefix": "1"}),
    ({"prefix": "a"}, {"prefix": "b"}),
    ({"below": "/d"}, {"below": "/dd"}),
    ({"length": {"max": 1}}, {"length": {"min": 2}}),
    ({"length": {"max": 1}}, {"prefix": "ab"}),
    ({"each": {"equals": 1}}, {"contains": {"equals": 2}}),
    ({"not_one_of": [1]}, {"equals": 1}),
    ({"any_of": [{"equals": 1}, {"prefix": "a"}]}, {"any_of": [{"equals": 2}, {"prefix": "b"}]}),
    ({"all_of": [{"prefix": "a"}, {"length": {"min": 2}}]}, {"prefix": "b"}),
    ({"date_time": {"max": "2026-02-01"}}, {"date_time": {"min": "2026-02-02"}}),
    ({"date_time": {"max": "2026-02-01"}}, {"date_time": {"max": "2026-02-01T00:00:00Z"}}),
    ({"glob": "a/*"}, {"glob": "b/*"}),
    ({"glob": "a/*"}, {"prefix": "b"}),
    ({"host": ["a.example"]}, {"host": ["*.example.org"]}),
    ({"url": {"names": ["a.example"]}}, {"url": {"names": ["a.example"], "ports": [444]}}),
    ({"url": {"names": ["a.example"], "path": "/a"}}, {"url": {"names": ["a.example"], "path": "/b"}}),
    ({"email": {"addresses": ["b@x.example"]}}, {"email": {"domains": ["y.example"]}}),
    ({"cidr": ["10.0.0.0/9"]}, {"cidr": ["10.128.0.0/9", "::/0"]}),
]
NOT_APART: list[tuple[JsonValue, JsonValue]] = [
    ({"any": True}, {"equals": 1}),
    ({"equals": 1}, {"one_of": [1, 2]}),
    ({"range": {"max": 1}}, {"range": {"min": 1}}),
    ({"prefix": "a"}, {"prefix": "ab"}),
    ({"below": "/d"}, {"below": "/d/e"}),
    ({"below": "/d"}, {"prefix": "/"}),
    ({"each": {"equals": 1}}, {"each": {"equals": 2}}),
    ({"contains": {"equals": 1}}, {"contains": {"equals": 2}}),
    ({"length": {"max": 1}}, {"length": {"min": 1}}),
    ({"any_of": [{"equals": 1}, {"prefix": "a"}]}, {"prefix": "ab"}),
    ({"date_time": {"max": "2026-02-01"}}, {"date_time": {"min": "2026-02-01"}}),
    ({"glob": "a*"}, {"glob": "*b"}),
    ({"host": ["*.b.example"]}, {"host": ["*.example"]}),
    ({"url": {"names": ["a.example"], "path": "/a"}}, {"url": {"names": ["*.example"], "path": "/a/b"}}),
    ({"email": {"domains": ["x.example"]}}, {"email": {"addresses": ["b@x.example"]}}),
    ({"cidr": ["10.0.0.0/8"]}, {"cidr": ["10.128.0.0/9"]}),
]


@pytest.mark.parametrize(("one", "other"), WITHIN)
def test_what_permits_no_more_is_contained(one: JsonValue, other: JsonValue) -> None:
    assert rule(one).within(rule(other)) == CONTAINED


@pytest.mark.parametrize(("one", "other"), NOT_WITHIN)
def test_what_permits_more_or_can_not_be_compared_is_not_contained(one: JsonValue, other: JsonValue) -> None:
    match rule(one).within(rule(other)):
        case NotContained(reason=reason):
            assert reason
        case Contained():
            pytest.fail("contained")


@pytest.mark.parametrize(("one", "other"), APART)
def test_what_has_nothing_in_common_excludes_each_other(one: JsonValue, other: JsonValue) -> None:
    assert rule(one).excludes(rule(other)) == EXCLUDED
    assert rule(other).excludes(rule(one)) == EXCLUDED


@pytest.mark.parametrize(("one", "other"), NOT_APART)
def test_what_may_have_something_in_common_does_not_exclude_each_other(
    one: JsonValue, other: JsonValue
) -> None:
    assert rule(one).excludes(rule(other)) == NOT_EXCLUDED
    assert rule(other).excludes(rule(one)) == NOT_EXCLUDED


@pytest.mark.parametrize("answer", [CONTAINED, EXCLUDED, NOT_EXCLUDED, NotContained(reason="x")])
def test_an_answer_about_two_constraints_has_no_truth_value(answer: object) -> None:
    with pytest.raises(TypeError, match="no truth value"):
        bool(answer)


@given(constraints, constraints, values)
def test_what_is_contained_permits_nothing_that_the_other_refuses(
    one: JsonValue, other: JsonValue, value: JsonValue
) -> None:
    if isinstance(rule(one).within(rule(other)), Contained) and isinstance(rule(one).permits(value), Match):
        assert isinstance(rule(other).permits(value), Match)


@given(constraints, constraints, values)
def test_what_is_excluded_permits_no_value_that_the_other_permits(
    one: JsonValue, other: JsonValue, value: JsonValue
) -> None:
    if isinstance(rule(one).excludes(rule(other)), Excluded):
        assert not (
            isinstance(rule(one).permits(value), Match) and isinstance(rule(other).permits(value), Match)
        )
