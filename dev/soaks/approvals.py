"""Racing uses of approvals, from the workers of two daemons over one database, beside all that ends them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from dev.soaks.found import Found
from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.sql import SqlStore
from tests.peers.racing import KINDS, TRIES, race_rounds
from tests.postgres import running

__all__ = ["soak_approvals"]

_TURN: Final = 50


def soak_approvals(count: int, seed: int) -> Found:
    """So many tries to use approvals, half of them over SQLite and half over PostgreSQL."""
    rounds = max(1, count // (4 * TRIES * len(KINDS)))
    used = approvals = 0
    with running() as server:
        for start in range(0, rounds, _TURN):
            turn = min(_TURN, rounds - start)
            for what in KINDS:
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / "race.db"
                    first, second = SqlStore(path, reserve=0), SqlStore(path, reserve=0)
                    used += race_rounds(what, (first, second), turn)
                    first.close()
                    second.close()
                name = server.database()
                one, other = PostgresStore(server.url(name)), PostgresStore(server.url(name))
                used += race_rounds(what, (one, other), turn)
                one.close()
                other.close()
                server.drop(name)
                approvals += 2 * turn
    tries = approvals * 2 * TRIES
    return Found(
        counted=f"{tries:,} tries to use {approvals:,} approvals: {used:,} used, none twice (seed {seed})"
    )
