from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiers import read_late

ROOT = Path(__file__).parents[1]
CONFTEST = """
from tests import canary, tiers
from tests.canary import pytest_runtest_logreport, pytest_sessionfinish
from tests.canary import pytest_terminal_summary, pytest_testnodedown

def pytest_addoption(parser):
    tiers.add_options(parser)

def pytest_configure(config):
    canary.pytest_configure(config)
    tiers.begin(config)
"""
TABLE = """
[[late]]
paths = ["tests/late/*"]
why = "planted"
[[late]]
paths = ["tests/*"]
param = "late"
why = "planted"
"""
PASSES = "def test_it_holds(): pass\n"
FAILS = "def test_it_holds(): assert 'planted' == 'here'\n"
PARAM = """
import pytest

@pytest.mark.parametrize("engine", ["early", "late"])
def test_it_holds(engine): assert engine == "early"
"""
FLAKY = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_it_holds(number):
    before = Path(__file__).with_name(f"ran-{{number}}")
    ran = before.exists()
    before.touch()
    assert ran, "planted"
"""
SECRET = """
from taskbound.core.credential import spell_secret

def test_it_prints_a_secret():
    print(spell_secret(bytes(32)))
"""

# what the tree holds, the arguments, whether CI passes, what it prints, what it does not print
CASES = [
    ({"test_a.py": PASSES}, ["--all"], True, ["1 passed"], ["FLAKY", "FAILED"]),
    (
        {"test_a.py": FAILS, "test_b.py": PASSES},
        ["--all"],
        False,
        ["FAILED twice: tests/test_a.py::test_it_holds"],
        ["FLAKY tests"],
    ),
    ({"test_b.py": PASSES, "late/test_a.py": FAILS}, [], True, ["1 passed"], ["FAILED"]),
    (
        {"test_b.py": PASSES, "late/test_a.py": FAILS},
        ["--all"],
        False,
        ["FAILED twice: tests/late/test_a.py"],
        [],
    ),
    ({"test_a.py": PARAM}, [], True, ["1 passed, 1 deselected"], ["FAILED"]),
    ({"test_a.py": PARAM}, ["--all"], False, ["FAILED twice: tests/test_a.py::test_it_holds[late]"], []),
    ({"test_a.py": PARAM}, ["tests/test_a.py"], True, ["1 passed, 1 deselected"], []),
    ({"test_a.py": "import nothing_of_this_name\n"}, ["--all"], False, ["FAILED tests/test_a.py"], []),
    (
        {"test_a.py": FLAKY.format(count=1)},
        ["--all"],
        True,
        ["FLAKY tests/test_a.py::test_it_holds[0]", "planted"],
        ["twice"],
    ),
    (
        {"test_a.py": FLAKY.format(count=2)},
        ["--all", "--numprocesses", "2"],
        True,
        ["0 failed, 2 FLAKY"],
        ["twice"],
    ),
    ({"test_a.py": FLAKY.format(count=6)}, ["--all"], False, ["0 failed, 6 FLAKY"], ["twice"]),
    (
        {"test_a.py": FLAKY.format(count=3), "late/test_b.py": FLAKY.format(count=3)},
        ["--all"],
        False,
        ["0 failed, 6 FLAKY"],
        ["twice"],
    ),
    (
        {"test_a.py": FLAKY.format(count=1), "late/test_b.py": FLAKY.format(count=1)},
        ["--all"],
        True,
        ["0 failed, 2 FLAKY"],
        ["twice"],
    ),
    ({"test_b.py": PASSES, "late/test_a.py": "import os\nos._exit(0)\n"}, ["--all"], False, ["1 passed"], []),
    (
        {"test_a.py": FLAKY.format(count=1), "late/test_b.py": "import nothing_of_this_name\n"},
        ["--all"],
        False,
        ["FAILED tests/late/test_b.py"],
        ["once more"],
    ),
    (
        {"test_a.py": FLAKY.format(count=1), "test_b.py": SECRET},
        ["--all"],
        False,
        ["A MINTED SECRET STANDS IN"],
        [],
    ),
]


@pytest.mark.parametrize(("files", "arguments", "passes", "said", "unsaid"), CASES)
def test_ci_passes_only_without_failure_and_prints_flaky_tests(
    files: dict[str, str],
    arguments: list[str],
    passes: bool,  # noqa: FBT001 - a column of the table
    said: list[str],
    unsaid: list[str],
    tmp_path: Path,
) -> None:
    plant(tmp_path, files, arguments)
    ran = subprocess.run(
        ["bash", ".ci/run"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_ADDOPTS": "", "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert (ran.returncode == 0) is passes, ran.stdout
    for one in said:
        assert one in ran.stdout
    for one in unsaid:
        assert one not in ran.stdout
    kept = "each a defect to mend:" in ran.stdout
    assert kept is ("FLAKY tests" in ran.stdout)


def plant(root: Path, files: dict[str, str], arguments: list[str]) -> None:
    """Lay out a tree with the real runner and tiers, and tests of its own."""
    for folder in (".ci", "dev", "tests/late"):
        (root / folder).mkdir(parents=True)
    for name in (".ci/run", "dev/suite.py", "tests/tiers.py", "tests/canary.py"):
        shutil.copy(ROOT / name, root / name)
    (root / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\ntestpaths = ["tests"]\npythonpath = ["."]\n'
    )
    (root / "tests/conftest.py").write_text(CONFTEST)
    (root / "tests/tiers.toml").write_text(TABLE)
    for name, text in files.items():
        (root / "tests" / name).write_text(text)
    called = " ".join(arguments)
    for name, line in {
        "check": "",
        "demo": "",
        "test": f'[ "$1" != --all ] || exec {sys.executable} -m dev.suite {called}',
    }.items():
        script = root / "dev" / name
        script.write_text(f"#!/bin/sh\n{line}\n")
        script.chmod(0o755)


def test_each_row_of_the_tiers_names_files_that_are_there() -> None:
    named = [path for row in read_late() for path in (*row.paths, *re.findall(r"tests/[\w/.*]*\w", row.held))]
    assert [path for path in named if not any(ROOT.glob(path))] == []
