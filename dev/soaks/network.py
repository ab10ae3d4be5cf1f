"""The network API, fuzzed from its description by schemathesis: the harness of `tests/surfaces/network`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dev.soaks.found import Found
from tests.surfaces.network.acting import acted
from tests.surfaces.network.fuzzing import Fuzzed, fuzz

if TYPE_CHECKING:
    from tests.surfaces.network.acting import Acting


def soak_network(count: int, seed: int) -> Found:
    """So many examples of each kind for one route, and each constraint that is described broken by itself."""
    fuzzed = Fuzzed()

    def work(act: Acting) -> None:
        nonlocal fuzzed
        fuzzed = fuzz(act, act.one.person, examples=count, coverage=True, seed=seed)

    with tempfile.TemporaryDirectory(prefix="tb-soak-") as folder:
        acted(Path(folder), work)
    if fuzzed.found:
        raise AssertionError("\n".join(fuzzed.found[:5]))
    return Found(counted=f"{fuzzed.asked:,} requests at {len(fuzzed.routes)} routes, nothing found")
