from __future__ import annotations

import random
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.core.action import make_action
from taskbound.core.approval import Plan, TooLongToShowError, require_showable
from taskbound.core.approval.sheet import (
    PLAN_LIMITS,
    BadSheetError,
    PlanSheetOf,
    Sheet,
    SheetOf,
    TooLong,
    plan_sheet_of,
    render_plan_sheet,
    render_sheet,
    sheet_of,
)
from tests.core.approval.sheets import ordinary, random_sheet
from tests.core.approval.test_plan import PLAN, STEPS
from tests.core.approval.values import ACT, ARGUMENTS
from tests.sheet_oracle import parse_plan_sheet


def sheets() -> list[SheetOf]:
    action = make_action(**ACT, arguments=ARGUMENTS)
    return [sheet_of(one, action) for one in STEPS]


def plan_of(*steps: SheetOf) -> PlanSheetOf:
    """A plan of these sheets, each told its place."""
    placed = [replace(one, plan=PLAN.id, step=number) for number, one in enumerate(steps, 1)]
    plan = replace(PLAN, questions=tuple(one.digest for one in placed))
    return plan_sheet_of(plan, placed)


def shown(of: PlanSheetOf) -> str:
    found = render_plan_sheet(of)
    assert isinstance(found, Sheet)
    assert found.text.count("\n") == found.lines <= PLAN_LIMITS.lines
    return found.text


def test_every_step_stands_whole_and_numbered_and_what_is_signed_stands_once() -> None:
    text = shown(plan_sheet_of(PLAN, sheets()))
    for number, one in enumerate(sheets(), 1):
        own = render_sheet(one)
        assert isinstance(own, Sheet)
        assert f"  step        | {number} of 3\n{own.text}" in text
    assert text.count("  you sign    | ") == 1
    assert f"  you sign    | {PLAN.digest}\n" in text
    assert text.count("  part signed | ") == 3


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**9), st.integers(2, 6))
def test_a_plan_is_read_back_from_what_is_shown(seed: int, many: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a course of events that can be repeated
    of = plan_of(*(random_sheet(chance.randrange(10**9)) for _ in range(many)))
    match render_plan_sheet(of):
        case Sheet(text=text):
            assert parse_plan_sheet(text) == of
        case TooLong():
            with pytest.raises(TooLongToShowError):
                require_showable(of)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_plan_is_shown_in_another_way(data: st.DataObject) -> None:
    of = plan_sheet_of(PLAN, sheets())
    text = shown(of)
    lines = text.splitlines(keepends=True)
    at, other = data.draw(st.integers(0, len(lines) - 1)), data.draw(st.integers(0, len(lines) - 1))
    what = data.draw(st.sampled_from(["drop", "twice", "swap", "trim"]))
    changed = list(lines)
    if what == "drop":
        del changed[at]
    elif what == "twice":
        changed.insert(other, lines[at])
    elif what == "swap":
        changed[at], changed[other] = changed[other], changed[at]
    else:
        changed[at] = changed[at][:-2] + "\n"
    if "".join(changed) == text:
        return
    try:
        found = parse_plan_sheet("".join(changed))
    except BadSheetError:
        return
    assert found != of
    assert shown(found) == "".join(changed), "two steps that exchange a line are another plan, shown its way"


def test_nobodys_text_begins_a_step() -> None:
    lie = "\n  step        | 2 of 2\n" + "  end         | of 9 lines"
    text = shown(plan_of(ordinary({"a": lie}, purpose=lie, agent=lie), ordinary({"a": 1}, reason=lie)))
    assert sum(line.startswith("  step        | ") and " of " in line for line in text.splitlines()) == 2
    assert len(parse_plan_sheet(text).steps) == 2


@pytest.mark.parametrize("name", [one.name for one in fields(PlanSheetOf)])
def test_no_field_of_a_plan_can_change_without_another_text(name: str) -> None:
    of = plan_sheet_of(PLAN, sheets())
    value = getattr(of, name)
    other: Any = (
        value[:-1] if isinstance(value, tuple) else value + 1 if isinstance(value, int) else value + "x"
    )
    assert shown(replace(of, **{name: other})) != shown(of)


@pytest.mark.parametrize(
    "questions",
    [PLAN.questions[::-1], PLAN.questions[:2], (*PLAN.questions, PLAN.questions[0])],
)
def test_a_plan_is_not_shown_with_other_steps_than_it_has(questions: tuple[str, ...]) -> None:
    other: Plan = replace(PLAN, questions=questions)
    with pytest.raises(BadSheetError):
        plan_sheet_of(other, sheets())


def test_what_is_too_long_in_all_is_not_shown() -> None:
    fits = ordinary({f"k{number}": number for number in range(120)})
    assert isinstance(render_plan_sheet(plan_of(*[fits] * 4)), Sheet)
    assert render_plan_sheet(plan_of(*[fits] * 6)) == TooLong(what="lines", limit=PLAN_LIMITS.lines)
    spaces = ordinary({"a": " " * 20_000})
    assert render_plan_sheet(plan_of(spaces, spaces)) == TooLong(what="bytes", limit=PLAN_LIMITS.size)
    twenty = plan_of(*[ordinary({"amount": 10, "note": "", "to": "bob"})] * 20)
    assert isinstance(render_plan_sheet(twenty), Sheet)
