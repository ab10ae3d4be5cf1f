"""Takes guards out of the code, one at a time, and says which test sees it: `dev/guards`.

A *guard* is an `if` statement of `src/taskbound` that does nothing but raise. With ` and False` added to its
condition some test must fail. Tests run from near to far: those that quote its error, those of its room, then
the whole default tier; the first failure ends the search.

The files of the checkout are edited while it runs, so it asks for a clean one and puts each file back.
Exit status: 0; 1 where a guard was seen by no test.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "taskbound"
NEAR = 12
"""Test files tried first, at most."""
LIMIT = 1500
"""Seconds that one run of tests may take; a guard whose removal makes tests hang is seen."""
PYTEST = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider")


@dataclass(frozen=True, slots=True)
class Guard:
    """One guard: file below the root, first line, the span of its condition, and the name that it raises."""

    file: str
    line: int
    begin: int
    end: int
    raises: str

    @property
    def name(self) -> str:
        """As reports print it."""
        return f"{self.file}:{self.line} {self.raises}"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one guard: the test that saw it, '' where none did, and the seconds it took."""

    guard: str
    seen_by: str
    seconds: float


def main(arguments: list[str]) -> int:
    """Draw guards and try them."""
    parser = argparse.ArgumentParser(prog="dev/guards", description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=100, help="how many guards are drawn (default 100)")
    parser.add_argument("--seed", type=int, default=24, help="seed of the draw (default 24)")
    parser.add_argument("--list", action="store_true", help="print the drawn guards and stop")
    parser.add_argument("--report", type=Path, help="file of results (JSON), from which a second run goes on")
    options = parser.parse_args(arguments)
    every = list(guards())
    draw = random.Random(options.seed)  # noqa: S311 -- a draw that can be repeated
    drawn = draw.sample(every, min(options.count, len(every)))
    print(f"{len(every)} guards, {len(drawn)} drawn with seed {options.seed}", flush=True)
    if options.list:
        print("\n".join(guard.name for guard in drawn))
        return 0
    if changed():
        parser.error("the checkout has changes below src; run this in a clean clone")
    results = kept(options.report)
    for number, guard in enumerate(drawn, 1):
        if guard.name not in results:
            results[guard.name] = tried(guard)
            keep(options.report, results)
        result = results[guard.name]
        print(
            f"{number:4} {result.seconds:6.1f} s  {guard.name}  {result.seen_by or 'SEEN BY NO TEST'}",
            flush=True,
        )
    unseen = [guard.name for guard in drawn if not results[guard.name].seen_by]
    print(f"seen {len(drawn) - len(unseen)} of {len(drawn)}")
    return int(bool(unseen))


def guards() -> Iterator[Guard]:
    """Every guard of the source, in the order of files and lines."""
    for path in sorted(SOURCE.rglob("*.py")):
        yield from guards_of(path.read_bytes(), str(path.relative_to(ROOT)))


def guards_of(source: bytes, file: str) -> Iterator[Guard]:
    """The guards of one module, with the byte offsets of their conditions."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.If) and not node.orelse and isinstance(node.body[0], ast.Raise):
            test = node.test
            begin = starts[test.lineno - 1] + test.col_offset
            end = starts[(test.end_lineno or 0) - 1] + (test.end_col_offset or 0)
            yield Guard(file, node.lineno, begin, end, raised(node.body[0]))


def without(source: bytes, guard: Guard) -> bytes:
    """The module with the guard taken out; no line moves, and the condition is still computed."""
    return b"%b(%b) and False%b" % (
        source[: guard.begin],
        source[guard.begin : guard.end],
        source[guard.end :],
    )


def raised(statement: ast.Raise) -> str:
    """The name of the error that a statement raises, '' where it names none."""
    error = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
    if isinstance(error, ast.Attribute):
        return error.attr
    return error.id if isinstance(error, ast.Name) else ""


def tried(guard: Guard) -> Result:
    """Take a guard out, run tests until one fails, and put it back."""
    path, started, seen_by = ROOT / guard.file, time.monotonic(), ""
    whole = path.read_bytes()
    try:
        path.write_bytes(without(whole, guard))
        for tests in near_to_far(guard):
            seen_by = failing(tests)
            if seen_by:
                break
    finally:
        path.write_bytes(whole)
    return Result(guard.name, seen_by, round(time.monotonic() - started, 1))


def near_to_far(guard: Guard) -> Iterator[list[str]]:
    """Groups of test files and folders, each tried only where the groups before saw nothing."""
    room = Path(guard.file).relative_to("src/taskbound").with_suffix("")
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    naming = [path for path in files if guard.raises.encode() in path.read_bytes()] if guard.raises else []
    naming.sort(key=lambda path: -shared(path.relative_to(ROOT / "tests").parts, room.parts))
    if naming:
        yield [str(path.relative_to(ROOT)) for path in naming[:NEAR]]
    folder = ROOT / "tests" / room
    while not folder.is_dir():
        folder = folder.parent
    if folder != ROOT / "tests":
        yield [str(folder.relative_to(ROOT))]
    yield []


def shared(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many first parts two paths share."""
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def failing(tests: list[str]) -> str:
    """The first test that fails, or why the run ended; '' where all pass. No tests means the default tier."""
    command = [*PYTEST, *tests] if tests else [*PYTEST, "--numprocesses", "4", "--dist", "loadfile"]
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return f"no end within {LIMIT} s"
    if run.returncode in {0, 5}:  # 5: no test was collected
        return ""
    lines = (run.stdout + run.stderr).splitlines()
    named = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    return named[0].partition(" - ")[0] if named else f"exit status {run.returncode}"


def changed() -> str:
    """What git says is changed below src."""
    command = ("git", "status", "--porcelain", "--", "src")
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def kept(report: Path | None) -> dict[str, Result]:
    """Results that a report holds."""
    if report is None or not report.exists():
        return {}
    return {one["guard"]: Result(**one) for one in json.loads(report.read_text(encoding="utf-8"))}


def keep(report: Path | None, results: dict[str, Result]) -> None:
    """Write the report."""
    if report is not None:
        rows = [asdict(one) for one in results.values()]
        report.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
