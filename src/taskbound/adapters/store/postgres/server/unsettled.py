"""A commit whose end nobody knows: the server is asked for it, by the transaction's id.

1. A transaction that still runs there may commit later: its connection is ended first.
2. A server that never gave out this id has lost the transaction: it did not happen there.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final

import psycopg

from taskbound.core.dataclass import dataclass
from taskbound.ports.store import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.adapters.store.postgres.server.driver import Connection


_END: Final = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = $1 AND backend_xid::text = $2
"""
_STATUS: Final = "SELECT pg_xact_status($1::xid8)"
_WIDTH: Final = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """A transaction whose COMMIT was sent and not answered."""

    xid: str
    """Its id, with the epoch."""
    backend: int
    """The server's process that ran it."""
    grown: Mapping[str, int] = field(default_factory=dict)
    """How far our chains are, by writer, if it committed."""

    def settle(self, connection: Connection) -> bool:
        """Whether it committed; once this returns it has ended.

        Raises:
            StoreUnavailableError: It still runs.
            psycopg.Error: The server can't be asked.
        """
        short = str(int(self.xid) % _WIDTH)  # as `pg_stat_activity` shows it
        connection.execute(_END, (self.backend, short)).fetchall()  # 1
        try:
            found = connection.execute(_STATUS, (self.xid,)).fetchone()
        except psycopg.errors.InvalidParameterValue:  # 2
            return False
        if found is not None and found[0] == "in progress":
            raise StoreUnavailableError("a commit that was not answered has not ended yet")
        return found is not None and found[0] == "committed"
