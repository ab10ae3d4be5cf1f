"""`taskbound target`: systems in which credentials are minted, and what the broker comes to them with.

1. An admin access is typed unseen, read from standard input, or made here (`access`).
2. What leaves this process is sealed to the key that the broker shows on its own socket, for the target as
   the file that the person named describes it: the identity is computed here, of that file.
3. A target gives nothing until its preflight worked. Whoever adds one is told how that went: a canary of each
   kind was minted, used and revoked, or which one failed, and why.
4. What a broker began to mint is over by the target's own word alone, and a host that does not exist gives
   none: its canaries would be revoked for ever. So a host that this machine knows to be nowhere is refused
   before anything is written; what may be there, and is only not reached from here, is not.
5. A host with OpenSSH can't know keys before they are made. So whoever has new ones made is told what to do
   there (`hosting`), and that the first preflight finds a host that doesn't know them is no failure: nothing
   was sent, and it is tested again once the host is ready.
"""

from __future__ import annotations

import socket
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from taskbound.core.action.canonical import canonical
from taskbound.core.errors import DeniedError
from taskbound.core.target import RedisPlace, parse_target_file, require_declarable
from taskbound.core.tool import Binding
from taskbound.core.tool.slot import ADMIN_SLOT
from taskbound.surfaces.cli.access import Way, public_halves, read_access, require_way
from taskbound.surfaces.cli.hosting import NewKeys, say_first_look, say_steps, steps_for
from taskbound.surfaces.cli.lasting import lasting_list, lasting_words
from taskbound.surfaces.cli.preflight import await_preflight, only_row, row_of, watch_preflight
from taskbound.surfaces.cli.reading import BadInputError, read_file, write_file
from taskbound.surfaces.cli.screen import Words, moment, shown
from taskbound.surfaces.cli.session import Session, command, group
from taskbound.wire.connection import Done
from taskbound.wire.document import read_document
from taskbound.wire.target import (
    AddTarget,
    ListTargets,
    RemoveTarget,
    SetAdmin,
    TargetRows,
    TargetTesting,
    TestTarget,
)

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.target import AdminAccess, SystemPlace, TargetFile
    from taskbound.surfaces.cli.access import PublicHalves


app = group("target", "Systems in which credentials are minted: declare them, test them, look at them.")

_FIRST_LOOK: Final = 15.0
"""Seconds for a preflight that meets a host which doesn't know the keys (rule 5)."""
_NOWHERE: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
"""The word of who knows names that there is no such one, or none with an address."""

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
        ' the password on one line; of a host with OpenSSH {"ca": …, "key": …}, private keys both; of an'
        ' OpenBao {"token": …}.',
    ),
]
KeysOption = Annotated[
    bool,
    typer.Option(
        "--new-keys",
        help="Of a host with OpenSSH: make the keys here, seal them unseen, and show what to do on the host.",
    ),
]


class HelperDocument(msgspec.Struct, frozen=True, kw_only=True, tag="host-helper", tag_field="is"):
    """The helper of OpenSSH hosts."""

    version: int
    """What it says to the broker."""
    sha256: str
    """Of the file, in hexadecimal."""
    path: str
    """Where it was written; empty where it stands in `text`."""
    text: str


class OtherTargetError(DeniedError):
    """The daemon has another target under this name than the file describes."""

    code = "other-target"
    remedy = "give no admin access for it; look at `taskbound target show TARGET` and at the file"


@command(
    app,
    "add",
    examples="taskbound target add orders-db.yaml --admin-user minter\n"
    "taskbound target add orders-db.yaml --admin-stdin < access.json\n"
    "taskbound target add build-host.yaml --new-keys",
)
def add(
    session: Session,
    file: FileArgument,
    *,
    admin_user: UserOption = "",
    admin_stdin: StdinOption = False,
    new_keys: KeysOption = False,
) -> None:
    """Declare a target, give the broker its admin access, and wait for the preflight.

    The admin access is typed unseen or read from standard input, and sealed to the broker's key before it
    leaves this command: neither the daemon, the database, the log nor a gateway has it.

    The preflight mints a canary of each kind, uses it, and revokes it. It is an act of whoever says what may
    be granted, and refused from inside a gateway or a `taskbound run`.

    With `--new-keys` the host can't know the keys yet: the command says what to do there, and is done. Then
    `taskbound target test TARGET` shows that it works.
    """
    target, value = _read_target(file, apart=admin_stdin, anew=True)
    way = Way(user=admin_user, piped=admin_stdin, fresh=new_keys)
    require_way(target.kind, way)
    require_somewhere(target.place)
    access = read_access(session, target, way)
    halves = public_halves(session, target, access)
    session.ask(ListTargets(), TargetRows)  # a broker that is the daemon's own is started for who looks
    sealed = _seal(session, target, access, 1)
    testing = session.ask(AddTarget(file=msgspec.Raw(canonical(value)), sealed=sealed), TargetTesting)
    _require_same(target.identity(session.namespace), testing.identity, target.name)
    _conclude(session, target, testing, halves if new_keys else None)


@command(app, "test", examples="taskbound target test orders-db\ntaskbound target test orders-db --json")
def test(session: Session, name: NameArgument) -> None:
    """Mint, use and revoke a canary of each kind once more, and wait for how it goes.

    The status is 0 when all of it worked. A target that was ready stays so when it fails: what lives there
    has to be ended in any case.
    """
    before = row_of(session, name).tested
    testing = session.ask(TestTarget(name=name), TargetTesting)
    await_preflight(session, testing, before=before)


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
    if lasting := lasting_list(found.rows):
        session.screen.note(lasting)
    if not found.broker:
        session.screen.note("no broker is connected: nothing is minted, and nothing revoked")
    if found.doubted:
        session.screen.note(
            f"nothing is minted since {moment(found.doubted)}: {shown(found.doubt)} (epoch {found.epoch});"
            f" targets where something may be left: {found.doubted_targets}"
        )


@command(app, "show", examples="taskbound target show orders-db")
def show(session: Session, name: NameArgument) -> None:
    """Show a target: where it is, who answers for it, its kinds of credentials, and its last preflight."""
    found = session.ask(ListTargets(name=name), TargetRows)
    row = only_row(found, name)
    if session.screen.json:
        session.screen.document(row)
        return
    session.screen.heading(shown(row.name))
    session.screen.fields(
        [
            ("  kind", row.kind),
            ("  where", bytes(row.where).decode("utf-8", "replace")),
            ("  state", row.state),
            *((("  trouble", Words(row.trouble)),) if row.trouble else ()),
            ("  tested", moment(row.tested or 0)),
            ("  swept", moment(row.swept or 0)),
            ("  owner", row.owner),
            ("  approvers", row.approvers),
            ("  living", _counted(row.living)),
            ("  revoking", _counted(row.revoking)),
            *((("  lasting", lasting_words(row)),) if row.left or not row.revocable else ()),
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
                ("  renewable", "yes" if kind.renewable else "no"),
            ]
        )


@command(
    app,
    "admin",
    asks=True,
    examples="taskbound target admin orders-db.yaml --admin-user minter\n"
    "taskbound target admin orders-db.yaml --admin-stdin --yes < access.json\n"
    "taskbound target admin build-host.yaml --new-keys",
)
def admin(
    session: Session,
    file: FileArgument,
    *,
    admin_user: UserOption = "",
    admin_stdin: StdinOption = False,
    new_keys: KeysOption = False,
) -> None:
    """Give the broker another admin access of a target, and wait for the preflight that shows that it works.

    What lives there is revoked with the new one. The file says which target it is for: one that the daemon
    knows as something else gets none.

    With `--new-keys` nothing on the host is revoked until it knows them: do there what the command says.
    """
    target, _ = _read_target(file, apart=admin_stdin, anew=False)
    way = Way(user=admin_user, piped=admin_stdin, fresh=new_keys)
    require_way(target.kind, way)
    row = row_of(session, target.name)
    _require_same(target.identity(session.namespace), row.identity, target.name)
    until = " Until its host knows the new keys nothing there is revoked." if new_keys else ""
    session.confirm(f"Replace the admin access of {shown(target.name)} (number {row.number})?{until}")
    access = read_access(session, target, way)
    halves = public_halves(session, target, access)
    number = row.number + 1
    ask = SetAdmin(name=target.name, sealed=_seal(session, target, access, number), number=number)
    testing = session.ask(ask, TargetTesting)
    _conclude(session, target, testing, halves if new_keys else None, before=row.tested)


@command(app, "remove", asks=True, examples="taskbound target remove orders-db --yes")
def remove(session: Session, name: NameArgument) -> None:
    """Take a target away, in which nothing of ours is left.

    What is left there is revoked with `taskbound credential revoke --target TARGET`.
    """
    session.confirm(f"Remove the target {shown(name)}? No task gets a credential of it any more.")
    session.done(session.ask(RemoveTarget(name=name), Done), f"target {shown(name)} removed")


@command(
    app,
    "host-helper",
    examples="taskbound target host-helper | ssh root@build.example"
    " 'install -m 755 /dev/stdin /usr/local/sbin/taskbound-ssh-host'\n"
    "taskbound target host-helper --output taskbound-ssh-host",
)
def host_helper(
    session: Session,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write it there.")] = "",
) -> None:
    """Print the helper that an OpenSSH host needs: one file, for Python 3.9 and OpenSSH alone.

    It knows whom the host admits, and ends what they opened. What to do with it: docs/guides/openssh.md.
    """
    helper = session.plugs.host_helper()
    if output:
        write_file(output, [helper.text])
    found = HelperDocument(
        version=helper.version,
        sha256=sha256(helper.text).hexdigest(),
        path=output,
        text="" if output else helper.text.decode(),
    )
    if session.screen.json:
        session.screen.document(found)
    elif output:
        session.screen.note(f"wrote {shown(output)}, version {found.version}, SHA-256 {found.sha256}", "dim")
    else:
        write_file("-", [helper.text])  # byte for byte: it is a program


def _read_target(name: str, *, apart: bool, anew: bool) -> tuple[TargetFile, JsonValue]:
    """The target that a file describes, and its JSON value; `anew` where it is to be declared by it.

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
        found = parse_target_file(document.value)
        if anew:
            require_declarable(found)
        return found, document.value


def require_somewhere(place: SystemPlace) -> None:
    """Go on unless this machine knows that nothing is there (rule 4).

    Raises:
        BadInputError: Its host has no address, or there is no such folder.
    """
    nodes = place.at if isinstance(place, RedisPlace) else (place,)
    for one in nodes:
        trouble = _trouble_of(one.host, one.port)
        if trouble:
            raise BadInputError(
                f"the host `{shown(one.host)}` is nowhere: {trouble}; nothing was declared",
                remedy="correct `where` in the target's file, or have the host known on this machine first",
            )


def _trouble_of(host: str, port: int) -> str:
    """Why nothing can be there, as far as this machine knows; empty where something may be."""
    if host.startswith("/"):
        try:
            Path(host).stat()
        except (FileNotFoundError, NotADirectoryError):
            return "there is no such folder" if port else "there is no such socket"
        except OSError:
            return ""  # the broker's account may see what this one does not
        return ""
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return "no address is known of it" if error.errno in _NOWHERE else ""  # nobody knows now
    return ""


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


def _conclude(
    session: Session,
    target: TargetFile,
    testing: TargetTesting,
    fresh: PublicHalves | None,
    *,
    before: int | None = None,
) -> None:
    """Wait for the preflight, or say what a host has to be told of keys that are fresh (rules 3 and 5)."""
    if fresh is None:
        await_preflight(session, testing, before=before)
        return
    say_steps(session, target, fresh)
    seen = watch_preflight(session, testing, before=before, patience=_FIRST_LOOK)
    keys = NewKeys(target=seen.row, ca=fresh.ca, key=fresh.key, steps=steps_for(target, fresh))
    say_first_look(session, keys, over=seen.over)


def _counted(count: int) -> str:
    return f"{count} or more" if count >= 1_000 else str(count)  # noqa: PLR2004 - what the daemon counts to
