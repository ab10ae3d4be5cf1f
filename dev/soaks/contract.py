"""What any target owes, held by those that CI holds to a part of it: a Valkey's whole contract."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from dev.soaks.found import Found

_ROOT: Final = Path(__file__).parents[2]
_TARGETS: Final = "valkey"
_PASSED: Final = re.compile(r"([0-9]+) passed")


def soak_contract(count: int, seed: int) -> Found:  # noqa: ARG001 - the same each time
    """The whole suite, so many times."""
    passed = sum(_run() for _ in range(count))
    return Found(counted=f"{_TARGETS}: {passed:,} tests of the whole contract passed")


def _run() -> int:
    """How many tests passed.

    Raises:
        AssertionError: One of them did not.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/contracts/target", "-q", "-x", "-k", _TARGETS],
        cwd=_ROOT,
        env={**os.environ, "TASKBOUND_CONTRACT": _TARGETS},
        capture_output=True,
        text=True,
        check=False,
    )
    found = _PASSED.search(done.stdout)
    if done.returncode or found is None:
        raise AssertionError(f"the contract does not hold: {done.stdout[-4_000:]}")
    return int(found[1])
