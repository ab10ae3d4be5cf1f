"""`taskbound service`: enforcement points and downstream systems, their owners and keys."""

from __future__ import annotations

from typing import Annotated, Final

from taskbound.surfaces.cli.reading import BadInputError, read_file
from taskbound.surfaces.cli.screen import Table, moment, shown
from taskbound.surfaces.cli.session import Session, argument, command, group, option
from taskbound.wire import workload as wire
from taskbound.wire.connection import Done

app = group("service", "Services: enforcement points, and systems downstream that are shown tokens.")
keys = group("key", "The public keys that prove a service.")
app.add_typer(keys)

_PEM: Final = b"-----BEGIN "
_PUBLIC: Final = (
    "have the service write its public half: `python -c 'from pathlib import Path; from"
    ' taskbound.wiring.service import read_key; print(read_key(Path("payments.pem")).public.decode())\''
    " > payments.jwk`"
)

ServiceArgument = Annotated[str, argument("NAME", "The service's name.")]
EnforceOption = Annotated[
    list[str] | None,
    option(
        "--enforce TOOL",
        "A tool that it enforces, such as pay__refund; pay__* for all of one server. Repeatable.",
    ),
]


@command(
    app,
    "add",
    examples="taskbound service add payments --owner ann --audience https://pay.example.com"
    " --enforce 'pay__*' --enforce ledger__book",
)
def add(
    session: Session,
    name: ServiceArgument,
    owner: Annotated[str, option("--owner PERSON", "Who answers for it.")],
    audience: Annotated[
        str, option("--audience URI", "The resource by which tokens of tasks are meant for it.")
    ],
    enforce: EnforceOption = None,
) -> None:
    """Add a service; only the owner of the data directory may.

    It can't authenticate until it has a key. It receives revocations of this namespace, and may introspect
    tokens with its audience.
    """
    ask = wire.AddService(name=name, owner=owner, audience=audience, tools=tuple(enforce or ()))
    session.act(ask, f"service {shown(name)} added; it has no key yet")


_ROWS: Final = Table[wire.ServiceRow](
    ("NAME", "OWNER", "AUDIENCE", "ENFORCES", "KEYS", "TROUBLE"),
    lambda one: (
        one.name,
        one.owner,
        one.audience,
        ", ".join(one.tools) or "nothing",
        str(one.keys),
        one.trouble or "-",
    ),
    "no services; add one with `taskbound service add`",
)


@command(app, "list", examples="taskbound service list")
def list_all(session: Session) -> None:
    """List the services and their owners."""
    _ROWS.print(session.screen, session.show(wire.ListServices(), wire.ServiceRows).rows)


@command(app, "show", examples="taskbound service show payments")
def show(session: Session, name: ServiceArgument) -> None:
    """Show one service with its keys, including removed ones."""
    found = session.show(wire.ShowService(name=name), wire.ServiceDetail)
    row = found.row
    session.screen.heading(shown(row.name))
    fields: list[tuple[str, str | int | tuple[str, ...]]] = [
        ("  owner", row.owner),
        ("  audience", row.audience),
        ("  enforces", row.tools or "nothing"),
        ("  added", moment(row.added)),
    ]
    if row.trouble:
        fields.append(("  trouble", row.trouble))
    fields += [
        (
            f"  key since {moment(one.added)}",
            one.kid + (f", removed {moment(one.removed)}" if one.removed else ""),
        )
        for one in found.keys
    ]
    session.screen.fields(fields)


@command(
    app,
    "set",
    examples="taskbound service set payments --owner bob\n"
    "taskbound service set payments --enforce 'pay__*' --enforce ledger__book",
)
def change(
    session: Session,
    name: ServiceArgument,
    owner: Annotated[str, option("--owner PERSON", "Who answers for it from now on.")] = "",
    enforce: EnforceOption = None,
    nothing: Annotated[bool, option("--enforce-nothing", "It enforces no tool any more.")] = False,
) -> None:
    """Change a service's owner or what it enforces; only its owner may.

    What it enforces is replaced as a whole.
    """
    if bool(enforce) and nothing:
        raise BadInputError("a service enforces something or nothing", remedy="leave out one of the two")
    if not (owner or enforce or nothing):
        raise BadInputError(
            "nothing is to be changed", remedy="give `--owner`, `--enforce` or `--enforce-nothing`"
        )
    tools = tuple(enforce or ()) if enforce or nothing else None
    session.act(wire.ChangeService(name=name, owner=owner, tools=tools), f"service {shown(name)} changed")


@command(app, "remove", asks=True, examples="taskbound service remove payments --yes")
def remove(session: Session, name: ServiceArgument) -> None:
    """Remove a service: its keys and tokens become invalid. Only its owner may."""
    session.confirm(f"Remove service {shown(name)}? Its keys never prove anything again.")
    session.act(wire.RemoveService(name=name), f"service {shown(name)} removed")


@command(keys, "add", examples="taskbound service key add payments payments.jwk")
def add_key(
    session: Session,
    name: ServiceArgument,
    file: Annotated[str, argument("FILE", "The public half for ES256, one JSON Web Key; `-` reads it.")],
) -> None:
    """Add a public key that authenticates a service; only its owner may. The private key stays there."""
    raw = read_file(file)
    if raw.lstrip().startswith(_PEM):  # most often the private half, which is not even sent to the daemon
        raise BadInputError(f"`{shown(file)}` is a PEM, and no JSON Web Key", remedy=_PUBLIC)
    try:
        key = raw.decode()
    except UnicodeDecodeError as error:
        raise BadInputError(f"`{shown(file)}` holds no key: it is not UTF-8") from error
    done = session.ask(wire.AddServiceKey(name=name, key=key), Done)
    session.done(done, f"the key {shown(done.detail)} proves {shown(name)}")


@command(keys, "remove", asks=True, examples="taskbound service key remove payments KEY --yes")
def remove_key(
    session: Session,
    name: ServiceArgument,
    key: Annotated[str, argument("KEY", "As `show` has it.")],
) -> None:
    """Remove a service's key, and invalidate what was issued to it; only its owner may."""
    session.confirm(f"Remove the key {shown(key)}? It never proves {shown(name)} again.")
    session.act(
        wire.RemoveServiceKey(name=name, key=key), f"the key {shown(key)} proves {shown(name)} no more"
    )
