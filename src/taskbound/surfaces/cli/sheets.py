"""Builds sheets from the daemon's data; every digest is computed here before it is signed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.action import Action, Frame
from taskbound.core.approval import OPEN, ApprovalOverError, UnreadableQuestionError, parse_question
from taskbound.core.approval.sheet import sheet_of
from taskbound.surfaces.cli.screen import shown

if TYPE_CHECKING:
    from taskbound.core.approval import Question
    from taskbound.core.approval.sheet import SheetOf
    from taskbound.wire.approval import ApprovalDetail


def question_from(found: ApprovalDetail) -> Question:
    """Return the question with its digest; raises UnreadableQuestionError if the daemon's data differ."""
    question = parse_question(found.question.encode())
    if question.digest != found.digest or action_from(found, question).digest != question.act:
        raise UnreadableQuestionError(
            "what would be signed is not what is shown",
            remedy="sign nothing, and look who answers at the socket: `taskbound doctor`",
        )
    return question


def require_open(name: str, state: str) -> None:
    """Raise ApprovalOverError if a question, plan or amendment can't be answered any more."""
    if state not in {one.value for one in OPEN}:
        raise ApprovalOverError(
            f"`{shown(name)}` is over: it is {shown(state)}",
            remedy=f"look at it with `taskbound approval show {shown(name)}`",
        )


def action_from(found: ApprovalDetail, question: Question, arguments: bytes = b"") -> Action:
    """Return the held action, or its tool with other arguments."""
    frame = Frame(
        namespace=question.namespace,
        task=question.task,
        agent=question.agent,
        tool=question.tool,
        server=found.server,
        definition=found.definition,
    )
    return Action(frame=frame, arguments=arguments or found.arguments.encode())


def sheet_from(found: ApprovalDetail, question: Question) -> SheetOf:
    """Return the sheet's contents from the daemon's data."""
    sheet = sheet_of(
        question,
        action_from(found, question),
        server_identity=found.server_identity,
        attempt=found.attempt,
        last_outcome=found.last_outcome,
        policies=found.policies,
    )
    return replace(sheet, owner=found.owner, gives=found.gives)
