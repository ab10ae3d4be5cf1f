"""Which processes are there, who orders the log, and how records are numbered.

Of `presence`:

1. A process is present under a name as long as its connection holds the lock of that name. The server
   gives it back when the connection ends, for whatever reason: who is gone is present under nothing.
2. Locks are shared, so that nobody waits and two may be present under one name.
3. A lost connection is noticed when one is present anew, and all names are taken again: until then others
   may not see this process, and so they look twice, some seconds apart, before they act on it.
4. What a process goes by is a lock as well, of a kind of its own, and taken before the others are looked at:
   of two that differ and begin at once, one at least sees the other.

Of `seat`:

1. The server gives it back when the connection ends, for whatever reason: a process that
   can't reach the server doesn't have it.
2. It is asked for anew each time, so that a lost seat is noticed at the next round.
3. It spares work and settles nothing: what two that both believe to have it write is
   compared with rows.

Of `number`:

1. A record's number is its transaction's id, shifted, and its place within it. Ids are
   given in an order of their own, and transactions commit in another: a reader of
   "number > last seen" would lose records.
2. So the log is read only up to the lowest id that can still commit (the snapshot's
   `xmin`): below it everything has been decided, and nothing comes later. Within that
   the numbers are the order, and what has no place is what comes after the last that has one.
3. A writer's own records are in their order, since its transactions follow each other.
   A record that names another writer's head comes after it: the head had committed
   before this transaction got its id (`PostgresAudit.append` holds that).
4. A database that was loaded into another server finds smaller ids there. Its numbers
   go on above the last one (`shift`), or the store is refused: nothing is passed over.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

import psycopg

from taskbound.adapters.store.postgres.server.link import connect, translate, write_wholes
from taskbound.ports.store import OtherRulesError

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.adapters.store.postgres.server.link import Connection


_TAKE: Final = "SELECT pg_advisory_lock_shared($1::bigint)"
_LOCKS: Final = """
    SELECT DISTINCT classid::bigint << 32 | objid::bigint FROM pg_locks
    WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_OWN: Final = f"{_LOCKS} AND pid = pg_backend_pid()"
_OTHERS: Final = f"""{_LOCKS} AND pid <> pg_backend_pid()
        AND (classid::bigint << 32 | objid::bigint) = ANY($1::bigint[])"""


_AGREED: Final = 0x5442_6E66
_AGREE: Final = f"SELECT pg_advisory_lock_shared({_AGREED}, $1::int4)"
_DIFFER: Final = f"""
    SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2
        AND classid::bigint = {_AGREED} AND objid::int4 <> $1::int4 AND pid <> pg_backend_pid()
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""  # noqa: S608  # our own constant


class Presence:
    """The names that one process is present under; used from one thread at a time."""

    def __init__(self, url: str) -> None:
        """Be present under nothing yet."""
        self._url = url
        self._connection: Connection | None = None
        self._names: set[str] = set()
        self._agreed: int | None = None

    def attend(self, name: str) -> None:
        """Be present under this name too, and again under every name so far (rule 3).

        Raises:
            StoreUnavailableError: The server can't be asked.
        """
        self._names.add(name)
        try:
            fresh = self._connection is None
            connection = self._open()
            if fresh and self._agreed is not None:
                connection.execute(_AGREE, (self._agreed,))  # 3
            held = {found for (found,) in connection.execute(_OWN)}
            for one in sorted(map(_key, self._names)):
                if one not in held:
                    connection.execute(_TAKE, (one,))  # 2
        except psycopg.Error as error:
            self._drop()
            raise translate(error) from error

    def agree(self, what: str) -> None:
        """Be present as one that goes by this (rule 4).

        Raises:
            OtherRulesError: Another process goes by something else.
            StoreUnavailableError: The server can't be asked.
        """
        key = int.from_bytes(sha256(what.encode()).digest()[:4], "big", signed=True)
        try:
            connection = self._open()
            connection.execute(_AGREE, (key,))
            found = connection.execute(_DIFFER, (key,)).fetchone()
        except psycopg.Error as error:
            self._drop()
            raise translate(error) from error
        if found is None or found[0]:
            self._drop()
            raise OtherRulesError("another daemon on this database has other base rules")
        self._agreed = key

    def others(self, names: Collection[str]) -> frozenset[str]:
        """Those of these names that another process is present under now.

        Raises:
            StoreUnavailableError: The server can't be asked.
        """
        if not names:
            return frozenset()
        keys = {_key(one): one for one in names}
        try:
            found = self._open().execute(_OTHERS, (write_wholes(keys),)).fetchall()
        except psycopg.Error as error:
            self._drop()
            raise translate(error) from error
        return frozenset(keys[int(str(key))] for (key,) in found)

    def leave(self) -> None:
        """Be present under nothing anymore."""
        self._names.clear()
        self._drop()

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self._url, application="taskbound presence")
        return self._connection

    def _drop(self) -> None:
        gone, self._connection = self._connection, None
        if gone is not None:
            gone.close()


def _key(name: str) -> int:
    """The number of a name's lock; two names that shared one would be taken for present together."""
    return int.from_bytes(sha256(f"taskbound presence\0{name}".encode()).digest()[:8], "big", signed=True)


_SEAT: Final = 0x5442_6E64_0003
_SEAT_TAKE: Final = "SELECT pg_try_advisory_lock($1::bigint)"
_HAVE: Final = """
    SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
        AND (classid::bigint << 32 | objid::bigint) = $1::bigint AND granted)
"""


class Seat:
    """One process's claim to the seat; used from one thread at a time."""

    def __init__(self, url: str) -> None:
        """Claim nothing yet."""
        self._url = url
        self._connection: Connection | None = None

    def hold(self) -> bool:
        """Whether this process has the seat now (rule 2); it is taken when it is free.

        Raises:
            StoreUnavailableError: The server can't be asked.
        """
        try:
            if self._connection is None:
                self._connection = connect(self._url, application="taskbound seat")
            for question in (_HAVE, _SEAT_TAKE):
                found = self._connection.execute(question, (_SEAT,)).fetchone()
                if found is not None and found[0]:
                    return True
        except psycopg.Error as error:
            self.leave()
            raise translate(error) from error
        return False

    def leave(self) -> None:
        """Give the seat up."""
        gone, self._connection = self._connection, None
        if gone is not None:
            gone.close()


MADE: Final = ("CREATE TABLE numbering (shift bigint NOT NULL)", "INSERT INTO numbering VALUES (0)")
"""What makes the table of one row that only this engine has (rule 4)."""

WIDTH: Final = 20
"""Bits for the place within a transaction: a million records."""

NUMBER: Final = f"(SELECT (pg_current_xact_id()::text::bigint + shift) << {WIDTH} FROM numbering)"  # noqa: S608  # our own constant
"""The number before the first record of this transaction."""

SETTLED: Final = (
    f"(SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint + shift) << {WIDTH} FROM numbering)"  # noqa: S608  # our own constant
)
"""All records below have been decided (rule 2)."""

NEXT: Final = (
    f"(SELECT (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + shift) << {WIDTH} FROM numbering)"  # noqa: S608  # our own constant
)
"""No record of this server is here or above (rule 4)."""
