"""The two tiers of the suite, and what a whole run prints (design 10).

The default tier is what `dev/test` runs; `--all` adds what `tests/tiers.toml` lists. A test that is named on
the command line runs, whatever its tier is.
"""

from __future__ import annotations

import json
import os
import time
import tomllib
from collections import Counter, defaultdict
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.canary import found_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


ROOT: Final = Path(__file__).resolve().parents[1]
TABLE: Final = ROOT / "tests" / "tiers.toml"
_EVERY: Final = 60.0
"""Seconds between two lines of progress."""
_SLOWEST: Final = 20
_LONG: Final = 1.0
"""Seconds that a test may take without a row in the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """One row of what runs only with `--all`."""

    paths: Sequence[str]
    """Patterns of files, relative to the root (`fnmatch`)."""
    why: str
    held: str = ""
    """Tests of the default tier that hold the same claims; empty where the reason says why there are none."""
    param: str = ""
    """Only tests that have this among their parameters' ids; empty means all."""
    names: Sequence[str] = ()
    """Only tests whose function has a name of one of these patterns; empty means all."""

    @property
    def whole(self) -> bool:
        """Whether it takes whole files."""
        return not (self.param or self.names)

    def covers(self, path: str) -> bool:
        """Whether a file, relative to the root, is of this row."""
        return any(fnmatchcase(path, pattern) for pattern in self.paths)

    def takes(self, name: str, params: str) -> bool:
        """Whether a test of such a file is of this row.

        Args:
            name: Of its function.
            params: The ids of its parameters, joined by `-`; empty for none.
        """
        named = not self.names or any(fnmatchcase(name, pattern) for pattern in self.names)
        return named and (not self.param or fnmatchcase(f"-{params}-", f"*-{self.param}-*"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """One row of why tests of a path take more than a second."""

    paths: Sequence[str]
    why: str

    def covers(self, path: str) -> bool:
        """Whether a file, relative to the root, is of this row."""
        return any(fnmatchcase(path, pattern) for pattern in self.paths)


def read_late(path: Path = TABLE) -> tuple[Late, ...]:
    """Every row of what runs only with `--all`."""
    return tuple(Late(**row) for row in tomllib.loads(path.read_text(encoding="utf-8")).get("late", []))


def read_slow(path: Path = TABLE) -> tuple[Slow, ...]:
    """Every row of what may take more than a second."""
    return tuple(Slow(**row) for row in tomllib.loads(path.read_text(encoding="utf-8")).get("slow", []))


class Tiers:
    """Leaves out what runs only with `--all`, or what runs without it."""

    def __init__(self, rows: tuple[Late, ...], *, late: bool) -> None:
        """Leave out what these rows take; with `late`, what they don't."""
        self._rows, self._late = rows, late

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Leave out whole files before they are imported."""
        rows = [row for row in self._rows if row.covers(_relative(collection_path))]
        if self._late:
            return True if fnmatchcase(collection_path.name, "test_*.py") and not rows else None
        return True if any(row.whole for row in rows) else None

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out single tests."""
        kept, left = list[pytest.Item](), list[pytest.Item]()
        rows = defaultdict[str, list[Late]](list)
        for item in items:
            path = _file(item.nodeid)
            if path not in rows:
                rows[path] = [row for row in self._rows if row.covers(path)]
            name, _, params = item.name.partition("[")
            late = any(row.takes(name, params.removesuffix("]")) for row in rows[path])
            (kept if late is self._late else left).append(item)
        if left:
            config.hook.pytest_deselected(items=left)
            items[:] = kept


class Order:
    """Puts first what starts processes: a long file at the end would run alone."""

    FIRST: Final = (
        "tests/adapters/targets",
        "tests/conformance",
        "tests/crash",
        "tests/frameworks",
        "tests/house",
        "tests/models",
        "tests/stories",
        "tests/surfaces",
        "tests/wiring",
    )

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Order the files; tests of one file stay in their order."""
        items.sort(key=lambda item: not item.nodeid.startswith(self.FIRST))


class Progress:
    """What a whole run prints, and what it leaves for `dev/suite.py` to run again.

    The record is JSON: `failed`, each test's last output by its name; `secrets`, where the canary found one.
    """

    def __init__(self, config: pytest.Config, record: Path) -> None:
        """Nothing has run yet."""
        self._config, self._record = config, record
        self._begun = self._said = time.monotonic()
        self._total = 0
        self._outcomes = Counter[str]()
        self._spent = dict[str, float]()
        self._failed = dict[str, str]()

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.CollectReport | pytest.TestReport
    ) -> tuple[str, str, str] | None:
        """Print nothing for a test that passed."""
        return ("passed", "", "") if report.when == "call" and report.passed else None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count what will run, in one process."""
        self._total = self._total or len(session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Count what will run, in several processes."""
        self._total = len(ids)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what could not be collected."""
        if report.failed:
            self._fail(report.nodeid, report.longreprtext)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep an outcome; print a failure as it happens, and a line a minute."""
        self._spent[report.nodeid] = self._spent.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            self._fail(report.nodeid, _output(report))
        elif report.when == "call" or report.skipped:
            self._outcomes[report.outcome] += 1
        if time.monotonic() - self._said >= _EVERY:
            self._said = time.monotonic()
            done = sum(self._outcomes.values())
            share = 100 * done // max(self._total, 1)
            minutes = (self._said - self._begun) / 60
            failed = len(self._failed)
            self._say(f"{minutes:4.0f} min {share:3d} %  {done:,} of {self._total:,}, {failed} failed")

    def pytest_unconfigure(self) -> None:
        """Leave the record, once each process has said which secrets it found."""
        said = {"failed": self._failed, "secrets": sorted(found_secrets())}
        self._record.write_text(json.dumps(said), encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print where the time went."""
        whole = max(sum(self._spent.values()), 0.001)
        folders, counts = defaultdict[str, float](float), Counter[str]()
        for test, seconds in self._spent.items():
            folder = "/".join(_file(test).split("/")[1:-1][:2]) or "."
            folders[folder] += seconds
            counts[folder] += 1
        lines = {
            "time by folder, in all processes": [
                f"{seconds:8.1f} s {100 * seconds / whole:5.1f} % {counts[folder]:7,} tests  {folder}"
                for folder, seconds in _most(folders)
            ],
            f"the {_SLOWEST} slowest": [
                f"{took:8.1f} s  {test}" for test, took in _most(self._spent)[:_SLOWEST]
            ],
            f"over {_LONG:.0f} s, and no row of {TABLE.name} says why": self._unexplained()[:_SLOWEST],
        }
        for title, ones in lines.items():
            if ones:
                terminalreporter.section(title)
            for one in ones:
                terminalreporter.write_line(one)

    def _unexplained(self) -> list[str]:
        rows = read_slow()
        return [
            test
            for test, took in _most(self._spent)
            if took > _LONG and not any(row.covers(_file(test)) for row in rows)
        ]

    def _fail(self, test: str, output: str) -> None:
        self._outcomes["failed"] += test not in self._failed
        self._failed[test] = output
        self._say(f"FAILED {test}")

    def _say(self, line: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(line)
            reporter.flush()


def add_options(parser: pytest.Parser) -> None:
    """Declare the options of the tiers."""
    group = parser.getgroup("tiers")
    group.addoption("--all", action="store_true", help="run both tiers")
    group.addoption("--late", action="store_true", help="run only what `--all` adds")
    group.addoption("--record", type=Path, help="a whole run: print progress, leave what failed here")


def begin(config: pytest.Config) -> None:
    """Leave out the later tier, unless tests are named by hand or all are asked for, and print progress."""
    hands_out = not hasattr(config, "workerinput")
    named = config.args_source is not pytest.Config.ArgsSource.TESTPATHS
    if hands_out and named and config.option.record is None:
        config.option.all = True  # xdist hands it on to each worker with the other options
    if config.option.late or not config.option.all:
        config.pluginmanager.register(Tiers(read_late(), late=config.option.late), "tiers")
    if config.option.record is not None:
        config.pluginmanager.register(Order(), "order")
    if hands_out and config.option.record is not None:
        config.pluginmanager.register(Progress(config, config.option.record), "progress")


def _relative(path: Path) -> str:
    return os.path.relpath(path, ROOT)


def _output(report: pytest.TestReport) -> str:
    return "\n".join([report.longreprtext, *(f"--- {name}\n{text}" for name, text in report.sections)])


def _file(test: str) -> str:
    return test.split("::", 1)[0]


def _most(spent: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(spent.items(), key=lambda one: -one[1])
