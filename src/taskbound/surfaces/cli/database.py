"""`taskbound db`: creates, upgrades and checks the PostgreSQL database that daemons share.

The commands connect as the role in the address, because a daemon must not have these rights. They delete
nothing, and an upgrade can be run again.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
import typer

from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.surfaces.cli.session import Session, command
from taskbound.wire.connection import UpgradeStore

app = typer.Typer(
    name="db", help="The database: its copies, and the tables of one in PostgreSQL.", no_args_is_help=True
)

StoreOption = Annotated[
    str,
    typer.Option("--store", metavar="URL", help="The database, `postgresql://…`; else the setting `store`."),
]
_OWN: Final = "SQLite in the data directory needs neither: the daemon makes its tables"


class DatabaseUpgraded(msgspec.Struct, frozen=True, kw_only=True, tag="database-upgraded", tag_field="is"):
    """The result of an upgrade."""

    revision: str


class DatabaseFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One checked item."""

    level: str
    """`ok` or `bad`."""
    text: str


class DatabaseReport(msgspec.Struct, frozen=True, kw_only=True, tag="database", tag_field="is"):
    """All checked items."""

    healthy: bool
    findings: tuple[DatabaseFinding, ...]


@command(
    app,
    "upgrade",
    examples="taskbound db upgrade --store postgresql://owner@db.example/taskbound --daemon taskbound",
)
def upgrade(
    session: Session,
    store: StoreOption = "",
    daemon: Annotated[
        str, typer.Option("--daemon", metavar="ROLE", help="The role that daemons log in with.")
    ] = "",
    signer: Annotated[
        str, typer.Option("--signer", metavar="ROLE", help="The role of the signer, which only reads.")
    ] = "",
    broker: Annotated[
        str, typer.Option("--broker", metavar="ROLE", help="The role of the broker, which only reads.")
    ] = "",
) -> None:
    """Create or upgrade the tables in an existing database, and grant the roles what they need.

    The address names the role that owns the database and may create roles. `--daemon`, `--signer` and
    `--broker` are created without a password if missing, with the least rights that each needs.
    """
    session.require_outside(UpgradeStore())
    revision = session.plugs.upgrade_store(_address(session, store), daemon, signer, broker)
    if session.screen.json:
        session.screen.document(DatabaseUpgraded(revision=revision))
        return
    session.screen.line(f"the database has revision {shown(revision)}, and every role has what it needs")


@command(app, "check", examples="taskbound db check\ntaskbound db check --store postgresql:///taskbound")
def check(session: Session, store: StoreOption = "") -> None:
    """Report the state of the database and every difference from this version; change nothing.

    Run it as the daemon's account to check that account's role. The status is 1 if something differs.
    """
    found = tuple(
        DatabaseFinding(level="ok" if well else "bad", text=text)
        for well, text in session.plugs.examine_store(_address(session, store))
    )
    report = DatabaseReport(healthy=all(one.level == "ok" for one in found), findings=found)
    if session.screen.json:
        session.screen.document(report)
    else:
        for one in report.findings:
            session.screen.status(one.level, Words(one.text), Words(""))
    if not report.healthy:
        raise typer.Exit(1)


def _address(session: Session, told: str) -> str:
    address = told or session.place.store
    if not address:
        raise BadInputError("no database is named", remedy=f"name one with `--store`; {_OWN}")
    return address
