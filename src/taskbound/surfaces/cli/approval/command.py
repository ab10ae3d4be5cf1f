"""`taskbound approval`: shows the question about a held action, and answers it with a person's signature.

1. Sheet and digest are computed here from the same bytes: a daemon that has another sheet signed is detected.
2. No command answers without a signature.
3. A plan, named by its own id, is shown and answered as a whole.
4. A narrower call can differ from the held action only in the approver's values; both digests are signed.
5. An answer covers retries only if the approver says so; the signature covers their number.
6. A question that is over is refused before a statement is written or a passphrase is requested.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Final

from taskbound.core.approval import MOST_RETRIES, AnswerKind, Subject
from taskbound.core.clock import Instant, render_instant
from taskbound.surfaces.cli.approval.amendment import (
    AskedAmendment,
    answer_amendment,
    is_amendment,
    refuse_amendment,
)
from taskbound.surfaces.cli.approval.plan import AskedPlan, answer_plan, is_plan, refuse_narrowing
from taskbound.surfaces.cli.approval.sheets import (
    Asked,
    action_from,
    narrower,
    print_sheet,
    question_from,
    require_open,
    sheet_from,
)
from taskbound.surfaces.cli.people.keys import SignatureOption, ask_page, own_network, person_of
from taskbound.surfaces.cli.reading import BadInputError, read_file, write_file
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.surfaces.cli.session import Session, argument, command, group, option
from taskbound.wire import approval as wire
from taskbound.wire.connection import Done
from taskbound.wire.openssh import SIGNED_FOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.approval import Question
    from taskbound.surfaces.cli.approval.sheets import Narrower
    from taskbound.wire.action import Changed


app = group("approval", "What agents wait for people to answer: look at it, sign, or deny.")

_TOKEN: Final = 16_386

ApprovalArgument = Annotated[str, argument("APPROVAL", "The approval's id, or its action's.")]
KeyOption = Annotated[str, option("--key FILE", "Your key; its `.pub` where an agent holds it.")]
SetOption = Annotated[
    list[str], option("--set ARGUMENT=AMOUNT", "An amount that is to be less; once for each.")
]
RetriesOption = Annotated[
    int,
    option(
        "--retries NUMBER",
        "How many retries it covers as well, after it failed or was not sent, and nothing has changed.",
        min=0,
        max=MOST_RETRIES,
    ),
]
StatementOption = Annotated[
    str, option("--statement FILE", "What was signed, where it was signed elsewhere.")
]


@command(app, "show", examples="taskbound approval show apr_01ab")
def show(session: Session, approval: ApprovalArgument) -> None:
    """Show one question or plan as it is to be signed: every byte that would run, made visible."""
    asked = _asked(session, approval, opened=False)
    if session.screen.json:
        session.screen.document(asked.found)
    elif isinstance(asked, AskedAmendment):
        asked.show(session.screen)
    else:
        asked.print(session)


@command(
    app,
    "statement",
    examples="taskbound approval statement apr_01ab --by key_02cd --file answer\n"
    "taskbound approval statement apr_01ab --by key_02cd --deny --file answer\n"
    "taskbound approval statement apr_01ab --by key_02cd --set amount=40 --file answer",
)
def statement(
    session: Session,
    approval: ApprovalArgument,
    *,
    by: Annotated[str, option("--by KEY", "The id of the key that will sign.")],
    file: Annotated[str, option("--file FILE", "Where to write it.")],
    deny_it: Annotated[bool, option("--deny", "A denial.")] = False,
    values: Annotated[
        list[str] | None, option("--set ARGUMENT=AMOUNT", "A narrowing: an amount that is to be less.")
    ] = None,
    retries: RetriesOption = 0,
) -> None:
    """Write the statement to sign, for a key on another machine.

    Prints the command that signs the file, and the command that submits the signature.
    """
    if deny_it and values:
        raise BadInputError("an answer is a denial or a narrowing, and not both")
    _require_yes(approval, retries, plain=not (deny_it or values))
    person = person_of(session, by)
    kind = AnswerKind.NARROW if values else AnswerKind.DENY if deny_it else AnswerKind.APPROVE
    asked = _asked(session, approval, values)
    asked.print(session)
    text = asked.statement((person, by), kind, retries)
    write_file(file, [text.encode()])
    session.done(Done(), f"written to {shown(file)}")
    if not session.screen.json:
        for line in _next(approval, file, kind, values or (), retries):
            session.screen.line(f"  {shown(line)}")


@command(
    app,
    "sign",
    examples="taskbound approval sign apr_01ab --key ~/.ssh/id_ed25519_sk\n"
    "taskbound approval sign apr_01ab --retries 1 --key ~/.ssh/id_ed25519_sk\n"
    "taskbound approval sign apr_01ab --statement answer --signature answer.sig",
)
def sign(
    session: Session,
    approval: ApprovalArgument,
    *,
    key: KeyOption = "",
    statement_file: StatementOption = "",
    signature: SignatureOption = "",
    retries: RetriesOption = 0,
) -> None:
    """Approve exactly this action with your signature; it runs once, as shown.

    Where the policy asks for the requester's confirmation, this is it. Retries are covered only with
    `--retries`.
    """
    _require_yes(approval, retries, plain=True)
    _answer(session, approval, (key, statement_file, signature), kind=AnswerKind.APPROVE, retries=retries)


@command(
    app,
    "deny",
    examples="taskbound approval deny apr_01ab --key ~/.ssh/id_ed25519_sk\n"
    "taskbound approval deny apr_01ab --statement answer --signature answer.sig",
)
def deny(
    session: Session,
    approval: ApprovalArgument,
    *,
    key: KeyOption = "",
    statement_file: StatementOption = "",
    signature: SignatureOption = "",
) -> None:
    """Deny with your signature. A denial is final: the same call is refused for the rest of the task."""
    _answer(session, approval, (key, statement_file, signature), kind=AnswerKind.DENY)


@command(
    app,
    "narrow",
    examples="taskbound approval narrow apr_01ab --set amount=40 --key ~/.ssh/id_ed25519_sk\n"
    "taskbound approval narrow apr_01ab --set amount=40 --statement answer --signature answer.sig",
)
def narrow(
    session: Session,
    approval: ApprovalArgument,
    *,
    values: SetOption,
    key: KeyOption = "",
    statement_file: StatementOption = "",
    signature: SignatureOption = "",
) -> None:
    """Deny this action and approve the same call for smaller amounts, with one signature.

    Only amounts that a `total` of the covering grant counts can be reduced. What runs is a new action.
    """
    _answer(session, approval, (key, statement_file, signature), kind=AnswerKind.NARROW, values=values)


@command(app, "open", examples="taskbound approval open apr_01ab\ntaskbound approval open apr_01ab --deny")
def open_page(
    session: Session,
    approval: ApprovalArgument,
    *,
    deny_it: Annotated[bool, option("--deny", "A denial.")] = False,
    by: Annotated[str, option("--by KEY", "Which of your passkeys signs.")] = "",
    retries: RetriesOption = 0,
) -> None:
    """Show one question, and open a page where your passkey approves it, or denies it with `--deny`.

    Plans can only be denied there; approving a plan takes an OpenSSH key. The page is served on this machine,
    for one answer. Read the question here: your signature counts, whatever the page says.
    """
    _require_yes(approval, retries, plain=not deny_it)
    if is_plan(approval) and not deny_it:
        raise BadInputError(
            "a page shows one action: it takes no yes to a plan",
            remedy=f"sign it with `taskbound approval sign {shown(approval)} --key FILE`;"
            f" `taskbound approval open {shown(approval)} --deny` opens a page to deny it",
        )
    refuse_amendment(approval)
    asked = _asked(session, approval)
    asked.print(session)
    ask = wire.OpenApproval(
        approval=asked.about.id,
        digest=asked.about.digest,
        deny=deny_it,
        key=by,
        network=own_network(),
        retries=retries,
    )
    ask_page(session, ask)


@command(app, "prove", examples="taskbound approval prove apr_01ab --evidence-jws allowed.jws")
def prove(
    session: Session,
    approval: ApprovalArgument,
    *,
    file: Annotated[str, option("--evidence-jws FILE", "What an issuer signed about this question.")],
) -> None:
    """Submit an issuer's signed evidence about one question, where a policy requires it.

    Its `sub` must be the value that `taskbound approval show` prints; it is valid for this question only.
    """
    refuse_amendment(approval)
    token = read_file(file, largest=_TOKEN).decode("ascii", errors="replace").strip()
    found = session.ask(wire.ShowApproval(approval=approval), wire.ApprovalDetail)
    said = session.show(wire.ProveApproval(approval=found.row.approval, token=token), wire.ApprovalSaid)
    session.screen.line(_told(said))


@command(app, "withdraw", asks=True, examples='taskbound approval withdraw apr_01ab --reason "not needed"')
def withdraw(
    session: Session,
    approval: ApprovalArgument,
    *,
    reason: Annotated[str, option("--reason", "Why; it is recorded.")] = "",
) -> None:
    """Withdraw a question or plan, as the requester or the agent's owner; the action never runs."""
    if is_amendment(approval):
        session.confirm(f"withdraw {shown(approval)}, so that its task stays as it is?")
        session.act(
            wire.WithdrawApproval(approval=approval, reason=reason), f"{shown(approval)} is withdrawn"
        )
        return
    name, what = approval, "what is left of it"
    if not is_plan(approval):
        found = session.ask(wire.ShowApproval(approval=approval), wire.ApprovalDetail)
        name, what = found.row.plan or found.row.approval, "its action"
    session.confirm(f"withdraw {shown(name)}, so that {what} never runs?")
    ask = wire.WithdrawApproval(approval=name, reason=reason)
    session.act(ask, f"{shown(name)} is withdrawn")


def _asked(
    session: Session, approval: str, values: Sequence[str] | None = None, *, opened: bool = True
) -> AskedAction | AskedPlan | AskedAmendment:
    if values:
        if is_plan(approval):
            refuse_narrowing()
        refuse_amendment(approval)
    if is_plan(approval):
        return AskedPlan(session, approval, opened=opened)
    if is_amendment(approval):
        return AskedAmendment(session, approval, opened=opened)
    return AskedAction(session, approval, values, opened=opened)


class AskedAction(Asked):
    """A question about one action, and the narrower call if the answer is a narrowing."""

    subject = Subject.ACTION
    about: Question

    def __init__(
        self, session: Session, name: str, values: Sequence[str] | None = None, *, opened: bool = True
    ) -> None:
        """Fetch the question; raises ApprovalOverError if it must be open and is over."""
        self.found = session.ask(wire.ShowApproval(approval=name), wire.ApprovalDetail)
        if opened:
            require_open(name, self.found.row.state)  # 6
        self.about = self.first = question_from(self.found)
        self.less = narrower(self.found.arguments.encode(), values) if values else None
        if self.less is not None:
            self.narrowed = action_from(self.found, self.about, self.less.arguments).digest

    def print(self, session: Session) -> None:
        """Print every byte that would run, and what a narrowing changes of it."""
        _print(session, self.found, self.about)
        _print_less(session, self.less)


def _answer(
    session: Session,
    approval: str,
    brought: tuple[str, str, str],
    *,
    kind: AnswerKind,
    values: list[str] | None = None,
    retries: int = 0,
) -> None:
    if is_plan(approval):
        if kind is AnswerKind.NARROW:
            refuse_narrowing()
        answer_plan(session, approval, brought, kind)
        return
    if is_amendment(approval) and kind is not AnswerKind.NARROW:
        answer_amendment(session, approval, brought, kind)
        return
    refuse_amendment(approval)
    asked = AskedAction(session, approval, values)
    text, signed = asked.signed(session, brought, kind, retries)
    ask: wire.AnswerApproval | wire.NarrowApproval = wire.AnswerApproval(statement=text, signature=signed)
    if asked.less is not None:
        ask = wire.NarrowApproval(statement=text, signature=signed, arguments=asked.less.arguments.decode())
    said = session.show(ask, wire.ApprovalSaid)
    session.screen.line(f"{shown(asked.about.id)} is narrowed; {_told(said)}" if asked.less else _told(said))


def _next(approval: str, file: str, kind: AnswerKind, values: Sequence[str], retries: int) -> tuple[str, str]:
    verb = {AnswerKind.DENY: "deny", AnswerKind.NARROW: "narrow"}.get(kind, "sign")
    words = ["taskbound", "approval", verb, approval, *(word for one in values for word in ("--set", one))]
    words += ["--retries", str(retries)] if retries else []
    words += ["--statement", file, "--signature", f"{file}.sig"]
    signs = ["ssh-keygen", "-Y", "sign", "-n", SIGNED_FOR, "-f", "KEYFILE", file]
    return shlex.join(signs), shlex.join(words)


def _require_yes(approval: str, retries: int, *, plain: bool) -> None:
    if retries and (not plain or is_plan(approval) or is_amendment(approval)):
        raise BadInputError("only a yes to one action can cover retries", remedy="leave out `--retries`")


def _answered(one: wire.ApprovalAnswer) -> str:
    covers = f", retries covered: {one.retries}" if one.retries else ""
    way = f" as {shown(one.acr)}" if one.acr else ""
    signed_in = f", signed in{way} {render_instant(Instant(one.authenticated))}" if one.authenticated else ""
    return f"{one.kind} by {one.person}{covers}{signed_in}"


def _told(said: wire.ApprovalSaid) -> str:
    if said.missing:
        return f"taken; {Words(said.missing)}"
    return f"{shown(said.approval)} is {shown(said.state)}"


def _changed(one: Changed, word: str) -> str:
    return f"`{shown(one.place)}` {word} {shown(one.after)} instead of {shown(one.before)}"


def _print_less(session: Session, less: Narrower | None) -> None:
    for one in () if less is None else less.changed:
        words = f"  {_changed(one, 'will be')}; nothing else of it changes"
        if session.screen.json:
            session.screen.note(words, "")
        else:
            session.screen.line(words)


def _print(session: Session, found: wire.ApprovalDetail, question: Question) -> None:
    screen = session.screen
    print_sheet(screen, sheet_from(found, question))
    row = found.row
    screen.fields(
        [
            ("state", row.state),
            ("missing", Words(row.missing or "-")),
            ("may answer", found.may_answer),
            ("answers", tuple(Words(_answered(one)) for one in found.answers)),
            *([("evidence", Words(f"a token with the `sub` {found.subject}"))] if found.subject else []),
            *([("reason", Words(row.reason))] if row.reason else []),
            *([("retry of", found.retries)] if found.retries else []),
            *([("narrows", found.narrows)] if found.narrows else []),
            *([("narrowed to", found.narrowed_to)] if found.narrowed_to else []),
            *[("changed", Words(_changed(one, "is"))) for one in found.changed],
        ]
    )
