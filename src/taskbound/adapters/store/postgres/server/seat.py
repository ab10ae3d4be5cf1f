"""The seat of the one process that orders the log: a lock of the server, on a connection of its own.

1. The server gives it back when the connection ends, for whatever reason: a process that
   can't reach the server doesn't have it.
2. It is asked for anew each time, so that a lost seat is noticed at the next round.
3. It spares work and settles nothing: what two that both believe to have it write is
   compared with rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg

from taskbound.adapters.store.postgres.server.driver import connect, translate

if TYPE_CHECKING:
    from taskbound.adapters.store.postgres.server.driver import Connection


_SEAT: Final = 0x5442_6E64_0003
_TAKE: Final = "SELECT pg_try_advisory_lock($1::bigint)"
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
            for question in (_HAVE, _TAKE):
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
