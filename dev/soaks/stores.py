"""Generated histories over SQLite and PostgreSQL, on all processors: the same from both."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from typing import Final

from dev.soaks.found import Found
from tests.postgres import running
from tests.stories.histories import HISTORIES, compare

_BATCH: Final = 500
"""Histories for which a process starts one server."""
_CONTEXT: Final = multiprocessing.get_context("spawn")


def soak_histories(count: int, seed: int) -> Found:
    """So many histories; after each the answers are compared, and after some all records."""
    batches = [(seed, first, min(_BATCH, count - first)) for first in range(0, count, _BATCH)]
    decisions: Counter[str] = Counter()
    with _CONTEXT.Pool(os.cpu_count()) as workers:
        for number, some in enumerate(workers.imap_unordered(_live, batches), start=1):
            decisions += some
            print(f"histories: {number} of {len(batches)} batches", flush=True)
    kinds = ", ".join(f"{code} {times:,}" for code, times in decisions.most_common())
    return Found(counted=f"{count:,} histories, {decisions.total():,} decisions ({kinds}), no difference")


def _live(batch: tuple[int, int, int]) -> Counter[str]:
    seed, first, count = batch
    decisions: Counter[str] = Counter()
    with running() as server:
        for start in range(first, first + count, HISTORIES):
            decisions += compare(server, f"{seed}:{start}", min(HISTORIES, first + count - start))
    return decisions
