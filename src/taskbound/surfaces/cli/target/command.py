"""`taskbound target`: the systems in which credentials are minted, and the broker's admin access to them.

Admin access is sealed here to the key on the broker's own socket, for the target as the user's file has it.
Canaries of a host that doesn't exist would be revoked forever, so the command refuses such a host first.
"""

from __future__ import annotations

import socket
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from taskbound.core.action.canonical import canonical
from taskbound.core.errors import DeniedError
from taskbound.core.target import RedisPlace, parse_target_file, require_declarable
from taskbound.core.tool import Binding
from taskbound.core.tool.slot import ADMIN_SLOT
from taskbound.surfaces.cli.reading import BadInputError, read_file, write_file
from taskbound.surfaces.cli.screen import Words, moment, shown
from taskbound.surfaces.cli.session import Session, argument, command, group, option
from taskbound.surfaces.cli.target.access import (
    NewKeys,
    Way,
    public_halves,
    read_access,
    require_way,
    say_first_look,
    say_steps,
    steps_for,
)
from taskbound.surfaces.cli.target.preflight import (
    await_preflight,
    lasting_list,
    lasting_words,
    only_row,
    row_of,
    watch_preflight,
)
from taskbound.wire import target as wire
from taskbound.wire.document import read_document

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.target import AdminAccess, SystemPlace, TargetFile
    from taskbound.surfaces.cli.target.access import PublicHalves


app = group("target", "Systems in which credentials are minted: declare them, test them, look at them.")

_FIRST_LOOK: Final = 15.0
"""Seconds for a preflight that meets a host which doesn't know the keys."""
_NOWHERE: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
"""The word of who knows names that there is no such one, or none with an address."""

FileArgument = Annotated[str, argument("FILE", "The target's file, YAML or JSON; `-` reads it.")]
NameArgument = Annotated[str, argument("TARGET", "The target's name.")]
UserOption = Annotated[
    str, option("--admin-user USER", "Whom the target knows as its admin; the password is typed.")
]
StdinOption = Annotated[
    bool,
    option(
        "--admin-stdin",
        'Read the admin access from standard input: {"user": …, "password": …}, or with `--admin-user` the'
        ' password on one line; of a host with OpenSSH {"ca": …, "key": …}, private keys both; of an'
        ' OpenBao {"token": …}.',
    ),
]
KeysOption = Annotated[
    bool,
    option(
        "--new-keys",
        "Of a host with OpenSSH: make the keys here, seal them unseen, and show what to do on the host.",
    ),
]


class HelperDocument(msgspec.Struct, frozen=True, kw_only=True, tag="host-helper", tag_field="is"):
    """The helper program for OpenSSH hosts."""

    version: int
    """What it says to the broker."""
    sha256: str
    """Of the file, in hexadecimal."""
    path: str
    """Where it was written; empty where it stands in `text`."""
    text: str


class OtherTargetError(DeniedError):
    """The daemon's target with this name differs from the file."""

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

    The admin access is typed without echo or read from standard input, and sealed to the broker's key
    before it leaves this command: daemon, database, log and gateways never have it.

    The preflight mints, uses and revokes a canary of each kind. Only persons who may set grants may add a
    target; it is refused from inside a gateway or a `taskbound run`.

    With `--new-keys` the host can't know the keys yet: the command prints what to do there. Afterwards
    `taskbound target test TARGET` shows that it works.
    """
    target, value = _read_target(file, apart=admin_stdin, anew=True)
    way = Way(user=admin_user, piped=admin_stdin, fresh=new_keys)
    require_way(target.kind, way)
    require_somewhere(target.place)
    access = read_access(session, target, way)
    halves = public_halves(session, target, access)
    session.ask(
        wire.ListTargets(), wire.TargetRows
    )  # a broker that is the daemon's own is started for who looks
    sealed = _seal(session, target, access, 1)
    testing = session.ask(
        wire.AddTarget(file=msgspec.Raw(canonical(value)), sealed=sealed), wire.TargetTesting
    )
    _require_same(target.identity(session.namespace), testing.identity, target.name)
    _conclude(session, target, testing, halves if new_keys else None)


@command(app, "test", examples="taskbound target test orders-db\ntaskbound target test orders-db --json")
def test(session: Session, name: NameArgument) -> None:
    """Mint, use and revoke a canary of each kind again, and wait for the result.

    The status is 0 if all of it worked. A ready target stays ready on failure, because credentials there must
    be revoked in any case.
    """
    before = row_of(session, name).tested
    testing = session.ask(wire.TestTarget(name=name), wire.TargetTesting)
    await_preflight(session, testing, before=before)


@command(app, "list", examples="taskbound target list")
def list_all(session: Session) -> None:
    """List the targets: kind, state, and the number of live credentials."""
    found = session.show(wire.ListTargets(), wire.TargetRows)
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
        session.screen.hint(lasting, "yellow")
    if not found.broker:
        session.screen.hint("no broker is connected: nothing is minted, and nothing revoked", "yellow")
    if found.doubted:
        session.screen.hint(
            f"nothing is minted since {moment(found.doubted)}: {shown(found.doubt)} (epoch {found.epoch});"
            f" targets where something may be left: {found.doubted_targets}",
            "yellow",
        )


@command(app, "show", examples="taskbound target show orders-db")
def show(session: Session, name: NameArgument) -> None:
    """Show a target: its address, owner and approvers, kinds of credentials, and last preflight."""
    found = session.ask(wire.ListTargets(name=name), wire.TargetRows)
    row = only_row(found, name)
    session.screen.report(row)
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
    """Replace the broker's admin access to a target, and wait for the preflight.

    Live credentials are revoked with the new access. The file identifies the target and must match what the
    daemon knows.

    With `--new-keys` nothing on the host can be revoked until you do there what the command prints.
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
    ask = wire.SetAdmin(name=target.name, sealed=_seal(session, target, access, number), number=number)
    testing = session.ask(ask, wire.TargetTesting)
    _conclude(session, target, testing, halves if new_keys else None, before=row.tested)


@command(app, "remove", asks=True, examples="taskbound target remove orders-db --yes")
def remove(session: Session, name: NameArgument) -> None:
    """Remove a target that holds no live credentials.

    Revoke them first with `taskbound credential revoke --target TARGET`.
    """
    session.confirm(f"Remove the target {shown(name)}? No task gets a credential of it any more.")
    session.act(wire.RemoveTarget(name=name), f"target {shown(name)} removed")


@command(
    app,
    "host-helper",
    examples="taskbound target host-helper | ssh root@build.example"
    " 'install -m 755 /dev/stdin /usr/local/sbin/taskbound-ssh-host'\n"
    "taskbound target host-helper --output taskbound-ssh-host",
)
def host_helper(
    session: Session,
    output: Annotated[str, option("--output -o FILE", "Write it there.")] = "",
) -> None:
    """Print the helper that an OpenSSH host needs: one file for Python 3.9 and OpenSSH.

    It knows whom the host admits, and ends their sessions. For installation see docs/guides/openssh.md.
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
    nodes = place.at if isinstance(place, RedisPlace) else (place,)
    for one in nodes:
        trouble = _trouble_of(one.host, one.port)
        if trouble:
            raise BadInputError(
                f"the host `{shown(one.host)}` is nowhere: {trouble}; nothing was declared",
                remedy="correct `where` in the target's file, or have the host known on this machine first",
            )


def _trouble_of(host: str, port: int) -> str:
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
        return "no address is known of it" if error.errno in _NOWHERE else ""  # unknown now
    return ""


def _seal(session: Session, target: TargetFile, access: AdminAccess, number: int) -> str:
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
    testing: wire.TargetTesting,
    fresh: PublicHalves | None,
    *,
    before: int | None = None,
) -> None:
    if fresh is None:
        await_preflight(session, testing, before=before)
        return
    say_steps(session, target, fresh)
    seen = watch_preflight(session, testing, before=before, patience=_FIRST_LOOK)
    keys = NewKeys(target=seen.row, ca=fresh.ca, key=fresh.key, steps=steps_for(target, fresh))
    say_first_look(session, keys, over=seen.over)


def _counted(count: int) -> str:
    return f"{count} or more" if count >= 1_000 else str(count)  # noqa: PLR2004 - what the daemon counts to
