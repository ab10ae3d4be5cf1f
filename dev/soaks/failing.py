"""An error at each place where the path of a decision calls anything (I-19), on all processors."""

from __future__ import annotations

import logging
import multiprocessing
import os
import tempfile
from collections import Counter
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dev.soaks.found import Found
from taskbound.adapters.store.memory import MemoryStore
from taskbound.adapters.store.sql import SqlStore
from tests.stories.failed import CASES, ERRORS, fail

if TYPE_CHECKING:
    from taskbound.ports.store import Store

__all__ = ["soak_failing"]

_CONTEXT: Final = multiprocessing.get_context("spawn")


def soak_failing(count: int, seed: int) -> Found:
    """Each place of each case fails with so many kinds of errors, over memory and SQLite."""
    asked = [
        (name, stored, (seed + number) % len(ERRORS))
        for number in range(count)
        for name in CASES
        for stored in (False, True)
    ]
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


def _fail(asked: tuple[str, bool, int]) -> Counter[str]:
    name, stored, error = asked
    logging.disable()
    numbers = count()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tb-")))

        def store() -> Store:
            if not stored:
                return MemoryStore()
            return stack.enter_context(closing(SqlStore(folder / f"{next(numbers)}.db", reserve=0)))

        return fail(name, store, error=error)
