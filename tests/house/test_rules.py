from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from taskbound.core.errors import DeniedError, TaskboundError
from tests.house import faults, paper, strangers
from tests.house.rules import RULES
from tests.house.tree import ROOT, Exemption, Finding, idle, remaining

CORE = "src/taskbound/core/scope.py"
FLOW = "src/taskbound/flows/scope.py"
HOST = "index.packages" + ".dev"
ADDRESS = "10.0" + ".0.1"
GOOD = '"""What a scope is."""\n\n\ndef cover() -> None:\n    """Cover."""\n'

# rule, file, text that breaks it, the nearest text that keeps it
PLANTED = [
    ("module-sentence", CORE, "X = 1\n", GOOD),
    ("module-sentence", CORE, '"""No stop"""\n', GOOD),
    ("file-budget", CORE, "X = 1\n" * 601, "X = 1\n" * 600),
    ("function-budget", FLOW, "def f():\n" + "    x = 1\n" * 60, "def f():\n" + "    x = 1\n" * 59),
    ("public-names", CORE, '__all__ = ["a"]\n', "_ALL = []\n"),
    ("public-names", FLOW, '__all__: list[str] = ["a"]\n', "a = 1\n"),
    ("no-assert", CORE, "assert True\n", "assert_never(x)\n"),
    (
        "frozen-values",
        CORE,
        "@dataclass(frozen=True)\nclass A: ...\n",
        "@dataclass(frozen=True, slots=True, kw_only=True)\nclass A: ...\n",
    ),
    ("frozen-values", CORE, "@dataclass\nclass A: ...\n", "class A: ...\n"),
    ("no-any", CORE, "from typing import Any\n", "from typing import Final\n"),
    ("no-any", CORE, "x: typing.Any = 1\n", "x: object = 1\n"),
    ("no-exit", FLOW, "sys.exit(1)\n", "leave(1)\n"),
    ("no-exit", FLOW, "raise SystemExit\n", "raise LookupError\n"),
    (
        "verdicts-with-errors",
        FLOW,
        "import cedarpy\ndef f(found): return found.decision\n",
        "import cedarpy\ndef f(found): return found.errors or found.decision\n",
    ),
    (
        "verdicts-with-errors",
        FLOW,
        "from cedarpy import is_authorized\ndef f(found): return found.allowed\n",
        "def f(found): return found.allowed\n",
    ),
    (
        "verdicts-with-errors",
        FLOW,
        "def f(answer: PolicyAnswer): return answer.permits\n",
        "def f(answer: PolicyAnswer): return not answer.erred and answer.permits\n",
    ),
    ("page-budget", "ARCHITECTURE.md", "x\n" * 201, "x\n" * 200),
    ("page-budget", "AGENTS.md", "x " * 600, "x " * 599),
    ("no-empty-names", "src/taskbound/flows/scope_utils.py", "", None),
    ("no-empty-names", "tests/helpers.py", "", None),
    ("no-empty-names", FLOW, "class ScopeManager: ...\n", "class Scopes: ...\n"),
    ("no-empty-names", FLOW, "def validate_scope(): ...\n", "def parse_scope(): ...\n"),
    ("no-empty-names", FLOW, "def _check_scope(): ...\n", "def _require_scope(): ...\n"),
    (
        "tests-are-sentences",
        "tests/core/test_scope.py",
        "def test_scope(): ...\n",
        "def test_a_scope_ends(): ...\n",
    ),
    (
        "tests-are-sentences",
        "tests/core/test_scope.py",
        'def test_a_scope_ends():\n    """Docs."""\n',
        "def test_a_scope_ends():\n    pass\n",
    ),
    (
        "no-mocks-or-sleeps",
        "tests/core/test_scope.py",
        "from unittest.mock import Mock\n",
        "import unittest\n",
    ),
    ("no-mocks-or-sleeps", "tests/core/test_scope.py", "import unittest.mock\n", "import unittest\n"),
    ("no-mocks-or-sleeps", "tests/core/test_scope.py", "time.sleep(1)\n", "event.wait(1)\n"),
    (
        "no-mocks-or-sleeps",
        "tests/core/test_scope.py",
        "await asyncio.sleep(1)\n",
        "await asyncio.sleep(0)\n",
    ),
    ("error-texts", FLOW, 'raise BadError("Not good")\n', 'raise BadError("not good")\n'),
    ("error-texts", FLOW, 'raise BadError(f"no `{x}`.")\n', 'raise BadError(f"no `{x}`")\n'),
    ("suppressions-have-reasons", FLOW, "x = 1  # noqa: F841\n", "x = 1  # noqa: F841 - kept for a reader\n"),
    (
        "suppressions-have-reasons",
        FLOW,
        "x = 1  # type: ignore[misc]\n",
        "x = 1  # type: ignore[misc]  # no stubs yet\n",
    ),
    (
        "suppressions-have-reasons",
        FLOW,
        "x = 1  # pragma: no cover\n",
        "x = 1  # pragma: no cover - macOS only\n",
    ),
    (
        "settings-have-reasons",
        "pyproject.toml",
        'ignore = [\n    "D1",\n]\n',
        'ignore = [\n    "D1",  # why\n]\n',
    ),
    (
        "settings-have-reasons",
        "pyproject.toml",
        'filterwarnings = [\n    "error",\n    "ignore:x",\n]\n',
        'filterwarnings = [\n    "error",\n    "ignore:x",  # why\n]\n',
    ),
    (
        "settings-have-reasons",
        "pyproject.toml",
        "[[tool.mypy.overrides]]\n",
        "# why\n[[tool.mypy.overrides]]\n",
    ),
    ("no-stray-hosts", "docs/a.md", f"see {HOST}\n", "see api.example.com\n"),
    ("no-stray-hosts", "docs/a.md", f"see https://{ADDRESS}/x\n", "see http://127.0.0.1:8700/x\n"),
    ("no-stray-hosts", FLOW, f'x = "{HOST}"\n', "x = action" + ".dev\n"),
    ("links-resolve", "docs/a.md", "[b](b.md)\n", "`[b](b.md)`\n"),
    ("links-resolve", "docs/a.md", "![a\nb](b.svg)\n", "`![a`\n`b](b.svg)`\n"),
    ("links-resolve", "docs/a.md", "# One\n[b](#two)\n", "# Two\n[b](#two)\n"),
    ("changes-are-named", "changes/fix.md", "Mended.\n", None),
    ("changes-are-named", "changes/002.fixed.md", "", "Mended.\n"),
    ("tables-are-whole", "docs/a.md", "| a |\n| --- |\n| 1 | 2 |\n", "| a |\n| --- |\n| 1 |\n"),
    ("scripts-run", "dev/verb", "echo\n", None),
    ("scripts-run", ".ci/run", "#!/usr/bin/env bash\nif\n", None),
]


def plant(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("rule", "name", "bad", "good"), PLANTED)
def test_each_rule_finds_what_breaks_it_and_nothing_else(
    tmp_path: Path, rule: str, name: str, bad: str, good: str | None
) -> None:
    plant(tmp_path, name, bad)
    found = list(RULES[rule](tmp_path))
    assert [one.path for one in found][:1] in ([name], [str(Path(name).with_suffix(""))]), found
    assert all(one.rule == rule and one.sentence for one in found)
    if good is not None:
        plant(tmp_path, name, good)
        assert list(RULES[rule](tmp_path)) == []


def test_every_rule_is_seen_to_find_something() -> None:
    elsewhere = {
        "lock-is-current",
        "npm-lock-is-current",
        "dependencies-have-a-line",
        "decisions-are-listed",
        "installs-what-there-is",
        "no-machine-paths",
    }
    assert {rule for rule, *_ in PLANTED} | elsewhere == set(RULES)


def test_a_path_of_this_machine_is_found_in_any_file(tmp_path: Path) -> None:
    own = strangers.machine_paths(Path("/a/checkout"), Path("/b/me"))
    plant(tmp_path, "x.toml", "home = '/b/me/.config'\n")
    plant(tmp_path, "y.py", "x = '/a/checkout/src'  # and /c/a/checkout/src is another\n")
    plant(tmp_path, "z.md", "/b/message/ is no path of mine\n")
    found = strangers.no_machine_paths(tmp_path, own=own)
    assert [(one.path, one.name) for one in found] == [("x.toml", "/b/me"), ("y.py", "/a/checkout")]


def locked(root: Path, lock: str) -> list[Finding]:
    plant(root, "pyproject.toml", '[project]\ndependencies = ["msgspec>=0.22"]\n')
    for name, sets in paper.LOCKS.items():
        plant(root, name, lock)
        if not sets:
            plant(root, name.removesuffix("txt") + "in", "# why\nmsgspec>=0.22\n")
    return list(paper.lock_is_current(root))


def test_a_lock_that_is_old_unhashed_or_names_a_place_is_found(tmp_path: Path) -> None:
    hashed = " \\\n    --hash=sha256:00\n"
    assert locked(tmp_path, "msgspec==0.22.0" + hashed) == []
    assert locked(tmp_path, "")
    assert locked(tmp_path, "msgspec==0.21.0" + hashed)
    assert locked(tmp_path, "msgspec==0.22.0\n")
    assert locked(tmp_path, "--index-url x\nmsgspec==0.22.0" + hashed)


@pytest.mark.parametrize("page", [paper.PACKAGES, paper.SERVERS, paper.BENCHES])
def test_a_lock_of_npm_that_is_old_unhashed_or_names_a_place_is_found(tmp_path: Path, page: str) -> None:
    plant(tmp_path, page, '{"dependencies": {"@a/b": "1.0.0"}}')

    def found(package: str) -> list[str]:
        lock = f'{{"packages": {{"": {{}}, "node_modules/@a/b": {{{package}}}}}}}'
        plant(tmp_path, page.replace("package.json", "package-lock.json"), lock)
        return [one.name for one in paper.npm_lock_is_current(tmp_path)]

    assert found('"version": "1.0.0", "integrity": "sha512-0"') == []
    assert found('"version": "1.0.1", "integrity": "sha512-0"') == ["@a/b"]
    assert found('"version": "1.0.0"') == ["node_modules/@a/b"]
    assert found('"version": "1.0.0", "integrity": "sha1-0"') == ["node_modules/@a/b"]
    assert found('"version": "1.0.0", "integrity": "sha512-0", "resolved": "https://example.com"') == [""]


def test_a_dependency_without_its_line_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "pyproject.toml", '[project]\ndependencies = ["msgspec>=0.22"]\n')
    plant(tmp_path, paper.PACKAGES, '{"dependencies": {"@a/b": "1.0.0"}}')
    assert [one.name for one in paper.dependencies_have_a_line(tmp_path)] == ["msgspec", "@a/b"]
    plant(tmp_path, paper.DEPENDENCIES, "| `msgspec` | wire shapes | BSD-3-Clause |\n| `@a/b` | | |\n")
    assert list(paper.dependencies_have_a_line(tmp_path)) == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("| a | b |\n| --- | --- |\n| 1 | 2 |\n", []),
        ("| a | b |\n| --- | --- |\n| `x \\| y` | 2 |\n", []),
        ("```\n| 1 |\n```\n", []),
        ("| a | b |\n| --- | --- |\n| 1 |\n", [3]),
        ("| a | b |\n| --- | --- |\n| 1 | x | y |\n", [3]),
        ("| a | b |\n| --- | --- |\n| 1 | 2 |\n\n| 3 | 4 |\n", [5]),
        ("| a |\n| --- | --- |\n", [2]),
    ],
)
def test_broken_table_is_found_with_its_line(tmp_path: Path, text: str, lines: list[int]) -> None:
    plant(tmp_path, "docs/page.md", text)
    assert [one.line for one in paper.tables_are_whole(tmp_path)] == lines


PROJECT = """[project]
dependencies = ["msgspec>=0.22,<0.23"]
[project.optional-dependencies]
server = ["rich>=15,<16"]
aws = ["botocore>=1.44,<2"]
"""


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("README.md", "pip install '.[servers]'\n", "pip install '.[server]'\n"),
        ("README.md", "pip install '.[server,gcp]'\n", "pip install '.[server, aws]'\n"),
        ("docs/a.md", "It needs the extra `gcp`.\n", "It needs the extra `aws`.\n"),
        ("docs/adr/0001-a.md", "`taskbound[gcp]` brings it\n", "`pip install taskbound[aws]` brings it\n"),
        ("docs/a.md", "`pip install taskbound`\n", "`pip install .`\n"),
        (FLOW, "remedy = \"`pip install 'taskbound[aws]'`\"\n", "remedy = \"`pip install '.[aws]'`\"\n"),
        ("changes/1.added.md", 'pip install -q "taskbound[aws]"\n', "from `taskbound[aws]` on\n"),
        (
            "deploy/README.md",
            "pip install 'botocore>=1.40,<2'\n",
            "pip install 'botocore>=1.44,<2' # taskbound\n",
        ),
        ("docs/a.md", "pip install msgspec==0.21.1\n", "pip install msgspec==0.22.3 other>=2\n"),
    ],
)
def test_what_is_not_there_to_be_installed_is_found(tmp_path: Path, name: str, bad: str, good: str) -> None:
    plant(tmp_path, "pyproject.toml", PROJECT)
    plant(tmp_path, name, good)
    assert list(RULES["installs-what-there-is"](tmp_path)) == []
    plant(tmp_path, name, f"# A page\n{bad}")
    assert [(one.path, one.line) for one in RULES["installs-what-there-is"](tmp_path)] == [(name, 2)]


def test_a_decision_that_is_not_listed_by_its_title_in_its_place_is_found(tmp_path: Path) -> None:
    def found(listed: str) -> list[str]:
        plant(tmp_path, "docs/adr/README.md", f"# Decisions\n\n{listed}")
        return [one.path.rpartition("/")[2] for one in RULES["decisions-are-listed"](tmp_path)]

    plant(tmp_path, "docs/adr/0001-a.md", "# 0001: A\n\nSo.\n")
    plant(tmp_path, "docs/adr/0002-b.md", "# 0002: B\n")
    first, second = "- [0001: A](0001-a.md)\n", "- [0002: B](0002-b.md)\n"
    assert found(first + second) == []
    assert found(first) == ["0002-b.md"]
    assert found(first + second.replace("B]", "C]")) == ["0002-b.md", "README.md"]
    assert found(second + first) == ["README.md"]
    assert found(first + first + second) == ["README.md"]
    assert found(first + second + "- [0003: C](0003-c.md)\n") == ["README.md"]


class TwinError(DeniedError):
    code: ClassVar[str] = "Twin"


class OtherTwinError(TwinError):
    pass


def test_a_code_that_two_errors_share_is_found() -> None:
    found = list(faults.codes_are_unique([OtherTwinError, TwinError]))
    assert [one.name for one in found] == ["OtherTwinError", "TwinError"]
    assert list(faults.codes_are_unique([TaskboundError, DeniedError])) == []


class StrayError(TaskboundError):
    code: ClassVar[str] = "stray"


def test_an_error_of_no_family_is_found() -> None:
    found = list(faults.families_are_known([TaskboundError, DeniedError, StrayError]))
    assert [one.name for one in found] == ["StrayError"]


def test_an_exemption_covers_its_rule_and_place_only() -> None:
    row = Exemption(rule="no-any", path="src/*/a.py", reason="the library gives no types")
    here = Finding(rule="no-any", path="src/x/a.py", sentence="say the type")
    there = Finding(rule="no-any", path="src/x/b.py", sentence="say the type")
    assert remaining([here, there], [row]) == [there]
    assert idle([here], [row]) == []
    assert idle([there], [row]) != []
    assert idle([here], [Exemption(rule="no-any", path="src/*/a.py", reason="so")]) != []


def test_a_module_that_works_at_import_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "toy/__init__.py", "")
    plant(tmp_path, "toy/quiet.py", "import json\nX = {'a': 1}\n")
    plant(
        tmp_path,
        "toy/busy.py",
        "import socket\nwith open(__file__) as f:\n    f.read()\nsocket.socket().close()\n",
    )
    script = ["import sys", "sys.path[:0] = sys.argv[1:]", "from tests.house.loading import watch"]
    script += ["print(*watch(['toy.quiet', 'toy.busy'], 'toy'), sep='\\n')"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(script), str(tmp_path), str(ROOT)],
        capture_output=True,
        text=True,
        check=True,
    )
    deeds = [line.split(" (")[0] for line in done.stdout.splitlines()]
    assert deeds == ["toy.busy: open", "toy.busy: socket.__new__"]
