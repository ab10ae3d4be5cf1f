"""An error at each place where the path of a decision calls anything (I-19), on all processors."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections import Counter
from typing import Final

from dev.soaks.found import Found
from tests.sqlite import closing_stores, sqlite_store
from tests.stories.failed import CASES, ERRORS, fail

_CONTEXT: Final = multiprocessing.get_context("spawn")


def soak_failing(count: int, seed: int) -> Found:
    """Each place of each case fails with so many kinds of errors."""
    asked = [(name, (seed + number) % len(ERRORS)) for number in range(count) for name in CASES]
    found: Counter[str] = Counter()
    with _CONTEXT.Pool(os.cpu_count()) as workers:
        for number, some in enumerate(workers.imap_unordered(_fail, asked), 1):
            found += some
            print(f"failing: {number} of {len(asked)}, {found.total():,} calls", flush=True)
    permits, others = found.pop("permit", 0), found.total()
    return Found(
        counted=f"{others + permits:,} calls of {len(CASES)} kinds, each with an error at one place:"
        f" {others:,} not permitted, {permits:,} that may be and fail no more by then"
    )


def _fail(asked: tuple[str, int]) -> Counter[str]:
    name, error = asked
    logging.disable()
    with closing_stores():
        return fail(name, sqlite_store, error=error)
