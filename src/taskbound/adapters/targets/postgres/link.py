"""A connection to a target of PostgreSQL, for one call and no longer than its patience.

1. The server ends statements and waits for locks itself; where it doesn't, or nothing comes of it any more,
   the connection is shut from this side at the call's deadline. No call hangs (F11). The server gives up on
   us too: a transaction that it doesn't know to be lost would hold its locks against the next call.
2. The search path is the system's own catalog, so neither a name nor an operator is another's.
3. Nothing of this process' surroundings counts: no password file, and the server proves itself by its
   certificate, or is on this machine (`core.target.postgres`).
4. What the server says of a failure is not passed on but its name: it may quote what it was sent.
5. Only a server that can be written to is spoken to: a follower may not have heard yet of what it shows.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, LiteralString

import psycopg
from psycopg import errors, sql

from taskbound.ports.target import NameTakenError, TargetRefusedError, TargetUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.core.target import PostgresPlace

__all__ = ["Link", "PostgresAdmin", "linked", "named"]

_SETTINGS: Final = {
    "search_path": "pg_catalog",
    "timezone": "UTC",
    "datestyle": "ISO",
    "jit": "off",
    "client_min_messages": "warning",
}
_LEAST: Final = 0.05
"""Seconds: what is left for less isn't begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresAdmin:
    """Whom a target knows as its admin; the password is in no repr."""

    user: str
    password: str = field(default="", repr=False)


class Link:
    """One connection in autocommit, and what is left of its call's time."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], deadline: float) -> None:
        """Use this connection until the deadline, an instant of `time.monotonic`."""
        self.connection = connection
        self._deadline = deadline

    @property
    def left(self) -> float:
        """Seconds that the call has left.

        Raises:
            TargetUnavailableError: None.
        """
        left = self._deadline - time.monotonic()
        if left < _LEAST:
            raise TargetUnavailableError("the database took longer than the call may take")
        return left

    def run(
        self, statement: sql.Composed | LiteralString, values: Sequence[object] = ()
    ) -> list[tuple[Any, ...]]:
        """The rows of a statement; none of one that has none. Raises as `linked`."""
        _ = self.left
        whole = statement if isinstance(statement, sql.Composed) else sql.SQL(statement)
        found = self.connection.execute(whole, values or None)
        return found.fetchall() if found.description is not None else []


@contextmanager
def linked(
    place: PostgresPlace, user: str, password: str, *, patience: float, database: str = ""
) -> Iterator[Link]:
    """A connection for as long as this lasts.

    Args:
        place: Where the database is.
        user: Who connects.
        password: With what; none where the server asks for none.
        patience: Seconds, for all of it.
        database: Another one of the same server.

    Raises:
        TargetUnavailableError: The server can't be reached, is not itself, or takes longer.
        TargetRefusedError: It refuses something to this user.
        NameTakenError: A role of the name is there.
    """
    deadline = time.monotonic() + patience
    try:
        with (
            psycopg.connect(
                **_where(place, user, password, patience, database), autocommit=True
            ) as connection,
            _cut_at(connection, deadline),
        ):
            yield Link(connection, deadline)
    except errors.DuplicateObject:
        raise NameTakenError("the database has a role of that name") from None
    except (errors.InsufficientPrivilege, errors.InvalidAuthorizationSpecification) as error:
        raise TargetRefusedError(_said(error)) from None
    except (psycopg.Error, UnicodeError, OSError) as error:
        raise TargetUnavailableError(_said(error)) from None  # 4


def named(name: str) -> sql.Identifier:
    """A role's name in a statement."""
    return sql.Identifier(name)


def _said(error: Exception) -> str:
    state = getattr(error, "sqlstate", None)
    return f"the database says {type(error).__name__}" + (f" ({state})" if state else "")


def _where(place: PostgresPlace, user: str, password: str, patience: float, database: str) -> dict[str, Any]:
    bound = max(1, int(patience * 1000))
    settings = _SETTINGS | {
        "statement_timeout": f"{bound}ms",
        "lock_timeout": f"{max(1, bound // 2)}ms",
        "idle_in_transaction_session_timeout": f"{bound}ms",
    }
    found: dict[str, Any] = {
        "host": place.host,
        "port": place.port,
        "dbname": database or place.database,
        "user": user,
        "password": password or None,
        "passfile": os.devnull,  # 3
        "connect_timeout": max(1, int(patience)),
        "tcp_user_timeout": bound,
        "target_session_attrs": "read-write",  # 5
        "application_name": "taskbound",
        "client_encoding": "UTF8",
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        "sslmode": "verify-full" if place.roots else "prefer",
    }
    if place.roots:
        found["sslrootcert"] = place.roots
    return {name: value for name, value in found.items() if value is not None}


@contextmanager
def _cut_at(connection: psycopg.Connection[tuple[Any, ...]], deadline: float) -> Iterator[None]:
    """Shut the connection at the deadline, whoever waits for it (rule 1)."""
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
