"""`taskbound credential`: credentials in targets; a secret is printed only on an explicit request."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from taskbound.core.action.parse import parse_object
from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.core.target import SECONDS
from taskbound.sdk.wish import TaskCredential
from taskbound.surfaces.cli.naming import whole_credential, whole_task
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.running.requests import (
    OfAgentOption,
    OfTaskOption,
    SecondsOption,
    interruptible,
    parse_asked,
    parse_values,
    say_held,
    stand_in,
    wish_of,
)
from taskbound.surfaces.cli.screen import Words, moment, shown
from taskbound.surfaces.cli.session import Session, argument, command, group, option
from taskbound.wire import target as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from collections.abc import Sequence


app = group("credential", "What was minted for tasks: look at it, end it, ask for it.")

_SWEPT: Final = 60.0
_PAUSE: Final = 0.25
_PAGE: Final = 500
_STATES: Final = ("journaled", "minting", "active", "revoking", "revoked", "unsupported")

CredentialArgument = Annotated[str, argument("CREDENTIAL", "Its id: crd_….")]
TargetOption = Annotated[str, option("--target TARGET", "Only those in this target.")]
TaskOption = Annotated[str, option("--task TASK", "Only those of this task.")]


class NotShownError(DeniedError):
    """A secret was requested without the option that shows it."""

    code = "not-shown"
    remedy = (
        "run the program that needs it with `taskbound exec --task TASK --credential TARGET -- COMMAND`, or"
        " say `--show-secret`: it is printed then, and lives until its end, its task's, or it is revoked"
    )


class SweepOpenError(UnavailableError):
    """The sweep is not over within a minute."""

    code = "sweep-open"
    remedy = (
        "look with `taskbound target list` whether a broker is connected, and with"
        " `taskbound credential overdue` what a target says"
    )


class RequestedCredential(msgspec.Struct, frozen=True, kw_only=True, tag="requested", tag_field="is"):
    """A credential minted for a task, with its secret."""

    credential: str
    target: str
    kind: str
    ends: int
    """Instant, µs since the epoch."""
    open: dict[str, str]
    secret: dict[str, str]


@command(
    app,
    "list",
    examples="taskbound credential list\ntaskbound credential list --task tsk_… --state active --json",
)
def list_all(
    session: Session,
    *,
    task: TaskOption = "",
    target: TargetOption = "",
    agent: Annotated[str, option("--agent", "Only those of this agent.")] = "",
    states: Annotated[
        list[str] | None,
        option("--state", "Only those in this state; repeatable.", autocompletion=lambda: list(_STATES)),
    ] = None,
    limit: Annotated[int, option("--limit", "So many at most.", min=1, max=_PAGE)] = 50,
    before: Annotated[str, option("--before CREDENTIAL", "Those made before this one.")] = "",
) -> None:
    """List credentials, newest first; secrets are never shown."""
    unknown = [one for one in states or () if one not in _STATES]
    if unknown:
        raise BadInputError(f"`{shown(unknown[0])}` is no state", remedy=f"say one of {', '.join(_STATES)}")
    ask = wire.ListCredentials(
        task=whole_task(session, task) if task else "",
        target=target,
        agent=agent,
        states=tuple(states or ()),
        limit=limit,
        before=whole_credential(session, before) if before else "",
    )
    _table(session, session.ask(ask, wire.CredentialRows), "no credentials")


@command(app, "show", examples="taskbound credential show crd_…")
def show(session: Session, credential: CredentialArgument) -> None:
    """Show a credential: its purpose, its state, and why it ended."""
    found = session.show(
        wire.ShowCredential(credential=whole_credential(session, credential)), wire.CredentialRow
    )
    session.screen.heading(shown(found.id))
    session.screen.fields(
        [
            ("  state", found.state),
            ("  target", f"{found.target}/{found.kind}" if found.kind else found.target),
            ("  name there", found.name),
            ("  task", found.task),
            ("  agent", found.agent),
            ("  action", found.action),
            ("  asked for", bytes(found.arguments).decode("utf-8", "replace")),
            ("  made", moment(found.made)),
            ("  ends", moment(found.ends)),
            ("  renewal", _renewal(found)),
            ("  acknowledged", "yes" if found.acknowledged else "no"),
            ("  ended", moment(found.ended or 0)),
            ("  why", Words(found.why)),
            ("  attempts", found.attempts),
            ("  trouble", Words(found.trouble)),
            ("  overdue", _overdue(found)),
        ]
    )


@command(
    app,
    "overdue",
    examples="taskbound credential overdue\ntaskbound credential overdue --target orders-db --json",
)
def overdue(session: Session, *, target: TargetOption = "") -> None:
    """List credentials that should be revoked and are not yet, oldest first; status 1 if there are any.

    Revocation is retried until the target shows that the credential is gone.
    """
    found = session.ask(wire.ListCredentials(target=target, overdue=True, limit=_PAGE), wire.CredentialRows)
    _table(session, found, "nothing is overdue")
    if found.rows:
        raise typer.Exit(1)


@command(
    app,
    "revoke",
    asks=True,
    examples="taskbound credential revoke crd_… --why 'it was in a log'\n"
    "taskbound credential revoke --task tsk_…\n"
    "taskbound credential revoke --target orders-db --why 'the database moves' --yes",
)
def revoke(
    session: Session,
    credential: Annotated[str, argument("CREDENTIAL", "Its id: crd_….")] = "",
    *,
    task: Annotated[str, option("--task TASK", "All of this task.")] = "",
    target: Annotated[str, option("--target TARGET", "All in this target.")] = "",
    why: Annotated[str, option("--why", "Why; it is recorded.")] = "",
) -> None:
    """Revoke one credential, or all of a task or target. Only a person may; the task goes on."""
    named = [one for one in (credential, task, target) if one]
    if len(named) != 1:
        raise BadInputError(
            "it is not said what is to be revoked" if not named else "that says two things",
            remedy="name a credential, or say `--task` or `--target`",
        )
    credential = whole_credential(session, credential) if credential else ""
    task = whole_task(session, task) if task else ""
    what = shown(credential) or (f"all of {shown(task)}" if task else f"all in {shown(target)}")
    session.confirm(f"Revoke {what}? Programs that use it lose access.")
    revoked: list[str] = []
    ask = wire.RevokeCredentials(credential=credential, task=task, target=target, why=why)
    while True:
        answer = session.ask(ask, wire.RevokingCredentials)
        revoked += answer.credentials
        if not (answer.more and answer.credentials):
            break
    session.screen.report(wire.RevokingCredentials(credentials=tuple(revoked), more=answer.more))
    for one in revoked:
        session.screen.line(f"{shown(one)} is being revoked")
    if not revoked:
        session.screen.line("nothing of that lives")


@command(
    app, "sweep", examples="taskbound credential sweep\ntaskbound credential sweep --target orders-db --json"
)
def sweep(session: Session, *, target: TargetOption = "") -> None:
    """Make the broker search targets for credentials without a row, and wait for the result.

    Credentials with a name of this installation and no live row are revoked.
    """
    before = {one.name: one.swept for one in _targets(session, target).rows}
    if target and not before:
        raise BadInputError(f"no target is named `{shown(target)}`", remedy="see `taskbound target list`")
    session.ask(wire.SweepTargets(target=target), Done)
    if before:
        session.screen.hint(f"the broker looks through {', '.join(map(shown, before))}", "")
    end = time.monotonic() + _SWEPT
    open_ = set(before)
    while True:
        found = _targets(session, target)
        over = [one for one in found.rows if one.name not in before or one.swept != before[one.name]]
        for one in over:
            if one.name in open_:  # said at once: another one may take its time
                count = f"{one.living} living, {one.revoking} revoking"
                session.screen.line(f"{shown(one.name)}: swept at {moment(one.swept or 0)}, {count}")
        open_ = {one.name for one in found.rows} - {one.name for one in over}
        if not open_:
            break
        if time.monotonic() >= end:
            why = "" if found.broker else ": no broker is connected"
            raise SweepOpenError(f"the sweep of {', '.join(map(shown, sorted(open_)))} is not over{why}")
        time.sleep(_PAUSE)
    session.screen.report(found)
    if not found.rows:
        session.screen.line("no targets")


@command(
    app,
    "renew",
    examples="taskbound credential renew crd_…\ntaskbound credential renew crd_… --seconds 300 --json",
)
def renew(session: Session, credential: CredentialArgument, *, seconds: SecondsOption = 0) -> None:
    """Request a longer life for a credential on behalf of its task, and wait for the target.

    The renewal is decided like a new request and may need approvals. It never outlives its task. The secret
    doesn't change and is not shown.
    """
    ask = wire.ShowCredential(credential=whole_credential(session, credential))
    row = session.ask(ask, wire.CredentialRow)
    given = {
        name: str(value) for name, value in parse_object(bytes(row.arguments)).items() if name != SECONDS
    }
    had = TaskCredential(
        id=row.id, target=row.target, kind=row.kind, ends=row.ends, open={}, secret={}, parameters=given
    )
    with (
        interruptible(),
        session.plugs.join(session.place, session.namespace, agent=row.agent, task=row.task) as joined,
    ):
        joined.renew(had, seconds, lambda one: say_held(session, one))
    now = session.show(ask, wire.CredentialRow)
    session.screen.line(f"{shown(now.id)} ends at {moment(now.ends)}")


@command(
    app,
    "request",
    examples="taskbound credential request orders-db/reader --task tsk_… --seconds 60 --show-secret\n"
    "taskbound credential request orders-db/reader --task tsk_… --with tenant=red --show-secret --json",
)
def request(
    session: Session,
    credential: Annotated[str, argument("TARGET[/KIND]", "The target, and the kind where it has several.")],
    *,
    task: OfTaskOption = "",
    agent: OfAgentOption = "",
    seconds: SecondsOption = 0,
    given: Annotated[
        list[str] | None, option("--with NAME=VALUE", "A value of a parameter of the kind. Repeatable.")
    ] = None,
    show_secret: Annotated[bool, option("--show-secret", "Print what was minted, secrets too.")] = False,
) -> None:
    """Request a credential for a task and print it, with its secrets, as `NAME=value` lines.

    Prefer `taskbound exec`, which gives it to one program and ends it with that program. A credential that
    this prints lives until it expires, its task ends, or it is revoked.
    """
    if not show_secret:
        raise NotShownError("the secret would be printed, and it was not said that it may be")
    asked = parse_asked(credential)
    asked = asked._replace(values={**asked.values, **_apart(asked.values, given or ())})
    wish, standing = wish_of(session, asked, seconds), stand_in(session, task, agent)
    with (
        interruptible(),
        session.plugs.join(
            session.place, session.namespace, agent=standing.agent, task=standing.task
        ) as joined,
    ):
        found = joined.obtain(wish, lambda one: say_held(session, one), lasting=True)
    _print(session, found)


def _apart(values: dict[str, str], given: Sequence[str]) -> dict[str, str]:
    more = parse_values(given)
    twice = sorted(values.keys() & more.keys())
    if twice:
        raise BadInputError(f"`{shown(twice[0])}` stands twice", remedy="give one value for each name")
    return more


def _print(session: Session, found: TaskCredential) -> None:
    """Print the requested credential; no other function prints a secret."""
    if session.screen.json:
        session.screen.document(
            RequestedCredential(
                credential=found.id,
                target=found.target,
                kind=found.kind,
                ends=found.ends,
                open=dict(found.open),
                secret=dict(found.secret),
            )
        )
        return
    session.screen.note(f"taskbound: {shown(found.id)} ends at {moment(found.ends)}", "")
    for name, value in found.environment().items():
        session.screen.word(f"{name}={value}")


def _table(session: Session, found: wire.CredentialRows, empty: str) -> None:
    session.screen.report(found)
    session.screen.table(
        ("CREDENTIAL", "STATE", "TARGET", "TASK", "ENDS", "OVERDUE", "WHY"),
        [
            (
                one.id,
                one.state,
                f"{one.target}/{one.kind}" if one.kind else one.target,
                one.task or "-",
                moment(one.ends),
                _overdue(one),
                Words("; ".join(filter(None, (one.why, "" if one.trouble in one.why else one.trouble)))),
            )
            for one in found.rows
        ],
        empty,
    )


def _renewal(row: wire.CredentialRow) -> str:
    if not row.renewal:
        return ""
    until = moment(row.renewal_ends or 0)
    said = {
        "wanted": f"until {until}, and the target was not told yet",
        "done": f"until {until}, as the target has it",
        "failed": f"not until {until}: it was not renewed",
    }
    return f"{said.get(row.renewal_state, row.renewal_state)} ({row.renewal})"


def _overdue(row: wire.CredentialRow) -> str:
    if not row.age:
        return "-"
    return f"{row.age} s{' OVERDUE' if row.overdue else ''}"


def _targets(session: Session, target: str) -> wire.TargetRows:
    return session.ask(wire.ListTargets(name=target), wire.TargetRows)
