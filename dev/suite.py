"""Runs a tier of the tests, then what failed once more, each test alone: `dev/test`, `dev/test --all`.

A test that fails and then passes alone is printed as FLAKY with both outputs, and kept in the file that
TASKBOUND_FLAKY names. Exit status: that of pytest; 0 where each failure was flaky and at most five were.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

MOST_FLAKY = 5
MOST_AGAIN = 25
"""With more failures than this nothing is run again: the run is broken, and the time would only be lost."""
TAIL = 60
"""Lines kept of each output."""
FAILED = 1
PYTEST = (sys.executable, "-m", "pytest")


def main(arguments: list[str]) -> int:
    """Run the tests; arguments go to pytest."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder, "record.json")
        status = subprocess.run([*PYTEST, "--record", str(record), *arguments], check=False).returncode
        said = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    failed: dict[str, str] = said.get("failed", {})
    if status != FAILED or said.get("secrets") or not failed:
        return status
    if len(failed) > MOST_AGAIN:
        print(f"\n{len(failed)} tests failed; with more than {MOST_AGAIN} none is run again")
        return status
    flaky, broken = run_again(failed)
    for test, (first, second) in flaky.items():
        print(flaky_text(test, first, second))
    keep({test: flaky_text(test, *outputs) for test, outputs in flaky.items()})
    for test in broken:
        print(f"FAILED twice: {test}")
    print(f"\nrun again alone: {len(broken)} failed, {len(flaky)} FLAKY (at most {MOST_FLAKY})", flush=True)
    return FAILED if broken or len(flaky) > MOST_FLAKY else 0


def run_again(failed: dict[str, str]) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Run each test alone.

    Returns:
        Those that pass now, with both outputs; those that fail again.
    """
    flaky, broken = dict[str, tuple[str, str]](), list[str]()
    for test, first in failed.items():
        print(f"\nonce more, alone: {test}", flush=True)
        again = subprocess.run(
            [*PYTEST, "-q", test], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if again.returncode == 0:
            flaky[test] = (first, again.stdout)
        else:
            print(again.stdout)
            broken.append(test)
    return flaky, broken


def flaky_text(test: str, first: str, second: str) -> str:
    """What is printed and kept of a flaky test."""
    ends = ("\n".join(text.splitlines()[-TAIL:]) for text in (first, second))
    return "\n".join([f"FLAKY {test}", "--- failed:", next(ends), "--- passed alone:", next(ends)])


def keep(texts: dict[str, str]) -> None:
    """Add to the file that CI prints last."""
    path = os.environ.get("TASKBOUND_FLAKY")
    if path and texts:
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(f"{text}\n\n" for text in texts.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
