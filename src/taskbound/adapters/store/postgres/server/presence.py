"""Which processes are there: locks of the server, on a connection of each process's own.

1. A process is present under a name as long as its connection holds the lock of that name. The server
   gives it back when the connection ends, for whatever reason: who is gone is present under nothing.
2. Locks are shared, so that nobody waits and two may be present under one name.
3. A lost connection is noticed when one is present anew, and all names are taken again: until then others
   may not see this process, and so they look twice, some seconds apart, before they act on it.
4. What a process goes by is a lock as well, of a kind of its own, and taken before the others are looked at:
   of two that differ and begin at once, one at least sees the other.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

import psycopg

from taskbound.adapters.store.postgres.server.driver import connect, translate
from taskbound.adapters.store.postgres.server.link import write_wholes
from taskbound.ports.store import OtherRulesError

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.adapters.store.postgres.server.driver import Connection


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
