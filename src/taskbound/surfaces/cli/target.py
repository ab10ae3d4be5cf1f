"""`taskbound target`: systems in which credentials are minted, and what the broker comes to them with.

1. An admin access stands in no argument and no variable of a command: other programs read those. It is typed
   unseen, or read from standard input where that is said.
2. What leaves this process is sealed to the key that the broker shows on its own socket, for the target as
   the file that the person named describes it: the identity is computed here, of that file.
3. A target gives nothing until its preflight worked. Whoever adds one is told how that went: a canary of each
   kind was minted, used and revoked, or which one failed, and why.
4. What a broker began to mint is over by the target's own word alone, and a host that does not exist gives
   none: its canaries would be revoked for ever. So a host that this machine knows to be nowhere is refused
   before anything is written; what may be there, and is only not reached from here, is not.
"""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_document
from taskbound.core.errors import DeniedError, MalformedError, UnavailableError
from taskbound.core.target import PostgresAccess, parse_admin_access, parse_target_file
from taskbound.core.tool import Binding
from taskbound.core.tool.slot import ADMIN_SLOT
from taskbound.surfaces.cli.reading import BadInputError, read_file
from taskbound.surfaces.cli.screen import moment, shown
from taskbound.surfaces.cli.session import Session, command, group
from taskbound.wire.connection import Done
from taskbound.wire.credential import CredentialRow, ShowCredential
from taskbound.wire.document import read_document
from taskbound.wire.target import (
    AddTarget,
    ListTargets,
    RemoveTarget,
    SetAdmin,
    TargetRow,
    TargetRows,
    TargetTesting,
    TestTarget,
)

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.target import AdminAccess, SystemPlace, TargetFile

__all__ = [
    "OtherTargetError",
    "PreflightFailedError",
    "PreflightOpenError",
    "add",
    "admin",
    "app",
    "list_all",
    "remove",
    "require_somewhere",
    "show",
    "test",
]

app = group("target", "Systems in which credentials are minted: declare them, test them, look at them.")

_PATIENCE: Final = 60.0
_PAUSE: Final = 0.25
_NOWHERE: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
"""The word of who knows names that there is no such one, or none with an address."""
_LARGEST: Final = 16_384
"""Bytes of an admin access, as it is read from standard input."""

FileArgument = Annotated[
    str,
    typer.Argument(metavar="FILE", help="The target's file, YAML or JSON; `-` reads it.", show_default=False),
]
NameArgument = Annotated[str, typer.Argument(metavar="TARGET", help="The target's name.", show_default=False)]
UserOption = Annotated[
    str,
    typer.Option(
        "--admin-user", metavar="USER", help="Whom the target knows as its admin; the password is typed."
    ),
]
StdinOption = Annotated[
    bool,
    typer.Option(
        "--admin-stdin",
        help='Read the admin access from standard input: {"user": …, "password": …}, or with `--admin-user`'
        " the password on one line.",
    ),
]


class OtherTargetError(DeniedError):
    """The daemon has another target under this name than the file describes."""

    code = "other-target"
    remedy = "give no admin access for it; look at `taskbound target show TARGET` and at the file"


class PreflightFailedError(DeniedError):
    """A canary could not be minted, used or revoked."""

    code = "preflight-failed"
    remedy = (
        "mend what is named in the system, and test it again with `taskbound target test TARGET`; another"
        " admin access is given with `taskbound target admin FILE`; where the file is wrong, declare another"
        " target"
    )


class PreflightOpenError(UnavailableError):
    """The preflight is not over within a minute."""

    code = "preflight-open"
    remedy = "look at `taskbound target show TARGET`, and whether the broker runs, with `taskbound doctor`"


@command(
    app,
    "add",
    examples="taskbound target add orders-db.yaml --admin-user minter\n"
    "taskbound target add orders-db.yaml --admin-stdin < access.json",
)
def add(
    session: Session,
    file: FileArgument,
    *,
    admin_user: UserOption = "",
    admin_stdin: StdinOption = False,
) -> None:
    """Declare a target, give the broker its admin access, and wait for the preflight.

    The admin access is typed unseen or read from standard input, and sealed to the broker's key before it
    leaves this command: neither the daemon, the database, the log nor a gateway has it.

    The preflight mints a canary of each kind, uses it, and revokes it. It is an act of whoever says what may
    be granted, and refused from inside a gateway or a `taskbound run`.
    """
    target, value = _read_target(file, apart=admin_stdin)
    require_somewhere(target.place)
    access = _read_access(session, target.kind, admin_user, piped=admin_stdin)
    session.ask(ListTargets(), TargetRows)  # a broker that is the daemon's own is started for who looks
    sealed = _seal(session, target, access, 1)
    testing = session.ask(AddTarget(file=msgspec.Raw(canonical(value)), sealed=sealed), TargetTesting)
    _require_same(target.identity(session.namespace), testing.identity, target.name)
    _say_testing(session, testing)
    _await_preflight(session, testing, before=None)


@command(app, "test", examples="taskbound target test orders-db\ntaskbound target test orders-db --json")
def test(session: Session, name: NameArgument) -> None:
    """Mint, use and revoke a canary of each kind once more, and wait for how it goes.

    The status is 0 when all of it worked. A target that was ready stays so when it fails: what lives there
    has to be ended in any case.
    """
    before = _row(session, name).tested
    testing = session.ask(TestTarget(name=name), TargetTesting)
    _say_testing(session, testing)
    _await_preflight(session, testing, before=before)


@command(app, "list", examples="taskbound target list")
def list_all(session: Session) -> None:
    """List the targets: what they are, how they stand, and how much lives there."""
    found = session.ask(ListTargets(), TargetRows)
    if session.screen.json:
        session.screen.document(found)
        return
    session.screen.table(
        ("TARGET", "KIND", "STATE", "LIVING", "REVOKING", "SWEPT", "OWNER", "CREDENTIALS"),
        [
            (
                one.name,
                one.kind,
                one.state,
                str(one.living),
                str(one.revoking),
                moment(one.swept or 0),
                one.owner,
                ", ".join(kind.tool for kind in one.kinds),
            )
            for one in found.rows
        ],
        "no targets; add one with `taskbound target add`",
    )
    if not found.broker:
        session.screen.note("no broker is connected: nothing is minted, and nothing revoked")


@command(app, "show", examples="taskbound target show orders-db")
def show(session: Session, name: NameArgument) -> None:
    """Show a target: where it is, who answers for it, its kinds of credentials, and its last preflight."""
    found = session.ask(ListTargets(name=name), TargetRows)
    row = _only(found, name)
    if session.screen.json:
        session.screen.document(row)
        return
    session.screen.heading(shown(row.name))
    session.screen.fields(
        [
            ("  kind", row.kind),
            ("  where", bytes(row.where).decode("utf-8", "replace")),
            ("  state", row.state),
            *((("  trouble", row.trouble),) if row.trouble else ()),
            ("  tested", moment(row.tested or 0)),
            ("  swept", moment(row.swept or 0)),
            ("  owner", row.owner),
            ("  approvers", row.approvers),
            ("  living", _counted(row.living)),
            ("  revoking", _counted(row.revoking)),
            ("  admin access", f"number {row.number}"),
            ("  identity", row.identity),
            ("  broker", "connected" if found.broker else "none is connected"),
        ]
    )
    for kind in row.kinds:
        session.screen.heading(shown(kind.tool))
        session.screen.fields(
            [
                ("  for", kind.description),
                ("  effect", kind.effect),
                ("  at most", f"{kind.seconds} s"),
                ("  parameters", kind.parameters),
            ]
        )


@command(
    app,
    "admin",
    asks=True,
    examples="taskbound target admin orders-db.yaml --admin-user minter\n"
    "taskbound target admin orders-db.yaml --admin-stdin --yes < access.json",
)
def admin(
    session: Session,
    file: FileArgument,
    *,
    admin_user: UserOption = "",
    admin_stdin: StdinOption = False,
) -> None:
    """Give the broker another admin access of a target, and wait for the preflight that shows that it works.

    What lives there is revoked with the new one. The file says which target it is for: one that the daemon
    knows as something else gets none.
    """
    target, _ = _read_target(file, apart=admin_stdin)
    row = _row(session, target.name)
    _require_same(target.identity(session.namespace), row.identity, target.name)
    session.confirm(f"Replace the admin access of {shown(target.name)} (number {row.number})?")
    access = _read_access(session, target.kind, admin_user, piped=admin_stdin)
    number = row.number + 1
    ask = SetAdmin(name=target.name, sealed=_seal(session, target, access, number), number=number)
    testing = session.ask(ask, TargetTesting)
    _say_testing(session, testing)
    _await_preflight(session, testing, before=row.tested)


@command(app, "remove", asks=True, examples="taskbound target remove orders-db --yes")
def remove(session: Session, name: NameArgument) -> None:
    """Take a target away, in which nothing of ours is left.

    What is left there is revoked with `taskbound credential revoke --target TARGET`.
    """
    session.confirm(f"Remove the target {shown(name)}? No task gets a credential of it any more.")
    session.done(session.ask(RemoveTarget(name=name), Done), f"target {shown(name)} removed")


def _read_target(name: str, *, apart: bool) -> tuple[TargetFile, JsonValue]:
    """The target that a file describes, and its JSON value.

    Raises:
        FileError: It can't be read.
        MalformedError: It describes none; ``where`` names file, line and column.
    """
    if apart and name == "-":
        raise BadInputError(
            "standard input can't hold the file and the admin access", remedy="name the target's file"
        )
    document = read_document(read_file(name), name)
    with document.pointing():
        return parse_target_file(document.value), document.value


def require_somewhere(place: SystemPlace) -> None:
    """Go on unless this machine knows that nothing is there (rule 4).

    Raises:
        BadInputError: Its host has no address, or there is no such folder.
    """
    trouble = ""
    if place.host.startswith("/"):
        try:
            Path(place.host).stat()
        except (FileNotFoundError, NotADirectoryError):
            trouble = "there is no such folder"
        except OSError:
            return  # the broker's account may see what this one does not
    else:
        try:
            socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno not in _NOWHERE:
                return  # nobody knows now
            trouble = "no address is known of it"
    if trouble:
        raise BadInputError(
            f"the host `{shown(place.host)}` is nowhere: {trouble}; nothing was declared",
            remedy="correct `where` in the target's file, or have the host known on this machine first",
        )


def _read_access(session: Session, kind: str, user: str, *, piped: bool) -> AdminAccess:
    """The admin access, piped or typed (rule 1); nothing of it is in an error.

    Raises:
        BadInputError: It is not said who the admin is, or nobody can type.
        BadAdminAccessError: It is none.
    """
    if not piped:
        if not user:
            raise BadInputError("it is not said who the admin is", remedy="say `--admin-user USER`")
        if not sys.stdin.isatty():
            raise BadInputError(
                "nobody is there to type the admin's password",
                remedy="say `--admin-stdin` to read it from standard input",
            )
        return PostgresAccess(user=user, password=session.plugs.read_secret(f"password of {shown(user)}: "))
    raw = sys.stdin.buffer.read(_LARGEST + 1)
    if len(raw) > _LARGEST:
        raise BadInputError("the admin access is longer than any")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise BadInputError("the admin access is not UTF-8") from None
    if user:
        return PostgresAccess(user=user, password=_one_line(text))
    return parse_admin_access(kind, _as_sealed(text))


def _one_line(text: str) -> str:
    line, _, more = text.partition("\n")
    if more.strip():
        raise BadInputError("the admin's password is more than one line")
    return line.removesuffix("\r")


def _as_sealed(text: str) -> str:
    """JSON as people write it, as it is sealed; what can't be read is refused where it is parsed."""
    try:
        return canonical(parse_document(text.encode())).decode()
    except MalformedError:
        return text


def _seal(session: Session, target: TargetFile, access: AdminAccess, number: int) -> str:
    """The admin access as only the broker reads it (rule 2)."""
    binding = Binding(
        namespace=session.namespace,
        server=target.name,
        identity=target.identity(session.namespace),
        slot=ADMIN_SLOT.text,
        number=number,
    )
    return session.plugs.seal_admin(session.place, access.text, binding)


def _require_same(wanted: str, found: str, name: str) -> None:
    if wanted != found:
        raise OtherTargetError(f"the daemon knows `{shown(name)}` as something else than the file describes")


def _say_testing(session: Session, testing: TargetTesting) -> None:
    if not session.screen.json:
        count = len(testing.credentials)
        canaries = "a canary" if count == 1 else f"canaries of {count} kinds"
        session.screen.note(f"testing {shown(testing.name)}: {canaries}, minted, used and revoked", "")


def _await_preflight(session: Session, testing: TargetTesting, *, before: int | None) -> None:
    """Wait until the preflight is over, and say how it went (rule 3).

    Raises:
        PreflightFailedError: It failed.
        PreflightOpenError: It is not over in time.
    """
    end = time.monotonic() + _PATIENCE
    said: dict[str, str] = {}
    while True:
        found = session.ask(ListTargets(name=testing.name), TargetRows)
        row = _only(found, testing.name)
        canaries = _canaries(session, testing)
        _say_progress(session, canaries, said)
        if row.tested is not None and row.tested != before:
            break
        if time.monotonic() >= end:
            why = "" if found.broker else ": no broker is connected"
            raise PreflightOpenError(f"the preflight of `{shown(row.name)}` is not over{why}")
        time.sleep(_PAUSE)
    if session.screen.json:
        session.screen.document(row)
    if row.state != "ready" or row.trouble:
        failed = [f"{one.kind}: {one.trouble or one.why}" for one in canaries if one.trouble]
        why = row.trouble or "; ".join(failed) or "a canary failed"
        raise PreflightFailedError(f"the preflight of `{shown(row.name)}` failed: {shown(why)}")
    if not session.screen.json:
        session.screen.line(f"target {shown(row.name)} is ready")
        for kind in row.kinds:
            session.screen.line(f"  {shown(kind.tool)}: {shown(kind.description)}")


def _canaries(session: Session, testing: TargetTesting) -> list[CredentialRow]:
    """How each canary stands."""
    return [session.ask(ShowCredential(credential=one), CredentialRow) for one in testing.credentials]


def _say_progress(session: Session, canaries: list[CredentialRow], said: dict[str, str]) -> None:
    for one in canaries:
        now = f"{one.state}{f': {one.trouble}' if one.trouble else ''}"
        if said.get(one.id) != now:
            said[one.id] = now
            if not session.screen.json:
                session.screen.note(f"  {shown(one.kind)}: {shown(now)}", "")


def _row(session: Session, name: str) -> TargetRow:
    return _only(session.ask(ListTargets(name=name), TargetRows), name)


def _only(found: TargetRows, name: str) -> TargetRow:
    row = next((one for one in found.rows if one.name == name), None)
    if row is None:
        raise BadInputError(f"no target is named `{shown(name)}`", remedy="see `taskbound target list`")
    return row


def _counted(count: int) -> str:
    return f"{count} or more" if count >= 1_000 else str(count)  # noqa: PLR2004 - what the daemon counts to
