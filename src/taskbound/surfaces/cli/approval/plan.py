"""Shows and answers plans; their digests are computed here, from the same bytes that the approver sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.approval import Subject, UnreadablePlanError, parse_plan
from taskbound.core.approval.sheet import plan_sheet_of
from taskbound.surfaces.cli.approval.sheets import Asked, print_sheet, question_from, require_open, sheet_from
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.wire.approval import AnswerPlan, PlanDetail, PlanSaid, ShowPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.approval import AnswerKind, Plan, Question
    from taskbound.surfaces.cli.session import Session


_PREFIX: Final = "pln_"
_NOT_NARROWED: Final = "deny the plan, and have another proposed"


def is_plan(name: str) -> bool:
    return name.startswith(_PREFIX)


class AskedPlan(Asked):
    """A plan and its questions."""

    subject = Subject.PLAN
    about: Plan

    def __init__(self, session: Session, name: str, *, opened: bool = True) -> None:
        """Fetch the plan; raises ApprovalOverError if it must be open and is over."""
        self.found = session.ask(ShowPlan(plan=name), PlanDetail)
        if opened:
            require_open(name, self.found.state)
        self.about, self._questions = _read(self.found)
        self.first = self._questions[0]

    def print(self, session: Session) -> None:
        """Print every byte that would run, in order."""
        _print(session, self.found, self.about, self._questions)


def refuse_narrowing() -> None:
    raise BadInputError("a step of a plan can't be narrowed", remedy=_NOT_NARROWED)


def answer_plan(session: Session, name: str, brought: tuple[str, str, str], kind: AnswerKind) -> None:
    asked = AskedPlan(session, name)
    text, signed = asked.signed(session, brought, kind)
    said = session.show(AnswerPlan(statement=text, signature=signed), PlanSaid)
    found = asked.found
    if said.missing:
        session.screen.line(f"taken; {Words(said.missing)}")
    elif said.denied and len(said.denied) < len(found.steps) - found.used:
        rest = f"{_numbers(said.denied)}, and the rest is superseded"
        session.screen.line(f"{shown(said.plan)} is {shown(said.state)}: {rest}")
    else:
        session.screen.line(f"{shown(said.plan)} is {shown(said.state)}")


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


def _print(session: Session, found: PlanDetail, plan: Plan, questions: list[Question]) -> None:
    screen = session.screen
    steps = [sheet_from(one, question) for one, question in zip(found.steps, questions, strict=True)]
    print_sheet(screen, plan_sheet_of(plan, steps))
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
