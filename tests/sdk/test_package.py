"""What `pip install taskbound` brings: the SDK runs on that, and loads nothing before it is used."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import taskbound
from tests.house.paper import wanted
from tests.house.tree import ROOT
from tests.sdk.program import EXAMPLE, settled

RESTRICTED = """
import runpy, sys

class Refusing:
    '''Knows of nothing but what the base package brings.'''

    allowed = frozenset({allowed!r})

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in self.allowed:
            raise ModuleNotFoundError(f"{{name}} is not brought by the base package", name=name)
        return None

for name in list(sys.modules):
    top = name.partition(".")[0]
    if top not in sys.stdlib_module_names and top not in Refusing.allowed and not top.startswith("_"):
        del sys.modules[name]
sys.meta_path.insert(0, Refusing())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
AFAR = """
import sys
from taskbound import Client, Proof, SubjectToken, TaskboundError, carry, guard

@guard(server="notes")
def note(text: str) -> str:
    return text

for proof in ("assertion", "svid", "token"):
    with Client("https://127.0.0.1:1", task="tsk_1", proof=Proof(kind=proof, read=lambda: "x")):
        try:
            note("hello")
        except TaskboundError as error:
            print(error.code)
told = {"proof": Proof(kind="token", read=lambda: "x"), "subject": SubjectToken(read=lambda: "x")}
with Client("https://127.0.0.1:1", **told) as client:
    try:
        with client.task("why", template="notes"):
            pass
    except TaskboundError as error:
        print(error.code)
try:
    carry()
except TaskboundError as error:
    print(error.code)
from taskbound.wiring.joining import join
try:
    join(agent="helper")
except TaskboundError as error:
    print(error.code)
tops = {name.partition(".")[0] for name in sys.modules}
print(sorted(tops & {"httpx2", "cryptography", "msgspec", "joserfc"}))
"""


def closure() -> set[str]:
    """The packages that the base dependencies bring, and the modules that they have."""
    todo = [Requirement(str(one)) for one in wanted(ROOT, ())]
    names: set[str] = set()
    modules = {"taskbound"}
    while todo:
        need = todo.pop()
        if need.name in names or (need.marker is not None and not need.marker.evaluate({"extra": ""})):
            continue
        names.add(need.name)
        try:
            found = distribution(need.name)
        except PackageNotFoundError:  # of another system or Python
            continue
        todo += [Requirement(one) for one in found.requires or ()]
        modules |= {
            one.parts[0].partition(".")[0] for one in found.files or () if one.suffix in {".py", ".so"}
        }
    return modules - {".."}


def run(words: str, *more: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", words, *more],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )


def test_importing_the_package_loads_nothing_and_naming_a_client_nothing_of_others() -> None:
    words = (
        "import json, sys; before = set(sys.modules); import taskbound; first = set(sys.modules) - before;"
        "from taskbound import AsyncClient, Client, Guarded, HeldError, Proof, RefusedError, guard;"
        "client = Client(agent='a'); other = AsyncClient('https://a.example', task='t');"
        "guard(server='s')(client.close);"
        "second = set(sys.modules) - before;"
        "print(json.dumps([sorted(first), sorted(second)]))"
    )
    done = run(words)
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)
    assert [one for one in first if one.startswith("taskbound")] == ["taskbound"]
    assert len(first) <= 5, first  # the others are of importlib
    tops = {one.partition(".")[0] for one in second}
    assert {one for one in tops if one not in sys.stdlib_module_names} == {"taskbound"}


def test_the_stub_says_what_the_package_has() -> None:
    stub = ast.parse((ROOT / "src/taskbound/__init__.pyi").read_text("utf-8"))
    said = {alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert {*said, "__version__"} == set(taskbound.__all__)
    for name in taskbound.__all__:
        assert getattr(taskbound, name) is not None
    assert set(dir(taskbound)) == set(taskbound.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        getattr(taskbound, "nothing")  # noqa: B009 - mypy knows that there is none


def test_the_sdk_runs_with_what_the_base_package_brings_and_nothing_else(tmp_path: Path) -> None:
    restricted = RESTRICTED.format(allowed=sorted(closure()))
    with settled(tmp_path) as there:
        done = there.run("-c", restricted, str(EXAMPLE), str(there.file), "hello")
        assert done.returncode == 0, done.stderr
        assert done.stdout == "hello\n"
    program = tmp_path / "afar.py"
    program.write_text(AFAR)
    far = there.run("-c", restricted, str(program), TASKBOUND_HOME=str(tmp_path / "none"))
    assert far.returncode == 0, far.stderr
    assert far.stdout.splitlines() == [
        *["api-lost"] * 4,
        "not-carried",
        "no-data-directory",
        "['cryptography', 'httpx2', 'joserfc', 'msgspec']",
    ]


def test_what_the_base_package_does_not_bring_is_refused_in_that_run(tmp_path: Path) -> None:
    program = tmp_path / "other.py"
    program.write_text("import sqlalchemy\n")
    done = run(RESTRICTED.format(allowed=sorted(closure())), str(program))
    assert done.returncode == 1
    assert "sqlalchemy is not brought by the base package" in done.stderr
