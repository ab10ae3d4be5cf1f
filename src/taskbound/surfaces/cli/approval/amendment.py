"""Widening amendments in the terminal; digest and scope difference are computed here from the same bytes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from taskbound.core.action import parse_document
from taskbound.core.approval import Subject, UnreadableQuestionError
from taskbound.core.approval.amendment import parse_amendment
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.scope import describe, parse_scope, scope_ahead
from taskbound.core.scope.algebra import Direction, difference
from taskbound.core.task.amendment import step_kept
from taskbound.surfaces.cli.approval.sheets import Asked, require_open
from taskbound.surfaces.cli.naming import whole_task
from taskbound.surfaces.cli.reading import BadInputError, parse_seconds, read_scope
from taskbound.surfaces.cli.scope.commands import show_difference
from taskbound.surfaces.cli.screen import Screen, Words, moment, shown
from taskbound.surfaces.cli.session import Session, command, option
from taskbound.surfaces.cli.task import TaskArgument, app, show_task
from taskbound.wire.action import AmendmentDetail, AskAmendment, ShowAmendment
from taskbound.wire.approval import AnswerApproval, ApprovalSaid
from taskbound.wire.task import AmendTask, ShowTask, TaskDetail

if TYPE_CHECKING:
    from taskbound.core.approval import AnswerKind
    from taskbound.core.approval.amendment import AmendmentQuestion
    from taskbound.core.scope import Scope
    from taskbound.wire.action import AmendmentRow


_PREFIX = "amd_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """An amendment that a person requests."""

    ask: AskAmendment
    agent: str
    direction: Direction


@command(
    app,
    "amend",
    asks=True,
    examples="taskbound task amend tsk_… --scope less.yaml\n"
    "taskbound task amend tsk_… --scope more.yaml --reason 'there are more invoices'",
)
def amend(
    session: Session,
    task: TaskArgument,
    *,
    scope: Annotated[str, option("--scope FILE", "The scope that it is to have; `-` reads it.")],
    reason: Annotated[
        str, option("--reason", "Why it needs more; those who approve for its agent are asked.")
    ] = "",
    wait: Annotated[str, option("--for TIME", "How long they may answer, at most 8h.")] = "1h",
) -> None:
    """Give a task another scope; uses and totals so far stay counted.

    A narrower scope takes effect at once, for child tasks too. A wider one needs `--reason` and the
    signatures of enough approvers of the agent.
    """
    task = whole_task(session, task)
    new, raw = read_scope(scope)
    before = session.ask(ShowTask(task=task), TaskDetail)
    old = parse_scope(parse_document(bytes(before.scope)))
    change = difference(old, new)
    show_difference(session.screen, change)
    if reason or change.direction in {Direction.WIDER, Direction.OTHER}:
        seconds = parse_seconds(wait)
        ask = AskAmendment(task=task, scope=raw, reason=reason, seconds=seconds, seen=before.digest)
        ask_amendment(session, Asking(ask=ask, agent=before.row.agent, direction=change.direction))
        return
    session.confirm(f"Give {shown(task)} this scope? Nothing of it can be given back.")
    found = session.show(AmendTask(task=task, scope=raw, seen=before.digest), TaskDetail)
    show_task(session.screen, found)


def is_amendment(name: str) -> bool:
    return name.startswith(_PREFIX)


def refuse_amendment(name: str) -> None:
    if is_amendment(name):
        raise BadInputError(
            f"`{shown(name)}` is an amendment of a task",
            remedy=f"answer it with `taskbound approval sign {shown(name)} --key FILE`, or with"
            f" `taskbound approval deny {shown(name)} --key FILE`",
        )


def ask_amendment(session: Session, wanted: Asking) -> None:
    ask = wanted.ask
    if not ask.reason:
        raise BadInputError(
            "the task would be given more than it has, which people have to approve",
            remedy="say why with `--reason`; or narrow it at once, with a scope that adds nothing",
        )
    if wanted.direction is Direction.OTHER:
        session.screen.note(
            "Nothing of it happens before it is approved. To narrow at once, give a scope that adds nothing."
        )
    session.confirm(f"Ask those who approve for {shown(wanted.agent)} to give {shown(ask.task)} this scope?")
    found = session.ask(ask, AmendmentDetail)
    question, _ = read_amendment(found)
    session.screen.report(found)
    screen = session.screen
    screen.heading(shown(question.id))
    screen.fields(
        [
            ("state", found.row.state),
            ("missing", Words(found.row.missing or "-")),
            ("may answer", found.may_answer),
            ("until", moment(question.deadline)),
            ("digest", question.digest),
        ]
    )
    screen.hint(f"next: an approver runs `taskbound approval sign {shown(question.id)} --key FILE`")


class AskedAmendment(Asked):
    """An amendment, and the task's current scope unless that is another one by now."""

    subject = Subject.AMENDMENT
    about: AmendmentQuestion

    def __init__(self, session: Session, name: str, *, opened: bool = True) -> None:
        """Fetch the amendment; raises ApprovalOverError if it must be open and is over."""
        self.found = session.ask(ShowAmendment(amendment=name), AmendmentDetail)
        if opened:
            require_open(name, self.found.row.state)
        self.about, self._before = read_amendment(self.found)

    def print(self, session: Session) -> None:
        """Print it as it is to be signed; raises if what it adds can't be shown."""
        require_difference(self._before)
        self.show(Screen(json=False, out=sys.stderr) if session.screen.json else session.screen)

    def show(self, screen: Screen) -> None:
        """Print it, to be looked at."""
        _print(screen, self.found, self.about, self._before)


def answer_amendment(session: Session, name: str, brought: tuple[str, str, str], kind: AnswerKind) -> None:
    text, signed = AskedAmendment(session, name).signed(session, brought, kind)
    said = session.show(AnswerApproval(statement=text, signature=signed), ApprovalSaid)
    state = f"{shown(said.approval)} is {shown(said.state)}"
    session.screen.line(f"{state}: {Words(said.missing)}" if said.missing else state)


def amendment_columns(one: AmendmentRow) -> tuple[str, ...]:
    missing = one.missing or one.reason or "-"
    return (one.amendment, moment(one.asked), one.state, f"amend {one.task}", one.agent, one.asker, missing)


def read_amendment(found: AmendmentDetail) -> tuple[AmendmentQuestion, Scope | None]:
    """Return the question and the task's current scope after this process computed both digests itself."""
    try:
        question = parse_amendment(found.question.encode())
        before = parse_scope(parse_document(found.before.encode())) if found.before else None
    except MalformedError as error:
        raise UnreadableQuestionError(f"the amendment can't be read: {error.message}") from error
    row = found.row
    told = (row.amendment, row.task, row.agent, row.requester, row.asker, row.why, found.digest)
    asked = (
        question.id,
        question.task,
        question.agent,
        question.requester,
        question.asker,
        question.reason,
        question.digest,
    )
    other = before is not None and (
        before.digest != question.before or not 0 <= question.step < max(1, len(before.steps))
    )
    if told != asked or other:
        raise UnreadableQuestionError(
            "what would be signed is not what is shown",
            remedy="sign nothing, and look who answers at the socket: `taskbound doctor`",
        )
    return question, before


def require_difference(before: Scope | None) -> None:
    """Refuse an amendment without a current scope: the person could not see what it adds."""
    if before is None:
        raise UnreadableQuestionError(
            "the task has another scope than the amendment is about, or it is kept back",
            remedy="sign nothing, and look at it again with `taskbound approval show`",
        )


def _print(screen: Screen, found: AmendmentDetail, question: AmendmentQuestion, before: Scope | None) -> None:
    row = found.row
    screen.heading(f"To give task {shown(question.task)} another scope")
    screen.fields(
        [
            ("amendment", question.id),
            ("agent", question.agent),
            ("requester", question.requester),
            ("asked for by", question.asker),
            ("purpose of the task", question.purpose),
            ("why", question.reason),
            ("asked", moment(question.asked)),
            ("until", moment(question.deadline)),
            ("policies", question.bundle),
            ("lifted by", question.lifters),
        ]
    )
    if before is None:
        screen.line("The task has another scope by now: the difference is not shown.")
    else:
        step = step_kept(before, question.after, question.step)
        screen.fields([("step", f"{_step(before, question.step)}; then {_step(question.after, step)}")])
        ahead = scope_ahead(before, question.step), scope_ahead(question.after, step)
        show_difference(screen, difference(*ahead))
    screen.heading("The whole new scope (what the task has ever used counts against its limits):")
    screen.fields(
        [
            ("may", tuple(map(Words, describe(question.after)))),
            ("as written", question.after.canonical.decode()),
            ("left today", tuple(f"{limit}: {left} of {of}" for limit, left, of in found.remainders)),
            ("digest", question.digest),
            ("state", row.state),
            ("missing", Words(row.missing or "-")),
            ("may answer", found.may_answer),
            ("answers", tuple(Words(f"{one.kind} by {one.person}") for one in found.answers)),
            *([("reason", Words(row.reason))] if row.reason else []),
        ]
    )


def _step(scope: Scope, step: int) -> str:
    if not scope.steps:
        return "no steps"
    return f"step {shown(scope.steps[step].name)} ({step + 1} of {len(scope.steps)})"
