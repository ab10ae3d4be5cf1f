"""Runs the tests, then what failed once more, each test alone: `dev/test`, `dev/test --all`.

`--all` is two sessions of pytest, one for each tier: a process that holds the tests of both takes too much
memory.

A test that fails and then passes alone is printed as FLAKY with both outputs, and kept in the file that
TASKBOUND_FLAKY names. Exit status: that of pytest; 0 where each failure was flaky and at most five were.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

MOST_FLAKY = 5
MOST_AGAIN = 25
"""With more failures than this nothing else is run: the tree is broken, and the time would only be lost."""
TAIL = 60
"""Lines kept of each output."""
PASSED, FAILED, NO_TESTS = 0, 1, 5
"""Exit statuses of pytest."""
PYTEST = (sys.executable, "-m", "pytest")


@dataclass(frozen=True, slots=True)
class Session:
    """One run of pytest."""

    status: int
    failed: dict[str, str]
    """The last output of each test that failed, by its name."""
    secrets: list[str]
    """Where a minted secret was found."""

    @property
    def broken(self) -> bool:
        """Whether running a test again can't make it good."""
        if self.status == FAILED:
            return bool(self.secrets) or not self.failed
        return self.status not in {PASSED, NO_TESTS}


def main(arguments: list[str]) -> int:
    """Run the tests; arguments go to pytest."""
    rest = [argument for argument in arguments if argument != "--all"]
    tiers = [arguments] if rest == arguments else [rest, [*rest, "--late"]]
    sessions, failed = list[Session](), dict[str, str]()
    if "--numprocesses" in rest:
        compile_tests(os.cpu_count() or 1)
    for tier in tiers:
        sessions.append(session := run(tier))
        failed |= session.failed
        if session.broken:
            return session.status
        if len(failed) > MOST_AGAIN:
            print(f"\n{len(failed)} tests failed; with more than {MOST_AGAIN} nothing else is run")
            return FAILED
    if not failed:
        return min(session.status for session in sessions)
    flaky, broken = run_again(failed)
    for test, (first, second) in flaky.items():
        print(flaky_text(test, first, second))
    keep({test: flaky_text(test, *outputs) for test, outputs in flaky.items()})
    for test in broken:
        print(f"FAILED twice: {test}")
    print(f"\nrun again alone: {len(broken)} failed, {len(flaky)} FLAKY (at most {MOST_FLAKY})", flush=True)
    return FAILED if broken or len(flaky) > MOST_FLAKY else 0


def compile_tests(processes: int) -> None:
    """Compile the modules of tests, each once; the processes of a session would each compile all of them."""
    sizes = {
        folder: sum(file.stat().st_size for file in folder.rglob("*.py"))
        for folder in Path("tests").iterdir()
        if folder.is_dir()
    }
    shares: list[list[Path]] = [[] for _ in range(processes)]
    for folder in sorted(sizes, key=sizes.__getitem__, reverse=True):
        min(shares, key=lambda share: sum(map(sizes.__getitem__, share))).append(folder)
    begun = [
        subprocess.Popen([*PYTEST, "--collect-only", "-qq", *share], stdout=subprocess.DEVNULL)
        for share in shares
        if share
    ]
    for one in begun:
        one.wait()  # what can't be collected is told by the session


def run(arguments: list[str]) -> Session:
    """Run one session; one that leaves no record ended half-way, whatever its status says."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder, "record.json")
        status = subprocess.run([*PYTEST, "--record", str(record), *arguments], check=False).returncode
        if not record.exists():
            return Session(status or FAILED, {}, [])
        said = json.loads(record.read_text(encoding="utf-8"))
    return Session(status, said["failed"], said["secrets"])


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
