"""Connections to a PostgreSQL target, bounded by their call's patience.

1. The server limits statements and lock waits; if it fails to, we shut the connection at the call's
   deadline. No call hangs (F11). The server limits the connection too, since an abandoned transaction
   would hold its locks against the next call.
2. The search path is `pg_catalog` only, so no name or operator can be shadowed.
3. Nothing of this process's environment counts: no password file, no redirecting variable (one that libpq
   rejects is a failure). The server proves itself by its certificate, or is local (`core.target.postgres`).
   A local attacker who owns the socket's folder or port may answer, so passwords are sent by SCRAM only,
   which reveals nothing and makes the server prove that it knows the password.
4. Only the name of a server's error is passed on, as its text may quote what was sent. Failed connections
   have no name; a text of ours lists the usual causes.
5. Only a writable server is used: a standby may lag.
6. At most `KEPT` admin connections are kept, since a new one costs more than the call. One is probed
   before reuse and dropped after any failure; the server ends idle ones. All end with their target.
7. Names of roles and databases are bytes in the encoding of the database where they were made. A name that
   is invalid here is read with escapes and hides nothing else. Text functions (`starts_with`) fail on such
   names, so names are compared as they are.
"""

from __future__ import annotations

import math
import os
import re
import socket
import threading
import time
import weakref
from contextlib import contextmanager, suppress
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final, LiteralString

import psycopg
from psycopg import errors, sql
from psycopg.adapt import Loader

from taskbound.core.dataclass import dataclass
from taskbound.ports.target import (
    NameTakenError,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from psycopg.abc import Buffer

    from taskbound.core.target import PostgresPlace


KEPT: Final = 4
"""Connections of one target that wait for the next call."""
_IDLE: Final = "60s"
"""After so long the server ends a connection that waits (14 and later)."""
_IDLES: Final = 140_000
_WRITES: Final = "SELECT current_setting('transaction_read_only')"

_SETTINGS: Final = {
    "search_path": "pg_catalog",
    "timezone": "UTC",
    "datestyle": "ISO",
    "jit": "off",
    "client_min_messages": "warning",
}
_UNCONNECTED: Final = (
    ("password authentication failed", "the database refuses this user's password"),
    ("no pg_hba.conf entry", "the database's pg_hba.conf lets this user in from nowhere that we come from"),
    ("peer authentication failed", "the database's pg_hba.conf asks who we are (peer), and for no password"),
    ("permission denied for database", "this user may not connect to the database (CONNECT)"),
    ("is not permitted to log in", "this user may not log in (LOGIN)"),
    ("too many c", "the database has as many connections as it takes"),
    ("certificate", "the server's certificate does not prove that it is the host that was named"),
    ("could not translate host name", "no such host is known"),
    ("no such file or directory", "no server is at that host: there is no such path"),
    ("connection refused", "no server answers at that host and port"),
    ("no route to host", "no server answers at that host and port"),
    ("timeout expired", "no server answers at that host and port in time"),
    ("session is read-only", "only a follower is there, which nothing can be written to"),
    ('database "', "the server has no database of that name, or does not let anybody in there"),
)
"""What stands in a failure to connect, in lower case, and what we say then (rule 4); the first that fits."""
_NEVER: Final = 1 << 30
"""So often a statement is run before the driver has it planned by itself; what is `planned` is at once."""
_PROBE: Final = 1.0
"""Seconds in which a connection that was kept has to answer: a new one may be let in where it does not."""
_ADMIN_OPTION: Final = re.compile(r'admin option on role "(\w{1,63})"', re.ASCII)
"""What stands in a refusal, in lower case, where a role is another one's to give, to change or to drop."""
_LACKING: Final = (
    ("schema taskbound", "USAGE on the schema `taskbound`"),
    ("table contexts", "SELECT, INSERT and DELETE on `taskbound.contexts`"),
    ("to create role", "CREATEROLE"),
    ("admin option", "ADMIN OPTION on a role of others"),
    ("pg_signal_backend", "membership in `pg_signal_backend`"),
)
"""What stands in a refusal, in lower case, and the right that is missing then; the first that fits."""
_LEAST: Final = 0.05
"""Seconds: what is left for less isn't begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresAdmin:
    """The admin role; the password is omitted from repr."""

    user: str
    password: str = field(default="", repr=False)


class _Texts(Loader):
    def load(self, data: Buffer) -> str:
        return bytes(data).decode(errors="backslashreplace")


class Link:
    """One autocommit connection, and the rest of its call's time."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], deadline: float) -> None:
        """`deadline` is an instant of `time.monotonic`."""
        self.connection = connection
        self._deadline = deadline

    @property
    def left(self) -> float:
        """Returns the seconds that the call has left; raises TargetUnavailableError if none."""
        left = self._deadline - time.monotonic()
        if left < _LEAST:
            raise TargetUnavailableError("the database took longer than the call may take")
        return left

    def run(
        self,
        statement: sql.Composed | LiteralString | bytes,
        values: Sequence[object] | Mapping[str, object] = (),
        *,
        planned: bool = False,
    ) -> list[tuple[Any, ...]]:
        """Returns rows; `planned` keeps the plan: planning a catalog query outlasts running it."""
        _ = self.left
        whole = sql.SQL(statement) if isinstance(statement, str) else statement
        found = self.connection.execute(whole, values or None, prepare=planned)
        return found.fetchall() if found.description is not None else []

    def rows(self, statement: LiteralString, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        """Streams rows, so a server can't exhaust memory; a caller that stops early ends the connection."""
        _ = self.left
        for row in self.connection.cursor().stream(sql.SQL(statement), values):
            try:
                yield row
            except GeneratorExit:
                self.connection.close()
                raise


@contextmanager
def linked(
    place: PostgresPlace, user: str, password: str, *, patience: float, database: str = ""
) -> Iterator[Link]:
    """Yields a connection for one call of `patience` seconds; `database`: another of the same server."""
    deadline = time.monotonic() + patience
    where = _where(place, user, password, patience, database=database)
    with _told(), _connected(where) as connection, _cut_at(connection, deadline):
        yield Link(connection, deadline)


class Links:
    """The admin's connections to one target (rule 6); thread-safe."""

    def __init__(self, place: PostgresPlace, admin: PostgresAdmin) -> None:
        self._place = place
        self._admin = admin
        self._kept: list[tuple[int, psycopg.Connection[tuple[Any, ...]]]] = []
        """With the server's wait limit in seconds (rule 1), the newest last."""
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._kept)

    @contextmanager
    def linked(self, patience: float) -> Iterator[Link]:
        """Yields a connection for one call; raises as `linked`."""
        deadline = time.monotonic() + patience
        with _told():
            connection = self._take(patience, deadline)
            try:
                with _cut_at(connection, deadline):
                    yield Link(connection, deadline)
                self._keep(patience, connection)
            except BaseException:
                connection.close()
                raise

    def _take(self, patience: float, deadline: float) -> psycopg.Connection[tuple[Any, ...]]:
        while (kept := self._next(patience)) is not None:
            try:
                with _cut_at(kept, min(deadline, time.monotonic() + _PROBE)):
                    if kept.execute(_WRITES).fetchone() == ("off",):  # 5
                        return kept
            except (psycopg.Error, OSError):
                pass  # whatever it is, a new connection says it
            kept.close()
        left = max(_LEAST, deadline - time.monotonic())
        place, admin = self._place, self._admin
        where = _where(place, admin.user, admin.password, left, bound=_bound(patience))
        try:
            fresh = _connected(where)
        except (psycopg.Error, UnicodeError, OSError) as error:
            raise TargetUnreachedError(_said(error)) from None  # 4
        fresh.prepare_threshold = _NEVER
        try:
            if fresh.info.server_version >= _IDLES:
                fresh.execute("SELECT set_config('idle_session_timeout', %s, false)", (_IDLE,))
        except BaseException:
            fresh.close()
            raise
        return fresh

    def _next(self, patience: float) -> psycopg.Connection[tuple[Any, ...]] | None:
        bound = _bound(patience)
        with self._lock:
            found = [place for place, (told, _) in enumerate(self._kept) if told == bound]
            return self._kept.pop(found[-1])[1] if found else None

    def _keep(self, patience: float, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        with self._lock:
            self._kept.append((_bound(patience), connection))
            over = self._kept.pop(0)[1] if len(self._kept) > KEPT else None
        if over is not None:
            over.close()


def _connected(where: Mapping[str, Any]) -> psycopg.Connection[tuple[Any, ...]]:
    fresh = psycopg.connect(**where, autocommit=True)
    for one in ("name", "text"):
        fresh.adapters.register_loader(one, _Texts)  # 7
    return fresh


def _close(kept: list[tuple[int, psycopg.Connection[tuple[Any, ...]]]]) -> None:
    for _, one in kept:
        one.close()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except errors.DuplicateObject:
        raise NameTakenError("the database has a role of that name") from None
    except errors.InsufficientPrivilege as error:
        raise TargetRefusedError(f"{_said(error)}: the admin access lacks {_lacking(error)}") from None
    except errors.InvalidAuthorizationSpecification as error:
        raise TargetRefusedError(_said(error)) from None
    except (psycopg.Error, UnicodeError, OSError) as error:
        raise TargetUnavailableError(_said(error)) from None


def named(name: str) -> sql.Identifier:
    return sql.Identifier(name)


def join(link: Link, name: str) -> None:
    """Makes the admin a member of this role, unless it is a superuser."""
    if link.run("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") != [(True,)]:
        link.run(sql.SQL("GRANT {} TO CURRENT_USER").format(named(name)))


def part(link: Link, name: str) -> None:
    link.run(sql.SQL("REVOKE {} FROM CURRENT_USER").format(named(name)))


def _said(error: Exception) -> str:
    state = getattr(error, "sqlstate", None)
    if state is None and isinstance(error, psycopg.OperationalError):
        text = str(error).lower()
        known = next((ours for theirs, ours in _UNCONNECTED if theirs in text), None)
        if known is not None:
            return known
    return f"the database says {type(error).__name__}" + (f" ({state})" if state else "")


def _lacking(error: psycopg.Error) -> str:
    """Names the missing right where the server's text tells it; such texts quote no secret."""
    text = f"{error.diag.message_primary or ''} {error.diag.message_detail or ''}".lower()
    if of := _ADMIN_OPTION.search(text):
        return f"ADMIN OPTION on `{of[1]}`"
    return next((right for theirs, right in _LACKING if theirs in text), "a right")


def _bound(patience: float) -> int:
    return max(1, math.ceil(patience))


def _where(
    place: PostgresPlace,
    user: str,
    password: str,
    patience: float,
    *,
    database: str = "",
    bound: float = 0.0,
) -> dict[str, Any]:
    """Returns libpq's parameters; `bound` is the server's limit in seconds if larger than the patience."""
    most = max(1, int(max(patience, bound) * 1000))
    settings = _SETTINGS | {
        "statement_timeout": f"{most}ms",
        "lock_timeout": f"{max(1, most // 2)}ms",
        "idle_in_transaction_session_timeout": f"{most}ms",
    }
    found: dict[str, Any] = {
        "host": place.host,
        "hostaddr": "",  # 3
        "port": place.port,
        "dbname": database or place.database,
        "user": user,
        "password": password or None,
        "passfile": os.devnull,  # 3
        "connect_timeout": max(1, int(patience)),
        "tcp_user_timeout": most,
        "target_session_attrs": "read-write",  # 5
        "application_name": "taskbound",
        "client_encoding": "UTF8",
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        "sslmode": "verify-full" if place.roots else "prefer",
    }
    if place.roots:
        found["sslrootcert"] = place.roots
    elif password:
        found["require_auth"] = "scram-sha-256"  # 3
    return {name: value for name, value in found.items() if value is not None}


@contextmanager
def _cut_at(connection: psycopg.Connection[tuple[Any, ...]], deadline: float) -> Iterator[None]:
    with socket.socket(fileno=os.dup(connection.fileno())) as end:

        def cut() -> None:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

        watch = threading.Timer(max(0.0, deadline - time.monotonic()), cut)
        watch.daemon = True
        watch.start()
        try:
            yield
        finally:
            watch.cancel()
            watch.join()
