"""Racing uses of approvals, from the workers of two daemons over one database, beside all that ends them."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections import Counter
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dev.soaks.found import Found
from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.sql import SqlStore
from tests.peers.racing import TABLE, TRIES, Said, race_rounds
from tests.postgres import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Server


_TURN: Final = 25
"""Rounds over one database: more of them make each slower."""
_BESIDE: Final = 3
"""Databases at once for each processor. Over one, the workers wait for each other's turn (SQLite sleeps up to
100 ms until it looks again), for locks and for syncs, and leave the processors idle most of the time."""
_CONTEXT: Final = multiprocessing.get_context("spawn")
_CELLS: Final = tuple((what, said) for what in TABLE for said in Said)


def soak_approvals(count: int, seed: int) -> Found:
    """So many tries to use approvals at least, half of them over SQLite and half over PostgreSQL."""
    rounds = ceil(count / (2 * 2 * TRIES * len(_CELLS)))
    ended: dict[str, Counter[str]] = {what: Counter() for what in TABLE}
    with running() as server, _CONTEXT.Pool(_BESIDE * (os.cpu_count() or 1)) as workers:
        turns = [(server, *one) for one in _turns(rounds)]
        for number, (what, found) in enumerate(workers.imap_unordered(_race, turns), start=1):
            ended[what] += found
            print(f"approvals: {number} of {len(turns)} turns", flush=True)
    approvals = sum(one.total() for one in ended.values())
    used = sum(one["consumed"] for one in ended.values())
    tries = approvals * 2 * TRIES
    met = "; ".join(f"{what}: {_words(found)}" for what, found in ended.items())
    counted = f"{tries:,} tries to use {approvals:,} approvals: {used:,} used, none twice"
    return Found(counted=f"{counted} ({met}; seed {seed})")


def _turns(rounds: int) -> Iterator[tuple[str, Said, int]]:
    for start in range(0, rounds, _TURN):
        for what, said in _CELLS:
            yield what, said, min(_TURN, rounds - start)


def _race(turn: tuple[Server, str, Said, int]) -> tuple[str, Counter[str]]:
    """One turn, over both engines."""
    server, what, said, rounds = turn
    ended: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "race.db"
        first, second = SqlStore(path, reserve=0), SqlStore(path, reserve=0)
        ended += race_rounds(what, (first, second), rounds, said=said)
        first.close()
        second.close()
    name = server.database()
    one, other = PostgresStore(server.url(name)), PostgresStore(server.url(name))
    ended += race_rounds(what, (one, other), rounds, said=said)
    one.close()
    other.close()
    server.drop(name)
    return what, ended


def _words(found: Counter[str]) -> str:
    return ", ".join(f"{state} {times:,}" for state, times in sorted(found.items()))
