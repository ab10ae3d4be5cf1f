"""What an index would have of us: the wheel, what is in it, and what each extra brings."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

import taskbound
from tests.deploy.packaged import brought, environment, publish
from tests.house.tree import ROOT, files
from tests.sdk.program import EXAMPLE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deploy.packaged import Environment, Published

BROUGHT = {
    "src/taskbound": "taskbound",
    "docs/examples/payments": "taskbound/examples/payments",
    "docs/guides": "taskbound/docs/guides",
    "docs/reference": "taskbound/docs/reference",
    "policies": "taskbound/policies",
}
"""Which folder of the tree is which of the wheel."""
OF_DEVELOPERS = {"docs/reference/gateway-modules.txt"}
ALONE = ("taskbound.core.", "taskbound.wire.", "taskbound.sdk.", "taskbound.wiring.agent")
"""What the package is without any extra; documents that people write are the server's."""
OF_THE_SERVER = "taskbound.wire.document"
SERVICES = ("taskbound.wiring.guarding", "taskbound.wiring.service")
OF_MCP_SERVERS = {
    "taskbound.sdk.verify.converting": "pydantic",
    "taskbound.sdk.verify.fastmcp": "fastmcp",
    "taskbound.sdk.verify.mcp": "mcp",
}
"""What stands before a server of MCP, and that server's own library, which no extra brings."""
OF_FRAMEWORKS = {
    "taskbound.sdk.tool.langchain": "langchain_core",
    "taskbound.sdk.tool.mcp": "mcp",
    "taskbound.sdk.tool.openai_agents": "agents",
    "taskbound.sdk.tool.pydantic_ai": "pydantic_ai",
}
"""Adapters for agents' frameworks, each with its own, which no extra brings."""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return publish(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def alone(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with nothing but the package and what it always asks for."""
    return environment(tmp_path_factory.mktemp("alone") / "it", published)


@pytest.fixture(scope="module")
def server(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return environment(tmp_path_factory.mktemp("server") / "it", published, "server")


def modules(published: Published, *starts: str) -> list[str]:
    """The modules that the wheel has, by name."""
    names = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in published.files()
        if name.startswith("taskbound/") and name.endswith(".py") and "/examples/" not in name
    ]
    left_out = {*OF_MCP_SERVERS, *OF_FRAMEWORKS}
    return [one for one in names if one.startswith(starts or "taskbound") and one not in left_out]


def test_the_wheel_has_the_package_its_policies_and_pages_and_nothing_else(published: Published) -> None:
    ours = {name for name in published.files() if ".dist-info/" not in name}
    tree = {
        file.relative_to(ROOT).as_posix()
        for file in files(ROOT, under=tuple(BROUGHT))
        if "__pycache__" not in file.parts
    }
    there = {
        name.replace(start, BROUGHT[start], 1)
        for name in tree - OF_DEVELOPERS
        for start in BROUGHT
        if name.startswith(f"{start}/")
    }
    assert ours == there
    assert {"taskbound/py.typed", "taskbound/__init__.pyi", "taskbound/policies/holds.cedar"} <= ours


def test_of_the_source_archive_the_same_wheel_is_made(published: Published, tmp_path: Path) -> None:
    assert published.again(tmp_path) == published.files()


def test_what_it_says_of_itself_is_whole(published: Published) -> None:
    said = published.metadata()
    assert (said.name, str(said.version)) == ("taskbound", taskbound.__version__)
    assert said.license_expression == "Apache-2.0"
    assert said.license_files == ["LICENSE", "NOTICE"]
    assert said.description == (ROOT / "README.md").read_text("utf-8")
    assert said.description_content_type == "text/markdown"
    assert str(said.requires_python) == ">=3.11"
    assert "Typing :: Typed" in (said.classifiers or ())
    named = {name for name in published.files() if "/licenses/" in name}
    assert {name.rpartition("/")[2] for name in named} == {"LICENSE", "NOTICE"}


def test_the_package_alone_is_the_sdk_in_an_empty_home(published: Published, alone: Environment) -> None:
    words = (
        "from taskbound import *; from taskbound import AsyncClient, Client, TaskboundError, guard\n"
        "@guard(server='notes')\n"
        "def note(text: str) -> str: return text\n"
        "try:\n"
        "    with Client(agent='helper').task('write it down', template='notes'): note('hello')\n"
        "except TaskboundError as error: print(error.code)\n"
    )
    done = alone.run("python", "-I", "-c", words)
    assert (done.returncode, done.stdout, done.stderr) == (0, "no-data-directory\n", "")
    assert list(alone.home.iterdir()) == []
    brings = [one for one in modules(published, *ALONE) if not one.startswith(OF_THE_SERVER)]
    assert alone.missing(brings) == {}
    apart = OF_MCP_SERVERS | OF_FRAMEWORKS
    assert alone.missing(list(apart)) == apart


@pytest.mark.parametrize("words", [(), ("--version",), ("task", "list"), ("doctor",), ("serve",)])
def test_the_program_without_its_extra_says_which_one_it_needs(
    alone: Environment, words: tuple[str, ...]
) -> None:
    done = alone.run("taskbound", *words)
    assert (done.returncode, done.stdout) == (4, "")
    first, second = done.stderr.splitlines()
    assert re.fullmatch(r"error: this program needs `\w+`, which is not installed \[server-missing\]", first)
    command = shlex.split(second.removeprefix("what to do: `").removesuffix("`"))
    assert command[:4] == [str(alone.python), "-m", "pip", "install"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert {Requirement(one) for one in command[4:]} == {Requirement(one) for one in extras["server"]}


def test_the_program_with_its_extra_answers(server: Environment) -> None:
    done = server.run("taskbound", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{taskbound.__version__}\n", "")


def test_each_extra_brings_what_its_part_of_the_package_imports(
    published: Published, server: Environment, tmp_path: Path
) -> None:
    services = environment(tmp_path / "services", published, "services", like=server)
    assert services.missing(modules(published, *SERVICES)) == {}
    said = published.metadata()
    lacking = server.missing(modules(published))
    extras = set(said.provides_extra or ()) - {"server", "services"}
    given: set[str] = set()
    for extra in sorted(extras):
        wanted = [str(one) for one in said.requires_dist or ()]
        tops = {
            file.parts[0].partition(".")[0]
            for one in brought(wanted, [extra]).values()
            for file in one.files or ()
        }
        given |= {name for name, package in lacking.items() if package in tops}
    assert set(lacking) == given
    whole = environment(tmp_path / "whole", published, "server", *extras, like=server)
    assert whole.missing(list(lacking)) == {}


AFAR = """
from pathlib import Path
from taskbound import AsyncClient, Carried, Client, Proof, SubjectToken, acarry, carry, guard

@guard(server="ledger", effect="write")
def book(text: str) -> str:
    request: Carried = carry()
    return request.headers("POST", "https://ledger.example/book")["Txn-Token"]

@guard(server="ledger", effect="write")
async def later(text: str) -> bytes:
    return (await acarry()).body

PROOF = Proof.from_file(Path("token"), kind="token")
SUBJECT = SubjectToken.from_file(Path("ann.token"), key=Path("ann.pem"))

with Client("https://as.example", proof=PROOF, subject=SUBJECT, domain="corp.example") as client:
    with client.task("keep the book", template="books") as task:
        said: str = book("milk") + task.id + client.hand_to("helper")

async def use() -> str:
    async with AsyncClient("https://as.example", proof=PROOF, subject=SUBJECT) as client:
        async with client.task("keep the book", template="books"):
            await later("milk")
            return await client.hand_to("helper")
"""
WRONG = """
from notes import note
from taskbound import Client, Guarded, guard

note(1, "text")
note("file")
found: str = note("file", "text")
with Client(agente="helper").task("x"):
    pass

@guard(server="notes", effect="none")
def other(text: str) -> str:
    return text

@guard(server="notes")
async def later(text: str) -> str:
    return text

async def use() -> int:
    return await later("x")
"""


@pytest.mark.timeout(180)
def test_a_program_of_a_users_is_typed_whole_and_a_wrong_one_is_told_where(
    alone: Environment, tmp_path: Path
) -> None:
    (tmp_path / "notes.py").write_text(EXAMPLE.read_text("utf-8"))
    (tmp_path / "afar.py").write_text(AFAR)
    (tmp_path / "wrong.py").write_text(WRONG)
    told = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary"]
    done = subprocess.run(
        [*told, "--python-executable", str(alone.python), "notes.py", "afar.py", "wrong.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        timeout=170,
    )
    lines = [line.partition(": error: ") for line in done.stdout.splitlines() if ": error: " in line]
    assert list(dict.fromkeys(one[0] for one in lines)) == [
        "wrong.py:5",
        "wrong.py:6",
        "wrong.py:7",
        "wrong.py:8",
        "wrong.py:11",
        "wrong.py:20",
    ], done.stdout + done.stderr
