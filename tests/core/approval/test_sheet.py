from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import fields, replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from taskbound.core.action import JsonValue, canonical
from taskbound.core.approval import First
from taskbound.core.approval.sheet import (
    SHEET_LIMITS,
    BadSheetError,
    Label,
    Sheet,
    SheetLimits,
    SheetNeed,
    SheetOf,
    SheetOperand,
    TooLong,
    render_sheet,
)
from taskbound.core.approval.sheet.lines import pieces
from taskbound.core.clock import BadInstantError, Instant
from taskbound.surfaces.cli.screen import moment
from tests.core.action.values import json_objects, tricky_text
from tests.core.approval.sheets import LABELS, contents, ordinary, random_sheet, require_whole, shown
from tests.sheet_oracle import parse_sheet, unquote

IN_CI = 2_000
"""Of the 1,000,000 of dev/soak."""
texts = st.text(max_size=80) | tricky_text


@given(arguments=json_objects, purpose=texts, reason=texts, agent=texts, place=texts)
@example({}, "", "", "", "")
@example({"": {"": ""}}, " ", "\n", "a  b", '"')
@example({"a": [[], {}, [[{"b": -0.5}]], 1e21, None, True]}, "=", "> ", "|", "\\")
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_i32_what_is_shown_is_read_back_as_the_same_action(
    arguments: dict[str, JsonValue], purpose: str, reason: str, agent: str, place: str
) -> None:
    operand = SheetOperand(kind="file", place=place, found=((place, reason), ("", "")))
    require_whole(
        ordinary(arguments, purpose=purpose, reason=reason, agent=agent, operands=(operand, operand))
    )


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_i32_two_thousand_random_actions_are_read_back_and_no_text_leaves_its_quotes() -> None:
    shown_at_all = sum(require_whole(random_sheet(seed)) for seed in range(IN_CI))
    assert shown_at_all > IN_CI * 0.9


def test_a194_an_instant_is_shown_alike_whatever_zone_the_reader_is_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of, zones, seen = ordinary(), set(), set()
    try:
        for zone in ("UTC0", "AAA-14", "BBB+12:30", ":nowhere"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            zones.add(time.localtime(0)[:5])
            seen.add((shown(of), moment(of.asked), moment(of.deadline)))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert len(zones) == 3, "readers see other clocks"
    [(sheet, *moments)] = seen
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one) for one in moments)
    assert all(one.removesuffix("Z") in sheet for one in moments)


@pytest.mark.parametrize("field", [field.name for field in fields(SheetOf)])
def test_a176_no_field_can_change_without_another_text(field: str) -> None:
    first = First(id="q", action="a", nonce="n", asked=Instant(0), deadline=Instant(1))
    of, other = ordinary({"a": 1}, retry=1, first=first), None  # type: tuple[SheetOf, object]
    match getattr(of, field):
        case bytes():
            other = canonical({"a": 2})
        case str(text):
            other = text + "\u200b"
        case int(number):
            other = number + 1
        case ():
            other = (SheetOperand(kind="file", place="/a", found=(("path", "b"),)),)
        case First() as first:
            other = replace(first, nonce="m")
        case (SheetNeed() as need,):
            other = (replace(need, persons=3),)
        case several:
            other = (*several, "another")
    changed = replace(of, **{field: other})  # type: ignore[arg-type]  # by name
    assert shown(changed) != shown(of)
    assert parse_sheet(shown(changed)) == changed


def test_a183_ten_is_shown_in_one_way_as_a_number_and_in_another_as_a_text() -> None:
    assert contents(ordinary({"limit": 10.0}), Label.ARGUMENT) == ['1/1 "limit" = number 10']
    assert contents(ordinary({"limit": "10"}), Label.ARGUMENT) == ['1/1 "limit" = text "10"']
    assert contents(ordinary({"limit": 0.1}), Label.ARGUMENT) == ['1/1 "limit" = number 0.1']
    assert contents(ordinary({"limit": 1e21}), Label.ARGUMENT) == ['1/1 "limit" = number 1e+21']


def test_a046_each_argument_has_its_own_line_and_says_which_of_how_many_it_is() -> None:
    arguments = {f"k{number:03}": number for number in range(200)}
    lines = contents(ordinary(arguments), Label.ARGUMENT)
    assert lines[137] == '138/200 "k137" = number 137'
    assert len(lines) == 200


def test_law6_what_has_too_many_lines_is_refused_and_not_cut() -> None:
    most = {f"k{number}": number for number in range(SHEET_LIMITS.lines)}
    found = render_sheet(ordinary(most))
    assert found == TooLong(what="lines", limit=SHEET_LIMITS.lines)


def test_law6_the_longest_sheet_has_exactly_as_many_lines_as_may_be_shown() -> None:
    def answer(count: int) -> str:
        match render_sheet(ordinary({f"k{number}": number for number in range(count)})):
            case Sheet(lines=lines):
                return f"{lines}"
            case TooLong(what=what):
                return what

    fixed = int(answer(0))
    assert answer(SHEET_LIMITS.lines - fixed) == f"{SHEET_LIMITS.lines}"
    assert answer(SHEET_LIMITS.lines - fixed + 1) == "lines"


def test_law6_a_repetition_that_makes_one_short_escape_counts_by_its_bytes() -> None:
    fits = {"a": " " * 10_000}
    assert 'text "\\u{20x10000}"' in shown(ordinary(fits))
    found = render_sheet(ordinary({"a": " " * SHEET_LIMITS.size}))
    assert found == TooLong(what="bytes", limit=SHEET_LIMITS.size)


def test_law6_words_beside_the_arguments_count_too() -> None:
    operand = SheetOperand(kind="file", place="/a", found=(("path", "x" * SHEET_LIMITS.size),))
    for change in ({"reason": "x" * SHEET_LIMITS.size}, {"operands": (operand,)}):
        assert render_sheet(ordinary({}, **change)) == TooLong(what="bytes", limit=SHEET_LIMITS.size)


def test_a_sheet_has_no_truth_value_either_way() -> None:
    for found in (render_sheet(ordinary()), render_sheet(ordinary({"a": " " * 40_000}))):
        with pytest.raises(TypeError):
            bool(found)


@pytest.mark.parametrize("raw", [b'{"b":1,"a":2}', b'{"a": 1}', b'{"a":1.0}', b'{"a":"\\u0041"}'])
def test_arguments_that_are_not_canonical_have_no_sheet(raw: bytes) -> None:
    with pytest.raises(BadSheetError, match="canonical"):
        render_sheet(replace(ordinary(), arguments=raw))


@pytest.mark.parametrize("change", [{"attempt": 0}, {"needs": (SheetNeed(lifter="a", persons=0, who="b"),)}])
def test_a_number_that_does_not_count_has_no_sheet(change: dict[str, object]) -> None:
    with pytest.raises(BadSheetError, match="no number"):
        render_sheet(ordinary({}, **change))


def test_i33_no_line_with_a_label_of_ours_comes_from_what_others_wrote() -> None:
    forged = "\n".join(shown(ordinary({"a": 1})).splitlines()[:12])
    honest, lying = ordinary({"a": "x"}), ordinary({"a": forged}, reason=forged, purpose=forged, agent=forged)

    def labels(of: SheetOf) -> list[str]:
        found = [line[2:14].strip() for line in shown(of).splitlines()]
        return [name for name in found if name not in {"", "beware", "note"}]

    assert labels(lying) == labels(honest)
    require_whole(lying)


def test_i33_no_gutter_stands_anywhere_in_a_line_even_if_a_narrow_screen_wraps_it() -> None:
    lie = "".join(f"  {label:<12}| " for label in sorted(LABELS))
    for line in shown(ordinary({lie: lie}, reason=lie)).splitlines():
        assert "  " not in line[16:]
        assert not re.search(r"  [a-z -]{12}[|>] ", line[3:])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\u0436\u0431", "\u0436\u0431"),
        ("\u0436\u0336\u0431", "\u0436\\u{336}\u0431"),
        ("\u0436\u02bc\u0431", "\u0436\\u{2BC}\u0431"),
        ("a\u01c1b", "a\\u{1C1}b"),
        ("\u05d0\u0627", "\\u{5D0}\\u{627}"),
        ("\u0e01\u0e49\u0e01", "\u0e01\u0e49\u0e01"),
        ("\u0e01" + "\u0e49" * 5, "\u0e01" + "\u0e49" * 3 + "\\u{E49x2}"),
        ("\u30ab\u30fc\u4e2d", "\u30ab\u30fc\u4e2d"),
        ("a b  c ", "a b\\u{20x2}c\\u{20}"),
        ("\u2019\u2013\u0663\U0001f600", "\\u{2019}\\u{2013}\\u{663}\\u{1F600}"),
    ],
)
def test_i32_only_letters_that_say_what_they_are_stand_as_themselves(text: str, expected: str) -> None:
    assert "".join(pieces(text)) == expected
    assert unquote(expected) == text


def test_a_repetition_that_is_longer_than_any_sheet_is_not_written_out() -> None:
    with pytest.raises(BadSheetError, match="longer"):
        unquote("\\u{7x9999999}" * 9)


TORN: dict[str, Callable[[str], str]] = {
    "the last line": lambda text: text[: text[:-1].rindex("\n") + 1],
    "the last line feed": lambda text: text[:-1],
    "an argument": lambda text: text.replace('  argument    | 2/2 "b" = number 2\n', ""),
    "a kind": lambda text: text.replace("number 2", 'text "2"'),
    "the spelling of a number": lambda text: text.replace("number 2", "number 2.0"),
    "a number that is none": lambda text: text.replace("number 2", "number true"),
    "a number beyond all": lambda text: text.replace("number 2", "number 1e999"),
    "a number of another writing": lambda text: text.replace("number 2", "number \u0662"),
    "a half pair": lambda text: text.replace("number 2", "number \ud800"),
    "a kind that is unknown": lambda text: text.replace("number 2", "money 2"),
    "no value": lambda text: text.replace(" = number 2", ""),
    "no key": lambda text: text.replace('"b" = number 2', "= number 2"),
    "a way": lambda text: text.replace('"b" =', '"b" [x] ='),
    "a place too far": lambda text: text.replace('"b" =', '"b" [1] ='),
    "a key twice": lambda text: text.replace('"b" =', '"a" ='),
    "a way through a number": lambda text: text.replace('"b" =', '"a" . "c" ='),
    "a way without end": lambda text: text.replace('"b" =', '"b"' + " [0]" * 65 + " ="),
    "the order": lambda text: re.sub(r"(.* 1/2 .*\n)(.* 2/2 .*\n)", r"\2\1", text),
    "a count": lambda text: text.replace("2/2", "2/3"),
    "a label": lambda text: text.replace("  agent       |", "  robot       |"),
    "a label twice": lambda text: text.replace("  agent ", "  task  ", 1),
    "a gutter": lambda text: text.replace("  agent       | ", "agent: "),
    "a line that goes on from nothing": lambda text: "              > " + text[16:],
    "a mark of going on with a label": lambda text: text.replace("  task        |", "  task        >"),
    "quotes": lambda text: text.replace('"pay-bot"', "pay-bot"),
    "an open quote": lambda text: text.replace('"pay-bot"', '"pay-bot'),
    "two names": lambda text: text.replace('"pay-bot"', '"pay-bot" x'),
    "an escape too many": lambda text: text.replace("pay-bot", "pay\\u{2D}bot"),
    "an escape that is none": lambda text: text.replace("pay-bot", "pay\\qbot"),
    "an escape beyond Unicode": lambda text: text.replace("pay-bot", "\\u{FFFFFF}"),
    "a repetition without end": lambda text: text.replace("pay-bot", "\\u{7x9999999}"),
    "a hidden character": lambda text: text.replace("pay-bot", "pay\u200b-bot"),
    "a carriage return": lambda text: text.replace("\n", "\r\n"),
    "a form": lambda text: text.replace("form 1,", "form 2,"),
    "an operand": lambda text: text.replace('"file" at', '"file" in'),
    "a finding": lambda text: text.replace('"path" =', '"path" is'),
    "the operand of a finding": lambda text: text.replace("found       | 1/1", "found       | 1/2"),
    "a need": lambda text: text.replace('2 of "finance" for', '2 of "finance" by'),
    "a beware": lambda text: text.replace("  beware ", "  note   "),
    "a time": lambda text: text.replace("2026-", "2o26-"),
    "a time to a day that is none": lambda text: text.replace("-11-", "-13-"),
    "a number of persons": lambda text: text.replace("2 of", "two of"),
    "a row of digits without end": lambda text: text.replace("2 of", "9" * 5000 + " of"),
    "all": lambda _: "",
    "more than any sheet has": lambda text: text * 400,
}


@pytest.mark.parametrize("what", TORN)
def test_a_sheet_that_is_not_as_it_was_shown_is_not_read(what: str) -> None:
    operand = SheetOperand(kind="file", place="/a", found=(("path", "b"),))
    of = ordinary({"a": 1, "b": 2}, operands=(operand,), reason="x\u200by")
    text = shown(of)
    assert parse_sheet(text) == of
    torn = TORN[what](text)
    assert torn != text
    with pytest.raises(BadSheetError):
        parse_sheet(torn)


@given(st.text(max_size=300) | tricky_text)
def test_any_text_is_a_sheet_or_one_named_error(text: str) -> None:
    with pytest.raises(BadSheetError):
        parse_sheet(text)


def test_a_time_that_can_not_be_written_is_an_error_and_no_sheet() -> None:
    with pytest.raises(BadInstantError):
        render_sheet(ordinary(deadline=Instant(10**30)))


def test_smaller_limits_can_be_asked_for() -> None:
    assert render_sheet(ordinary(), SheetLimits(lines=10)) == TooLong(what="lines", limit=10)
    text = shown(ordinary())
    with pytest.raises(BadSheetError):
        parse_sheet(text, SheetLimits(lines=10))
