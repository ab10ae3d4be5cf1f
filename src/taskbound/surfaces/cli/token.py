"""`taskbound token`: OAuth clients, and the admissions that they were given."""

from __future__ import annotations

from typing import Annotated

import typer

from taskbound.surfaces.cli.screen import moment, shown
from taskbound.surfaces.cli.session import Session, command, group
from taskbound.wire.authorization import (
    AddClient,
    AdmissionRows,
    ClientRow,
    ClientRows,
    EndAdmission,
    ListAdmissions,
    ListClients,
    RemoveClient,
    ShowClient,
)
from taskbound.wire.connection import Done

app = group("token", "Tokens, and the clients that people get them for.")
clients = group("client", "Programs that are sent codes in a person's browser.")
app.add_typer(clients)
admissions = group("admission", "The admissions of clients: one task each, until it is ended.")
app.add_typer(admissions)

NameArgument = Annotated[
    str, typer.Argument(help="What it sends as `client_id`, such as desk.", show_default=False)
]


@command(
    clients,
    "add",
    examples="taskbound token client add desk --redirect http://127.0.0.1/callback --shown 'The desk client'",
)
def add(
    session: Session,
    name: NameArgument,
    redirect: Annotated[
        list[str],
        typer.Option(
            "--redirect",
            metavar="URI",
            help="Where codes are sent, letter by letter; at 127.0.0.1 and [::1] any port is. Repeatable.",
        ),
    ],
    called: Annotated[
        str, typer.Option("--shown", help="What it is called where people consent; its name if not given.")
    ] = "",
) -> None:
    """Register a client that has no metadata document; only the owner of the data directory may."""
    added = session.ask(AddClient(client=name, redirects=tuple(redirect), shown=called), ClientRow)
    if session.screen.json:
        session.screen.document(added)
        return
    session.screen.line(f"client {shown(added.client)} added")


@command(clients, "list", examples="taskbound token client list")
def list_all(session: Session) -> None:
    """List the registered clients."""
    found = session.ask(ListClients(), ClientRows)
    if session.screen.json:
        session.screen.document(found)
        return
    session.screen.table(
        ("CLIENT", "SHOWN AS", "REDIRECTS", "BY"),
        [(one.client, one.shown, ", ".join(one.redirects), one.by) for one in found.rows],
        "no clients; add one with `taskbound token client add`",
    )


@command(clients, "show", examples="taskbound token client show desk")
def show(session: Session, name: NameArgument) -> None:
    """Show a client's redirect addresses, and who registered it."""
    found = session.ask(ShowClient(client=name), ClientRow)
    if session.screen.json:
        session.screen.document(found)
        return
    session.screen.heading(shown(found.client))
    session.screen.fields(
        [
            ("  shown as", found.shown),
            ("  redirects", tuple(found.redirects)),
            ("  added", f"{moment(found.added)} by {shown(found.by)}"),
        ]
    )


@command(clients, "remove", asks=True, examples="taskbound token client remove desk --yes")
def remove(session: Session, name: NameArgument) -> None:
    """Remove a client, so that it is sent no codes; only the owner of the data directory may."""
    session.confirm(f"Remove the client {shown(name)}? It is sent nothing more.")
    session.done(session.ask(RemoveClient(client=name), Done), f"client {shown(name)} removed")


@command(admissions, "list", examples="taskbound token admission list --client desk")
def list_admissions(
    session: Session,
    client: Annotated[str, typer.Option("--client", help="Only of this client.")] = "",
    task: Annotated[str, typer.Option("--task", help="Only to this task.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="How many at most.")] = 50,
    before: Annotated[str, typer.Option("--before", help="The last admission of the page before.")] = "",
) -> None:
    """List the admissions of clients, newest first."""
    ask = ListAdmissions(client=client, task=task, limit=limit, before=before)
    found = session.ask(ask, AdmissionRows)
    if session.screen.json:
        session.screen.document(found)
        return
    session.screen.table(
        ("ADMISSION", "CLIENT", "STATE", "AGENT", "TASK", "BY", "UNTIL"),
        [
            (one.admission, one.client, one.state, one.agent, one.task, one.person, moment(one.until))
            for one in found.rows
        ],
        "no clients were let in",
    )
    if found.more:
        session.screen.note(f"there are more: --before {shown(found.rows[-1].admission)}", "dim")


@command(
    admissions, "end", asks=True, examples="taskbound token admission end adm_… --why 'laptop lost' --yes"
)
def end_admission(
    session: Session,
    admission: Annotated[
        str, typer.Argument(metavar="ADMISSION", help="Its name, adm_….", show_default=False)
    ],
    why: Annotated[str, typer.Option("--why", help="Why, in words; it stands in the log.")] = "",
) -> None:
    """End an admission that you gave, or one for a task or an agent of yours."""
    session.confirm(f"End {shown(admission)}? Its tokens are worth nothing from then on.")
    ended = session.ask(EndAdmission(admission=admission, why=why), Done)
    session.done(ended, f"admission {shown(admission)} ended")
