from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from taskbound.core.action import Action, make_action, parse_object
from taskbound.core.approval import FIRST, First, Operand, ProbeKind, Question
from taskbound.core.approval.sheet import BadSheetError, Label, SheetNeed, SheetOf, sheet_of
from tests.core.approval.sheets import contents, shown
from tests.core.approval.values import ACT, ARGUMENTS, question
from tests.sheet_oracle import parse_sheet


def action(**changes: str) -> Action:
    return make_action(**(ACT | changes), arguments=ARGUMENTS)


def asked_by(sheet: SheetOf) -> Question:
    read: dict[str, Any] = {
        field.name: getattr(sheet, field.name, None) for field in fields(Question) if field.init
    }
    whole = read | {
        "id": sheet.question,
        "act": sheet.action_digest,
        "lifters": tuple(need.lifter for need in sheet.needs),
        "operands": tuple(
            Operand(place=one.place, kind=ProbeKind(one.kind), found=one.found) for one in sheet.operands
        ),
    }
    return Question(**whole)


def test_i32_the_digest_that_is_signed_is_that_of_what_the_screen_shows() -> None:
    asked = question(lifters=("approval:finance:2", "confirm"))
    sheet = parse_sheet(shown(sheet_of(asked, action())))
    assert asked_by(sheet) == asked
    assert asked_by(sheet).digest == sheet.digest == asked.digest


def test_i32_what_stands_of_a_retry_has_the_digest_that_was_signed_of_the_first() -> None:
    before = question()
    first = First(**{name: getattr(before, name) for name in FIRST})
    asked = replace(question(id="apr_r", action="act_r", nonce="other"), first=first, retry=2)
    sheet = parse_sheet(shown(sheet_of(asked, action())))
    assert asked_by(sheet) == asked
    assert asked_by(sheet).answered == before
    assert asked_by(sheet).answered.digest == before.digest != asked.digest


def test_i32_the_action_that_the_screen_shows_has_the_digest_that_will_run() -> None:
    sheet = parse_sheet(shown(sheet_of(question(), action())))
    named = {
        name: getattr(sheet, name) for name in ("namespace", "task", "agent", "tool", "server", "definition")
    }
    assert make_action(**named, arguments=parse_object(sheet.arguments)).digest == sheet.action_digest


def test_a_sheet_says_who_has_to_answer_and_how_many() -> None:
    asked = question(lifters=("approval:finance:2", "approval:agent", "confirm"))
    sheet = sheet_of(asked, action())
    assert sheet.needs == (
        SheetNeed(lifter="approval:finance:2", persons=2, who="finance"),
        SheetNeed(lifter="approval:agent", persons=1, who="agent"),
        SheetNeed(lifter="confirm", persons=1, who="rita"),
    )
    assert contents(sheet, Label.NEED)[0] == '1/3 2 of "finance" for "approval:finance:2"'


def test_a177_a_question_has_no_sheet_of_another_action() -> None:
    with pytest.raises(BadSheetError, match="another action"):
        sheet_of(question(), action(task="tsk_2"))
