"""Builds sheets from the daemon's data, and narrower calls from held ones; the daemon judges them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final

from taskbound.core.action import Action, Frame, canonical, parse_document, parse_object
from taskbound.core.approval import (
    OPEN,
    AnswerKind,
    ApprovalOverError,
    Statement,
    UnreadableQuestionError,
    parse_question,
    render_statement,
    require_showable,
    require_signed_in,
    yes_of,
)
from taskbound.core.approval.sheet import PlanSheetOf, Sheet, render_plan_sheet, render_sheet, sheet_of
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.scope.path import Place, parse_argument_path
from taskbound.surfaces.cli.approval.signing import signed_answer
from taskbound.surfaces.cli.people.keys import own_key
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import shown
from taskbound.wire.action import Changed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.action import JsonValue
    from taskbound.core.approval import Plan, Question, Subject
    from taskbound.core.approval.amendment import AmendmentQuestion
    from taskbound.core.approval.sheet import SheetOf
    from taskbound.surfaces.cli.screen import Screen
    from taskbound.surfaces.cli.session import Session
    from taskbound.wire.approval import ApprovalDetail


_YES: Final = frozenset({AnswerKind.APPROVE, AnswerKind.CONFIRM})


class Asked:
    """What a person is asked about, with all digests computed here from what is shown."""

    subject: ClassVar[Subject]
    about: Question | Plan | AmendmentQuestion
    first: Question | None = None
    """The question that says who confirms, and which sign-in a yes needs; none for an amendment."""
    narrowed: str = ""
    """Digest of the narrower call."""

    def print(self, session: Session) -> None:
        """Print all that is signed."""
        raise NotImplementedError

    def statement(self, by: tuple[str, str], kind: AnswerKind, retries: int = 0) -> str:
        """Returns the statement that a person signs now; `by` is the person and the id of their key."""
        first = self.first if kind is AnswerKind.APPROVE else None
        said = Statement(
            kind=kind if first is None else yes_of(first, by[0]),
            namespace=self.about.namespace,
            question=self.about.id,
            digest=self.about.digest,
            person=by[0],
            key=by[1],
            at=Instant(time.time_ns() // 1000),
            subject=self.subject,
            narrowed=self.narrowed,
            retries=retries,
        )
        return render_statement(said).decode()

    def signed(
        self, session: Session, brought: tuple[str, str, str], kind: AnswerKind, retries: int = 0
    ) -> tuple[str, str]:
        """Returns a statement and its signature, which the person brought or makes now (`signed_answer`)."""
        kinds = _YES if kind is AnswerKind.APPROVE and self.first is not None else {kind}
        meant = (self.subject, self.about.id, self.about.digest, self.narrowed, retries)

        def is_meant(said: Statement) -> bool:
            named = (said.subject, said.question, said.digest, said.narrowed, said.retries)
            return said.kind in kinds and named == meant

        def write(key: str) -> str:
            if self.first is not None:  # before anybody signs what is refused
                require_signed_in(kind, self.first.steps, None, Instant(0))
            own = own_key(session, key)
            self.print(session)
            return self.statement((own.person, own.key), kind, retries)

        return signed_answer(session.screen, brought, is_meant=is_meant, write=write)


def print_sheet(screen: Screen, sheet: SheetOf | PlanSheetOf) -> None:
    """Print a sheet, with `--json` on standard error; raises if it can't be shown whole."""
    rendered = render_plan_sheet(sheet) if isinstance(sheet, PlanSheetOf) else render_sheet(sheet)
    if not isinstance(rendered, Sheet):
        require_showable(sheet)
        return
    for line in rendered.text.splitlines():
        screen.note(line, "") if screen.json else screen.line(line)


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
    sheet = sheet_of(
        question,
        action_from(found, question),
        server_identity=found.server_identity,
        attempt=found.attempt,
        last_outcome=found.last_outcome,
        policies=found.policies,
    )
    return replace(sheet, owner=found.owner, gives=found.gives)


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrower:
    """The arguments of the narrower call, and the differences."""

    arguments: bytes
    """Canonical."""
    changed: tuple[Changed, ...]


def narrower(held: bytes, values: Sequence[str]) -> Narrower:
    arguments = parse_object(held)
    changed: dict[str, Changed] = {}
    for said in values:
        name, sign, value = said.rpartition("=")
        if not sign or not name:
            raise BadInputError(f"`{shown(said)}` is not ARGUMENT=AMOUNT")
        path = parse_argument_path(name, Place(text="--set"))
        *above, last = path.steps
        inside: JsonValue = arguments
        for step in above:
            inside = inside.get(step) if isinstance(inside, dict) and isinstance(step, str) else None
        if not isinstance(inside, dict) or not isinstance(last, str) or last not in inside:
            raise BadInputError(f"the held action has no argument `{shown(name)}`")
        if path.text in changed:
            raise BadInputError(f"`{shown(name)}` is given twice")
        before = inside[last]
        inside[last] = _read(before, value, name)
        changed[path.text] = Changed(
            place=path.text, before=canonical(before).decode(), after=canonical(inside[last]).decode()
        )
    return Narrower(arguments=canonical(arguments), changed=tuple(changed.values()))


def _read(before: JsonValue, value: str, name: str) -> JsonValue:
    match before:
        case str():
            return value
        case bool() | None | dict() | list():
            raise BadInputError(f"`{shown(name)}` is no amount")
        case _:
            pass
    try:
        read = parse_document(value.encode())
    except (MalformedError, UnicodeEncodeError) as error:
        raise BadInputError(f"`{shown(value)}` is no number") from error
    if isinstance(read, bool) or not isinstance(read, int | float):
        raise BadInputError(f"`{shown(value)}` is no number")
    return read
