"""Shows and answers plans; their digests are computed here, from the same bytes that the approver sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.approval import (
    AnswerKind,
    Subject,
    UnreadablePlanError,
    parse_plan,
    require_showable,
    require_signed_in,
    yes_of,
)
from taskbound.core.approval.sheet import Sheet, plan_sheet_of, render_plan_sheet
from taskbound.core.clock import Instant
from taskbound.surfaces.cli.approval.sheets import question_from, require_open, sheet_from
from taskbound.surfaces.cli.approval.signing import signed_answer, statement_of
from taskbound.surfaces.cli.people.keys import own_key
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.wire.approval import AnswerPlan, PlanDetail, PlanSaid, ShowPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.approval import Plan, Question, Statement
    from taskbound.core.approval.sheet import PlanSheetOf
    from taskbound.surfaces.cli.session import Session


_PREFIX: Final = "pln_"
_NOT_NARROWED: Final = "deny the plan, and have another proposed"
_YES: Final = frozenset({AnswerKind.APPROVE, AnswerKind.CONFIRM})


def is_plan(name: str) -> bool:
    return name.startswith(_PREFIX)


def show_plan(session: Session, name: str) -> None:
    """Show a plan as it is to be signed: every byte that would run, in order."""
    found = session.ask(ShowPlan(plan=name), PlanDetail)
    plan, questions = _read(found)
    if session.screen.json:
        session.screen.document(found)
        return
    _print(session, found, plan, questions)


def show_plan_to_sign(session: Session, name: str) -> tuple[Plan, list[Question]]:
    found = session.ask(ShowPlan(plan=name), PlanDetail)
    require_open(name, found.state)
    plan, questions = _read(found)
    _print(session, found, plan, questions)
    return plan, questions


def plan_statement(session: Session, name: str, by: tuple[str, str], kind: AnswerKind) -> str:
    if kind is AnswerKind.NARROW:
        raise BadInputError("a step of a plan can't be narrowed", remedy=_NOT_NARROWED)
    plan, questions = show_plan_to_sign(session, name)
    return _statement(plan, questions[0], by, kind)


def answer_plan(session: Session, name: str, brought: tuple[str, str, str], *, kind: AnswerKind) -> None:
    if kind is AnswerKind.NARROW:
        raise BadInputError("a step of a plan can't be narrowed", remedy=_NOT_NARROWED)
    found = session.ask(ShowPlan(plan=name), PlanDetail)
    require_open(name, found.state)
    plan, questions = _read(found)

    def is_meant(said_in: Statement) -> bool:
        kinds = _YES if kind is AnswerKind.APPROVE else {kind}
        same = (said_in.subject, said_in.question, said_in.digest) == (Subject.PLAN, plan.id, plan.digest)
        return said_in.kind in kinds and same

    def write(key: str) -> str:
        require_signed_in(kind, questions[0].steps, None, Instant(0))  # before anybody signs what is refused
        own = own_key(session, key)
        _print(session, found, plan, questions)
        return _statement(plan, questions[0], (own.person, own.key), kind)

    text, signed = signed_answer(session.screen, brought, is_meant=is_meant, write=write)
    said = session.show(AnswerPlan(statement=text, signature=signed), PlanSaid)
    if said.missing:
        session.screen.line(f"taken; {Words(said.missing)}")
    elif said.denied and len(said.denied) < len(found.steps) - found.used:
        rest = f"{_numbers(said.denied)}, and the rest is superseded"
        session.screen.line(f"{shown(said.plan)} is {shown(said.state)}: {rest}")
    else:
        session.screen.line(f"{shown(said.plan)} is {shown(said.state)}")


def _statement(plan: Plan, first: Question, by: tuple[str, str], kind: AnswerKind) -> str:
    said = yes_of(first, by[0]) if kind is AnswerKind.APPROVE else kind
    return statement_of(plan, by, said, subject=Subject.PLAN)


def _read(found: PlanDetail) -> tuple[Plan, list[Question]]:
    """Return the plan and its questions after this process computed all digests itself."""
    plan = parse_plan(found.canonical.encode())
    questions = [question_from(one) for one in found.steps]
    shown_so = tuple(one.digest for one in questions) == plan.questions and all(map(plan.has, questions))
    if (plan.id, plan.digest) != (found.plan, found.digest) or not shown_so:
        raise UnreadablePlanError(
            "what would be signed is not what is shown",
            remedy="sign nothing, and look who answers at the socket: `taskbound doctor`",
        )
    return plan, questions


def _sheet(found: PlanDetail, plan: Plan, questions: list[Question]) -> PlanSheetOf:
    steps = [sheet_from(one, question) for one, question in zip(found.steps, questions, strict=True)]
    return plan_sheet_of(plan, steps)


def _print(session: Session, found: PlanDetail, plan: Plan, questions: list[Question]) -> None:
    sheet, screen = _sheet(found, plan, questions), session.screen
    match render_plan_sheet(sheet):
        case Sheet(text=text):
            for line in text.splitlines():
                screen.note(line, "") if screen.json else screen.line(line)
        case _:
            require_showable(sheet)
    if screen.json:
        return
    screen.fields(
        [
            ("state", found.state),
            ("used", Words(f"{found.used} of {len(found.steps)} steps")),
            ("missing", Words(found.missing or "-")),
            ("may answer", found.may_answer),
            *([("may deny", found.may_deny)] if found.may_deny != found.may_answer else []),
            ("answers", tuple(map(Words, _answers(found)))),
            *([("reason", Words(found.reason))] if found.reason else []),
        ]
    )


def _answers(found: PlanDetail) -> list[str]:
    steps: dict[str, list[int]] = {}
    for one in found.steps:
        for said in one.answers:
            steps.setdefault(f"{said.kind} by {said.person}", []).append(one.row.step)
    every = len(found.steps)
    return [words if len(to) == every else f"{words} of {_numbers(to)}" for words, to in steps.items()]


def _numbers(steps: Sequence[int]) -> str:
    return f"step{'s' if len(steps) > 1 else ''} {', '.join(map(str, steps))}"
