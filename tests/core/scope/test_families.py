from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.scope import ScopeSyntaxError, parse_scope
from taskbound.core.scope.constraints.constraint import read_constraint
from taskbound.core.scope.constraints.date_time import read_instant, write_instant
from taskbound.core.scope.constraints.registry import CONSTRAINTS
from taskbound.core.scope.path import Place
from taskbound.core.scope.values import Match, Mismatch

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Constraint

Json = dict[str, "JsonValue"]
DAY: Json = {"date_time": {"min": "2026-02-01", "max": "2026-02-28"}}
HOUR: Json = {"date_time": {"min": "2026-11-24T19:00:00Z", "max": "2026-11-24T20:00:00Z"}}


def rule(written: JsonValue) -> Constraint:
    return read_constraint(written, Place(text="here"), CONSTRAINTS)


def code_of(written: JsonValue, value: JsonValue) -> str:
    match rule(written).permits(value):
        case Match():
            return "met"
        case Mismatch(code=code):
            return code


def fault_of(written: JsonValue) -> ScopeSyntaxError:
    with pytest.raises(ScopeSyntaxError) as caught:
        parse_scope({"grants": [{"tool": "a__b", "arguments": {"x": written}}]})
    return caught.value


@pytest.mark.parametrize(
    ("written", "value", "code"),
    [
        ({"not_one_of": ["delete", 1, None]}, "read", "met"),
        ({"not_one_of": ["delete", 1, None]}, "delete", "excluded-value"),
        ({"not_one_of": ["delete", 1, None]}, " DELETE\n", "excluded-value"),
        ({"not_one_of": ["delete", 1, None]}, "\uff44elete", "excluded-value"),
        ({"not_one_of": ["delete", 1, None]}, "de\u200blete", "excluded-value"),
        ({"not_one_of": ["delete", 1, None]}, "delete\ufe0f", "excluded-value"),
        ({"not_one_of": ["delete", 1, None]}, "del\x00ete", "excluded-value"),
        ({"not_one_of": ["delete", 1, None]}, "deletes", "met"),
        ({"not_one_of": ["stra\u00dfe"]}, "STRASSE", "excluded-value"),
        ({"not_one_of": ["\u212a"]}, "k", "excluded-value"),
        ({"not_one_of": ["delete", 1, None]}, 1.0, "excluded-value"),
        ({"not_one_of": ["delete", 1, None]}, True, "met"),
        ({"not_one_of": ["delete", 1, None]}, "1", "met"),
        ({"not_one_of": ["delete", 1, None]}, None, "excluded-value"),
        ({"not_one_of": ["delete", 1, None]}, ["delete"], "met"),
        ({"not_one_of": [True, [1]]}, [True], "met"),
        ({"not_one_of": [True, [1]]}, [1.0], "excluded-value"),
        ({"length": {"min": 2, "max": 3}}, "a", "too-short"),
        ({"length": {"min": 2, "max": 3}}, "abc", "met"),
        ({"length": {"min": 2, "max": 3}}, "abcd", "too-long"),
        ({"length": {"max": 1}}, "\U0001f600", "met"),
        ({"length": {"max": 1}}, "e\u0301", "too-long"),
        ({"length": {"min": 1}}, [], "too-short"),
        ({"length": {"min": 1}}, [None], "met"),
        ({"length": {"min": 1}}, {"a": 1}, "no-length"),
        ({"length": {"min": 1}}, 12, "no-length"),
        ({"each": {"prefix": "a"}}, [], "met"),
        ({"each": {"prefix": "a"}}, ["a", "ab"], "met"),
        ({"each": {"prefix": "a"}}, ["a", "b"], "wrong-prefix"),
        ({"each": {"prefix": "a"}}, "a", "not-a-list"),
        ({"each": {"each": {"equals": 1}}}, [[1], []], "met"),
        ({"each": {"each": {"equals": 1}}}, [[1], [2]], "not-equal"),
        ({"contains": {"equals": 1}}, [2, 1], "met"),
        ({"contains": {"equals": 1}}, [], "no-such-item"),
        ({"contains": {"equals": 1}}, [True], "no-such-item"),
        ({"contains": {"equals": 1}}, 1, "not-a-list"),
        ({"all_of": [{"prefix": "a"}, {"length": {"max": 2}}]}, "ab", "met"),
        ({"all_of": [{"prefix": "a"}, {"length": {"max": 2}}]}, "abc", "too-long"),
        ({"all_of": [{"prefix": "a"}, {"length": {"max": 2}}]}, "ba", "wrong-prefix"),
        ({"any_of": [{"prefix": "a"}, {"equals": 1}]}, 1, "met"),
        ({"any_of": [{"prefix": "a"}, {"equals": 1}]}, "a", "met"),
        ({"any_of": [{"prefix": "a"}, {"equals": 1}]}, "b", "none-met"),
        (DAY, "2026-02-01", "met"),
        (DAY, "2026-02-28", "met"),
        (DAY, "2026-01-31", "too-early"),
        (DAY, "2026-03-01", "too-late"),
        (DAY, "2026-02-29", "not-a-date"),
        (DAY, "2026-2-1", "not-a-date"),
        (DAY, "2026-02-01T00:00:00Z", "not-a-date"),
        (DAY, "20260201", "not-a-date"),
        (DAY, "2026-W06-1", "not-a-date"),
        (DAY, "\u0662026-02-01", "not-a-date"),
        (DAY, "2026-02-01\n", "not-a-date"),
        (DAY, 20260201, "not-a-date"),
        (HOUR, "2026-11-24T19:00:00Z", "met"),
        (HOUR, "2026-11-24T20:00:00.000000000Z", "met"),
        (HOUR, "2026-11-24T20:00:00.000000001Z", "too-late"),
        (HOUR, "2026-11-24T18:59:59.999999999Z", "too-early"),
        (HOUR, "2026-11-24T21:30:00+02:00", "met"),
        (HOUR, "2026-11-25T19:30:00+23:59", "met"),
        (HOUR, "2026-11-24T19:30:00-02:00", "too-late"),
        (HOUR, "2026-11-24T19:30:00+00:00", "met"),
        (HOUR, "2026-11-24T19:30:00-00:00", "not-a-date-time"),
        (HOUR, "2026-11-24T19:30:00", "not-a-date-time"),
        (HOUR, "2026-11-24t19:30:00z", "not-a-date-time"),
        (HOUR, "2026-11-24 19:30:00Z", "not-a-date-time"),
        (HOUR, "2026-11-24T19:30Z", "not-a-date-time"),
        (HOUR, "2026-11-24T19:59:60Z", "not-a-date-time"),
        (HOUR, "2026-11-24T24:00:00Z", "not-a-date-time"),
        (HOUR, "2026-11-24T19:30:00+24:00", "not-a-date-time"),
        (HOUR, "2026-11-24T19:30:00.Z", "not-a-date-time"),
        (HOUR, "2026-11-24T19:30:00.0000000001Z", "not-a-date-time"),
        (HOUR, "2026-11-24T19:30:00,5Z", "not-a-date-time"),
        (HOUR, "2026-11-31T19:30:00Z", "not-a-date-time"),
        (HOUR, "2026-11-24", "not-a-date-time"),
        (HOUR, "1764012600", "not-a-date-time"),
        (HOUR, None, "not-a-date-time"),
        ({"date_time": {"min": "0001-01-01T00:00:00Z"}}, "0001-01-01T00:00:00+00:01", "too-early"),
        ({"date_time": {"max": "9999-12-31T23:59:59Z"}}, "9999-12-31T23:59:59-00:01", "too-late"),
        ({"date_time": {"min": "0001-01-01"}}, "0000-01-01", "not-a-date"),
    ],
)  # fmt: skip  # one case a line
def test_a_constraint_of_each_family_permits_exactly_its_values(
    written: JsonValue, value: JsonValue, code: str
) -> None:
    assert code_of(written, value) == code


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ({"not_one_of": []}, "not_one_of"),
        ({"not_one_of": [1, 1.0]}, "not_one_of[1]"),
        ({"length": {}}, "length"),
        ({"length": {"min": 0}}, "length.min"),
        ({"length": {"max": -1}}, "length.max"),
        ({"length": {"min": 3, "max": 2}}, "length"),
        ({"length": 3}, "length"),
        ({"each": []}, "each"),
        ({"each": {"prefix": ""}}, "each.prefix"),
        ({"contains": {"one_of": []}}, "contains.one_of"),
        ({"all_of": [{"any": True}]}, "all_of"),
        ({"all_of": {}}, "all_of"),
        ({"all_of": [{"any": True}, {"range": {}}]}, "all_of[1].range"),
        ({"all_of": [{"prefix": "a"}, {"prefix": "b"}]}, "all_of"),
        ({"all_of": [{"equals": 1}, {"equals": 2}]}, "all_of"),
        ({"all_of": [{"range": {"min": 2}}, {"any_of": [{"equals": 1}, {"prefix": "2"}]}]}, "all_of"),
        ({"all_of": [{"each": {"equals": 1}}, {"contains": {"equals": 2}}]}, "all_of"),
        ({"any_of": []}, "any_of"),
        ({"any_of": [{"equals": 1}, {"equals": 1.0}]}, "any_of[1]"),
        ({"date_time": {}}, "date_time"),
        ({"date_time": {"min": 5}}, "date_time.min"),
        ({"date_time": {"min": "today"}}, "date_time.min"),
        ({"date_time": {"min": "2026-02-30"}}, "date_time.min"),
        ({"date_time": {"min": "2026-11-24T19:00:00"}}, "date_time.min"),
        ({"date_time": {"min": "2026-11-24", "max": "2026-11-24T19:00:00Z"}}, "date_time"),
        ({"date_time": {"min": "2026-11-24", "max": "2026-11-23"}}, "date_time"),
        ({"date_time": {"min": "0001-01-01T00:00:00+01:00"}}, "date_time.min"),
        ({"date_time": {"until": "2026-11-24"}}, "date_time.until"),
    ],
)
def test_what_is_written_wrong_is_refused_at_its_place(written: JsonValue, where: str) -> None:
    assert fault_of(written).where == f"grants[0].arguments.x.{where}"


def test_what_means_the_same_is_written_the_same() -> None:
    pairs: list[tuple[JsonValue, JsonValue]] = [
        ({"not_one_of": [2, "a"]}, {"not_one_of": ["a", 2.0]}),
        ({"all_of": [{"prefix": "a"}, {"length": {"max": 2}}]},
         {"all_of": [{"length": {"max": 2}}, {"prefix": "a"}]}),
        ({"any_of": [{"prefix": "b"}, {"prefix": "a"}]}, {"any_of": [{"prefix": "a"}, {"prefix": "b"}]}),
        ({"date_time": {"min": "2026-11-24T21:00:00.500+02:00"}},
         {"date_time": {"min": "2026-11-24T19:00:00.5Z"}}),
    ]  # fmt: skip  # one pair a line
    for one, other in pairs:
        assert rule(one).form() == rule(other).form()
        assert rule({rule(one).tag: rule(one).value()}) == rule(one)


def test_a_constraint_is_built_of_at_most_64() -> None:
    some: list[JsonValue] = [{"equals": index} for index in range(63)]
    rule({"any_of": some})
    assert "at most 64" in fault_of({"any_of": [*some, {"each": {"equals": 1}}]}).message
    assert "at most 64" in fault_of({"any_of": [*some, {"equals": 99}, {"equals": 98}]}).message


@pytest.mark.parametrize(
    ("path", "written"),
    [("x.y", {"prefix": "a"}), ("x[*]", {"range": {"min": 1}}), ("x.y", {"each": {"any": True}})],
)
def test_a_path_that_goes_on_where_its_constraint_permits_no_such_value_is_refused(
    path: str, written: JsonValue
) -> None:
    arguments: Json = {"x": written, path: {"any": True}}
    with pytest.raises(ScopeSyntaxError, match="permits nothing") as caught:
        parse_scope({"grants": [{"tool": "a__b", "arguments": arguments}]})
    assert caught.value.where == "grants[0].arguments.x"


def test_the_item_that_misses_is_told_by_its_number() -> None:
    verdict = rule({"each": {"prefix": "a"}}).permits(["a", "b"])
    assert isinstance(verdict, Mismatch)
    assert verdict.reason == "has an item, number 2, which doesn't begin as it must"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"not_one_of": ["rm"]}, 'anything but `"rm"`'),
        ({"length": {"max": 5}}, "a text or list of 0 to 5 characters or items"),
        ({"length": {"min": 5}}, "a text or list of at least 5 characters or items"),
        ({"length": {"min": 5, "max": 5}}, "a text or list of exactly 5 characters or items"),
        ({"each": {"equals": 1}}, "a list (it may be empty) whose items are each exactly `1`"),
        ({"contains": {"equals": 1}}, "a list with at least one item that is exactly `1`"),
        ({"any_of": [{"equals": 1}, {"equals": 2}]}, "one of these: exactly `1`, or exactly `2`"),
        ({"all_of": [{"range": {"min": 1}}, {"not_one_of": [5]}]},
         "all of these: anything but `5`, and a number of at least 1"),
        (DAY, "a date from 2026-02-01 up to 2026-02-28"),
        ({"date_time": {"max": "2026-11-24T19:00:00Z"}}, "a date and time up to 2026-11-24T19:00:00Z"),
    ],
)  # fmt: skip  # one case a line
def test_a_constraint_is_described_in_plain_words(written: JsonValue, words: str) -> None:
    assert rule(written).describe("x") == words


@given(st.datetimes(timezones=st.timezones()))
def test_an_instant_is_the_one_that_python_reads(at: datetime) -> None:
    text = at.isoformat()
    try:
        expected = at.astimezone(UTC)
    except OverflowError:
        return
    found = read_instant(text)
    if found is None:  # offsets with seconds are no RFC 3339
        assert at.utcoffset() is not None
        assert str(at.utcoffset()).rpartition(":")[2] != "00"
    else:
        assert datetime.fromisoformat(write_instant(found)) == expected
