"""The network API, fuzzed from its description by schemathesis: the harness of `tests/surfaces/network`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from dev.soaks.found import Found
from tests.surfaces.network.acting import acted
from tests.surfaces.network.fuzzing import fuzz


def soak_network(count: int, seed: int) -> Found:
    """So many examples of each kind for one route, and each constraint that is described broken by itself."""
    with tempfile.TemporaryDirectory(prefix="tb-soak-") as folder, acted(Path(folder)) as act:
        fuzzed = fuzz(act, act.one.person, examples=count, coverage=True, seed=seed)
    if fuzzed.found:
        raise AssertionError("\n".join(fuzzed.found[:5]))
    return Found(counted=f"{fuzzed.asked:,} requests at {len(fuzzed.routes)} routes, nothing found")
