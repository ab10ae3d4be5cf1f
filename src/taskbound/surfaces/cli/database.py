"""`taskbound db`: the shared PostgreSQL database, and copies of the store.

`upgrade` and `check` connect as the role in the address: a daemon must not have these rights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from taskbound.surfaces.cli.reading import BadInputError, read_file
from taskbound.surfaces.cli.screen import Words, moment, shown
from taskbound.surfaces.cli.session import Session, argument, command, option
from taskbound.wire.connection import BackUpStore, ReconcileStore, RestoreStore, UpgradeStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.surfaces.cli.plugs import RecoveryReport


app = typer.Typer(
    name="db", help="The database: its copies, and the tables of one in PostgreSQL.", no_args_is_help=True
)

StoreOption = Annotated[
    str, option("--store URL", "The database, `postgresql://…`; else the setting `store`.")
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
    daemon: Annotated[str, option("--daemon ROLE", "The role that daemons log in with.")] = "",
    signer: Annotated[str, option("--signer ROLE", "The role of the signer, which only reads.")] = "",
    broker: Annotated[str, option("--broker ROLE", "The role of the broker, which only reads.")] = "",
) -> None:
    """Create the tables in an existing database that has none, and grant the roles what they need.

    The address names the role that owns the database and may create roles. `--daemon`, `--signer` and
    `--broker` are created without a password if missing, with the least rights that each needs.
    """
    session.require_outside(UpgradeStore())
    revision = session.plugs.upgrade_store(_address(session, store), daemon, signer, broker)
    session.screen.report(DatabaseUpgraded(revision=revision))
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
    session.screen.report(report)
    for one in report.findings:
        session.screen.status(one.level, Words(one.text), Words(""))
    if not report.healthy:
        raise typer.Exit(1)


def _address(session: Session, told: str) -> str:
    address = told or session.place.store
    if not address:
        raise BadInputError("no database is named", remedy=f"name one with `--store`; {_OWN}")
    return address


_TENTH: Final = 10

DatabaseOption = Annotated[
    str, option("--database FILE", "The SQLite file, where it is not in the data directory.")
]
KeyOption = Annotated[
    str, option("--key VKEY", "The log's key that you hold, or a file with it; else the own signer's.")
]
LaterOption = Annotated[
    str, option("--later FILE", "A later export of the log, to report what happened since.")
]


@command(
    app,
    "backup",
    examples="taskbound db backup /srv/copies/taskbound-monday.db\n"
    "taskbound db backup /srv/copies/taskbound-monday.dump --store postgresql://owner@db.example/taskbound",
)
def backup(
    session: Session,
    file: Annotated[str, argument("FILE", "The copy; nothing may be there yet.")],
    store: StoreOption = "",
    database: DatabaseOption = "",
) -> None:
    """Copy the store at one place of its log while daemons serve, and check the copy.

    The manifest `FILE.manifest.json` is written beside it. Protect copies like the store; they hold no keys.
    """
    session.require_outside(BackUpStore())
    report = session.plugs.back_up(
        session.place, file, store=store, database=database, told=_progress(session)
    )
    session.screen.report(report)
    session.screen.line(f"{report.records} records, {report.bytes} bytes, in {shown(report.path)}")
    session.screen.line(f"log: {report.size} records of {shown(report.origin or 'no name yet')}")
    session.screen.line("sha256, to keep elsewhere:")
    session.screen.word(report.sha256)


@command(
    app,
    "restore",
    asks=True,
    examples="taskbound db restore /srv/copies/taskbound-monday.db\n"
    "taskbound db restore taskbound-monday.db --later log.jsonl --yes",
)
def restore(
    session: Session,
    file: Annotated[str, argument("FILE", "The copy, with its manifest beside it.")],
    database: DatabaseOption = "",
    key: KeyOption = "",
    later: LaterOption = "",
) -> None:
    """Replace the SQLite database with a copy and keep the old file; no daemon may serve.

    What happened since the copy is unknown, so all earlier tasks, approvals, tokens and sign-ins are over.
    Everything is stopped until you lift the stop. The log continues under another name.
    """
    session.require_outside(RestoreStore())
    session.confirm("Put the copy in the place of the database, and end all tasks, tokens and sign-ins?")
    done = session.plugs.put_back(session.place, file, database=database, key=_key(key), later=later)
    _report(session, done)


@command(
    app,
    "reconcile",
    asks=True,
    examples="taskbound db reconcile\n"
    "taskbound db reconcile --store postgresql://taskbound@db.example/taskbound --later log.jsonl",
)
def reconcile(
    session: Session,
    store: StoreOption = "",
    database: DatabaseOption = "",
    key: KeyOption = "",
    later: LaterOption = "",
    follow: Annotated[
        bool, option("--follow", "It was reconciled from another data directory: forget here.")
    ] = False,
) -> None:
    """Continue with a store that lacks records which this data directory has seen; no daemon may serve.

    Use it after loading a copy, after a failover without the last commits, or after a replaced file.
    As after `restore`, everything earlier is over and everything is stopped until you lift the stop.
    """
    session.require_outside(ReconcileStore())
    session.confirm(
        "Forget what this directory has seen, and go on with the store as it was reconciled elsewhere?"
        if follow
        else "Go on with the store that is there, and end all tasks, tokens and sign-ins?"
    )
    done = session.plugs.reconcile(
        session.place, store=store, database=database, follow=follow, later=later, key=_key(key)
    )
    _report(session, done)


def _key(told: str) -> str:
    if not told or "+" in told:
        return told
    return read_file(told, largest=4096).decode("utf-8", "replace").strip()


def _progress(session: Session) -> Callable[[int, int], None]:
    said = 0

    def told(done: int, whole: int) -> None:
        nonlocal said
        tenth = done * _TENTH // whole if whole else _TENTH
        if tenth > said and not session.screen.json and session.screen.interactive:
            said = tenth
            session.screen.note(f"{tenth * 100 // _TENTH} % copied")

    return told


def _report(session: Session, done: RecoveryReport) -> None:
    screen = session.screen
    screen.report(done)
    if done.aside:
        screen.line(f"the database of before is in {shown(done.aside)}")
    if done.finished:
        screen.line("what had to end was ended before; this directory goes on with the store")
    else:
        ended = (
            f"{done.tasks} tasks, {done.admissions} admissions, {done.sessions} sign-ins, {done.keys} keys"
        )
        screen.line(f"ended: {ended}")
        screen.line(f"stopped in: {', '.join(shown(one) for one in done.namespaces)}")
    screen.line(
        f"the log goes on as {shown(done.origin)}"
        if done.origin
        else "give daemon and signer another `--origin` before they start"
    )
    if done.later:
        screen.heading("what happened since, that the store does not know")
        rows = [(moment(one.at), one.namespace, one.kind, Words(shown(one.of))) for one in done.later]
        screen.table(("WHEN", "NAMESPACE", "WHAT", "OF"), rows, "nothing")
    screen.line("start the daemon, look, then lift the stop: `taskbound stop --lift`")
