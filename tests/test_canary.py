from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from taskbound.core.credential import spell_secret
from tests.canary import PLANTED, Canary, beneath
from tests.peers.redis import Node

ROOT = Path(__file__).parent.parent
SECRET = spell_secret(bytes(32))
LEFT = """
import logging, shutil
from taskbound.core.credential import spell_secret

SECRET = spell_secret(bytes(32))

def test_a_file_that_is_left(tmp_path):
    (tmp_path / "a").write_text(SECRET)

def test_a_folder_that_is_thrown_away(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"x" + SECRET.encode() + b"x")
    shutil.rmtree(tmp_path / "b")

def test_what_is_printed_and_logged():
    print(SECRET)
    logging.getLogger().warning(SECRET)

def test_a_failure():
    raise ValueError(SECRET)
"""
CLEAN = """
from taskbound.core.credential import spell_secret

def test_what_was_planted(tmp_path):
    (tmp_path / "planted").write_text(spell_secret(bytes(32)))
"""


def run(made: Path, text: str, *more: str) -> tuple[int, str]:
    """The status of a run with these tests, and the lines that say what it found."""
    folder = made / f"{PLANTED}-run"
    folder.mkdir()
    (folder / "conftest.py").write_text("from tests.conftest import *\n", encoding="utf-8")
    (folder / "test_it.py").write_text(text, encoding="utf-8")
    quiet = ("-q", "-p", "no:cacheprovider", "--basetemp", folder / "made", "--rootdir", folder)
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", *quiet, *more, folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.returncode, "\n".join(one for one in told.stdout.splitlines() if "STANDS IN" in one)


@pytest.mark.parametrize("more", [(), ("--numprocesses", "1")])
def test_a_run_that_left_a_secret_somewhere_fails_and_says_where(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    status, found = run(tmp_path, LEFT, *more)
    assert status == 1
    for where in ("/a: character 0", "/c: character 1", "stdout", "log call", "failure"):
        assert where in found
    assert SECRET not in found


def test_a_run_that_only_planted_one_does_not(tmp_path: Path) -> None:
    assert run(tmp_path, CLEAN) == (0, "")


def test_what_a_redis_told_whoever_administers_it_is_looked_through(tmp_path: Path) -> None:
    node = Node(tmp_path / PLANTED)
    node.ask("SET", "orders:1", SECRET)
    node.leave()
    canary, ordinary = Canary(planted=True), Canary()
    canary.tree(tmp_path)
    ordinary.tree(tmp_path)
    assert {Path(one.partition(":")[0]).name for one in canary.found} == {"monitor", "told"}
    assert not ordinary.found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked at where there is /proc")
@pytest.mark.parametrize(("arguments", "environment"), [((SECRET,), {}), ((), {"PGPASSWORD": SECRET})])
def test_what_a_process_was_started_with_is_looked_at(
    arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    canary, ordinary = Canary(planted=True), Canary()
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()", PLANTED, *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert process.pid in set(beneath(os.getpid()))
        canary.processes(os.getpid())
        ordinary.processes(os.getpid())
        process.communicate(b"\n")
    (found,) = canary.found
    assert ("arguments of" if arguments else "environment of") in found
    assert not ordinary.found


SERVE = """
import os, subprocess, sys
os.environ["PGPASSWORD"] = sys.stdin.readline().strip()
subprocess.run([sys.executable, "-c", "print(flush=True); input()", "planted"])
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked at where there is /proc")
@pytest.mark.parametrize(("starter", "found"), [("taskbound.wiring.egress", 0), ("another", 1)])
def test_what_an_egress_gave_its_server_is_where_it_belongs(starter: str, found: int) -> None:
    canary = Canary(planted=True)
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, starter], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(SECRET.encode() + b"\n")
        process.stdin.flush()
        process.stdout.readline()
        canary.processes(os.getpid())
        process.communicate(b"\n")
    assert len(canary.found) == found
