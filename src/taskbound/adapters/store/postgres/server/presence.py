"""Process presence, the sequencer's seat, and record numbering in PostgreSQL.

Of `presence`:

1. A process is present under a name while its connection holds that name's advisory lock. The server
   releases it when the connection ends for any reason.
2. The locks are shared: no process waits, and two may be present under one name.
3. A lost connection is noticed at the next `attend`, which takes all names again. Until then this process
   is invisible, so others must look twice, some seconds apart, before they act on an absence.
4. The rules that a process follows are a lock of another class, taken before it looks at the others: of
   two that start at once with different rules, at least one sees the other.

Of `seat`:

1. The server releases the seat when the connection ends.
2. Each call checks it anew, so a lost seat is noticed at the next round.
3. The seat saves work and is no guard: rows are compared in case two processes believe to hold it.

Of `number`:

1. A record's number is its transaction id, shifted, plus its position in the transaction. Commits happen
   in another order than ids, so "number > last seen" would lose records.
2. The log is therefore read only below the snapshot's `xmin`, the lowest id that can still commit. Within
   that, number order is the order, and records after the last placed one have no place.
3. A writer's records are in its own order, since its transactions are sequential. A record that names
   another writer's head has a higher number, because that head had committed before this transaction got
   its id (`PostgresAudit.append`).
4. A server into which a database was loaded has smaller ids. Its numbers continue above the last one
   (`shift`), or the store is refused.
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
    """The names under which one process is present; single-threaded."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._names: set[str] = set()
        self._agreed: int | None = None

    def attend(self, name: str) -> None:
        """Adds a name and renews all earlier ones (rule 3); raises StoreUnavailableError."""
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
        """Declares this process's rules; raises OtherRulesError if another process has others (rule 4)."""
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
    """Maps a name to its lock number; two names with one number would count as one presence."""
    return int.from_bytes(sha256(f"taskbound presence\0{name}".encode()).digest()[:8], "big", signed=True)


_SEAT: Final = 0x5442_6E64_0003
_SEAT_TAKE: Final = "SELECT pg_try_advisory_lock($1::bigint)"
_HAVE: Final = """
    SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
        AND (classid::bigint << 32 | objid::bigint) = $1::bigint AND granted)
"""


class Seat:
    """One process's claim to the sequencer's seat; single-threaded."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None

    def hold(self) -> bool:
        """Returns whether this process holds the seat now, taking a free one (rule 2)."""
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
