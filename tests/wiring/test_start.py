from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from taskbound import __version__
from taskbound.sdk.client import Client
from taskbound.wire.connection import Open, Status, StatusReport
from taskbound.wiring.home import ForeignHomeError, NoHomeError, OpenHomeError, find_socket, make_home
from taskbound.wiring.start import DaemonNotStartedError, answers, daemon_environment, ensure_daemon
from tests.wiring.running import end_daemon

START = """
import sys, pathlib
from taskbound.wiring.start import ensure_daemon
print(ensure_daemon(pathlib.Path(sys.argv[1])))
"""


def status_of(home: Path) -> StatusReport:
    with Client(find_socket(home), Open(role="cli", version=__version__)) as client:
        return client.ask(Status(), StatusReport)


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tb-") as folder:
        path = Path(folder) / "home"
        make_home(path)
        yield path
        end_daemon(path)


@pytest.fixture
def deep_home(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / ("d" * 120)
    make_home(path)
    yield path
    end_daemon(path)
    shutil.rmtree(find_socket(path).parent)


def daemons_of(home: Path) -> list[int]:
    found = []
    for one in Path("/proc").iterdir():
        if one.name.isdecimal():
            try:
                words = (one / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"taskbound.wiring.daemon" in words and str(home).encode() in words:
                found.append(int(one.name))
    return found


def test_a_daemon_is_started_for_a_directory_of_ones_own(home: Path) -> None:
    socket = ensure_daemon(home)
    assert answers(socket)
    assert status_of(home).home == str(home)
    assert (home / "log" / "daemon.log").stat().st_mode & 0o077 == 0
    assert ensure_daemon(home) == socket, "the second time it is found"


def test_a_daemon_is_started_where_a_sockets_path_does_not_fit(deep_home: Path) -> None:
    socket = ensure_daemon(deep_home)
    assert answers(socket)
    assert deep_home not in socket.parents


@pytest.mark.timeout(120)
def test_sixteen_starters_at_once_make_one_daemon(home: Path) -> None:
    def start(_: int) -> str:
        words = [sys.executable, "-c", START, str(home)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    with ThreadPoolExecutor(16) as pool:
        sockets = set(pool.map(start, range(16)))
    assert sockets == {str(find_socket(home))}
    assert daemons_of(home) == [status_of(home).pid]
    log = (home / "log" / "daemon.log").read_text(encoding="utf-8")
    assert log.count("ready: ") == 1
    assert "home-in-use" not in log, "they took turns: nobody started one in vain"


def test_a_daemon_that_was_killed_is_started_again(home: Path) -> None:
    ensure_daemon(home)
    first = status_of(home).pid
    end_daemon(home, signal.SIGKILL)
    ensure_daemon(home)
    assert status_of(home).pid != first


def test_a_daemon_is_nobodys_child_and_has_a_session_of_its_own(home: Path) -> None:
    ensure_daemon(home)
    pid = status_of(home).pid
    assert os.getsid(pid) != os.getsid(0)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_a251_nothing_from_the_working_directory_or_pythonpath_gets_into_the_daemon(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json.py", "msgspec.py", "cedarpy.py", "sitecustomize.py"):
        for folder in (tmp_path, home):
            (folder / name).write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ensure_daemon(home)
    assert not (tmp_path / "pwned").exists()


def test_a_daemon_gets_a_closed_list_of_variables(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("TASKBOUND_NAMESPACE", "other")
    ensure_daemon(home)
    environ = Path(f"/proc/{status_of(home).pid}/environ").read_bytes()
    assert b"s3cret" not in environ
    assert b"TASKBOUND_" not in environ
    assert daemon_environment({"LC_ALL": "C", "PATH": "/bin", "X": "y"}) == {"LC_ALL": "C", "PATH": "/bin"}


def test_no_daemon_is_started_for_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NoHomeError):
        ensure_daemon(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_no_daemon_is_started_for_a_directory_that_others_may_enter(home: Path) -> None:
    home.chmod(0o755)
    with pytest.raises(OpenHomeError):
        ensure_daemon(home)
    home.chmod(0o700)
    assert daemons_of(home) == []


def test_no_daemon_is_started_for_a_directory_of_another_user(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = home.stat().st_uid
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: owner + 1)
        with pytest.raises(ForeignHomeError):
            ensure_daemon(home)
    assert daemons_of(home) == []


def test_a_daemon_that_can_not_start_is_told_with_its_reason(home: Path) -> None:
    (home / "taskbound.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(DaemonNotStartedError) as caught:
        ensure_daemon(home)
    assert "[foreign-database]" in caught.value.message
    assert "\n" not in caught.value.message


def test_daemon_that_refuses_its_store_gives_the_starter_its_reason(home: Path) -> None:
    (home / "log-seen").write_text("no checkpoint", encoding="ascii")
    words = [sys.executable, "-m", "taskbound.wiring.cli", "task", "list", "--home", str(home)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 5, ended
    first, advice, *_ = ended.stderr.splitlines()
    assert (first[:7], "log-seen" in first, first[-1]) == ("error: ", True, "]")
    assert "daemon-not-started" not in first
    assert advice.startswith("what to do: ")


def test_one_that_may_not_start_a_daemon_says_how_to(home: Path) -> None:
    with pytest.raises(DaemonNotStartedError) as caught:
        ensure_daemon(home, may_start=False)
    assert f"taskbound serve --home {home}" in caught.value.advice


def test_a_long_log_is_set_aside_at_the_next_start(home: Path) -> None:
    (home / "log").mkdir(mode=0o700)
    (home / "log" / "daemon.log").write_bytes(b"x" * 9_000_000)
    ensure_daemon(home)
    assert (home / "log" / "daemon.log.1").stat().st_size == 9_000_000
    assert (home / "log" / "daemon.log").stat().st_size < 1_000_000


@pytest.fixture
def serving() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    some: list[subprocess.Popen[str]] = []

    def start(home: Path, *more: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "taskbound.wiring.cli", "serve", "--home", str(home), *more]
        some.append(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return some[-1]

    yield start
    for one in some:
        one.terminate()
        one.communicate(timeout=20)


def test_serve_says_when_it_is_ready_and_is_the_daemon_itself(
    home: Path, serving: Callable[..., subprocess.Popen[str]]
) -> None:
    process = serving(home, "--json")
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    assert said["is"] == "serving"
    assert Path(said["socket"]) == find_socket(home)
    assert status_of(home).pid == process.pid
    process.terminate()
    assert process.wait(20) == 0


def test_serve_beside_a_daemon_refuses(home: Path, serving: Callable[..., subprocess.Popen[str]]) -> None:
    ensure_daemon(home)
    process = serving(home)
    _, complaint = process.communicate(timeout=20)
    assert process.returncode == 4
    assert "home-in-use" in complaint
    assert daemons_of(home) == [status_of(home).pid]
