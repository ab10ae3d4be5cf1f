"""A daemon that is ended from outside: it, and nobody else."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket as unix
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskbound.wiring.ending import DaemonNotEndedError, end_daemon
from taskbound.wiring.home import ForeignHomeError, NoHomeError, OpenHomeError, find_socket, make_home
from taskbound.wiring.start import answers, ensure_daemon
from tests.wiring import running

# Owns a data directory as a daemon does, listens, and says so. "lock", "socket": the one without the other.
OWNER = """
import fcntl, os, pathlib, signal, socket, sys
home, path, how = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
(home / "run").mkdir(mode=0o700, exist_ok=True)
lock = os.open(home / "run" / "daemon.lock", os.O_RDWR | os.O_CREAT, 0o600)
if how != "socket":
    fcntl.flock(lock, fcntl.LOCK_EX)
one = socket.socket(socket.AF_UNIX)
if how != "lock":
    one.bind(path)
    os.chmod(path, 0o777)
    one.listen(16)
print("ready", flush=True)
signal.pause()
"""
# Ends a daemon that is gone, and whose number could be another's, by the time it is looked at once more.
LATE = """
import os, pathlib, select, signal, sys
from taskbound.wiring.ending import end_daemon
home, owner, looks = pathlib.Path(sys.argv[1]), int(sys.argv[2]), []
def hook(name, _):
    if name == "socket.connect":
        looks.append(name)
        if len(looks) == 2:
            held = os.pidfd_open(owner)
            os.kill(owner, signal.SIGKILL)
            select.select([held], [], [])
sys.addaudithook(hook)
print(end_daemon(home, patience=5))
"""
# Ends it as another account, that of nobody.
END = """
import os, pathlib, sys
from taskbound.wiring.ending import DaemonNotEndedError, end_daemon
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
try:
    end_daemon(pathlib.Path(sys.argv[1]), patience=5)
except DaemonNotEndedError as error:
    print(error.message)
"""


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tb-") as folder:
        path = Path(folder) / "home"
        make_home(path)
        yield path
        running.end_daemon(path, signal.SIGKILL)


@contextmanager
def owner(home: Path, how: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process that has the lock and listens, unless it is said to do only one of these."""
    words = [sys.executable, "-c", OWNER, str(home), str(find_socket(home)), how]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_the_daemon_is_over_once_it_is_said_to_be_and_another_one_can_start(home: Path) -> None:
    first = running.status(ensure_daemon(home)).pid
    assert end_daemon(home) == first
    assert not answers(find_socket(home))
    with locked(home):
        assert end_of(first)
    assert running.status(ensure_daemon(home)).pid != first


def test_of_several_that_end_it_at_once_each_hears_that_it_is_over(home: Path) -> None:
    pid = running.status(ensure_daemon(home)).pid
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: end_daemon(home), range(4)))
    assert pid in found
    assert set(found) <= {pid, 0}
    assert end_daemon(home) == 0


def test_where_none_runs_none_is_ended(home: Path) -> None:
    assert end_daemon(home) == 0
    ensure_daemon(home)
    assert end_daemon(home) > 0
    assert end_daemon(home) == 0


def test_a_socket_that_a_stranger_listens_on_makes_it_no_daemon(home: Path) -> None:
    with owner(home, "socket") as stranger:
        assert end_daemon(home) == 0
        assert stranger.poll() is None


def test_who_owns_the_directory_and_answers_nobody_is_said_and_not_guessed(home: Path) -> None:
    with owner(home, "lock") as process:
        with pytest.raises(DaemonNotEndedError) as caught:
            end_daemon(home, patience=0.2)
        assert process.poll() is None
    assert caught.value.message == f"a process owns `{home}` and does not answer"
    assert f"fuser {home}/run/daemon.lock" in caught.value.advice


def test_a_daemon_that_hangs_is_named_and_ends_when_it_goes_on(home: Path) -> None:
    pid = running.status(ensure_daemon(home)).pid
    os.kill(pid, signal.SIGSTOP)
    held = os.pidfd_open(pid)
    try:
        with pytest.raises(DaemonNotEndedError) as caught:
            end_daemon(home, patience=0.2)
        assert f"process {pid} " in caught.value.message
        assert f"kill -9 {pid}" in caught.value.advice
    finally:
        os.kill(pid, signal.SIGCONT)
        assert select.select([held], [], [], running.DEADLINE)[0], "it goes on"
        os.close(held)
    assert end_daemon(home) == 0


def test_nobody_is_signalled_who_does_not_listen_when_it_is_held(home: Path) -> None:
    with owner(home) as process:
        late = [sys.executable, "-c", LATE, str(home), str(process.pid)]
        said = subprocess.run(late, capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout == "0\n", "it looked once more, and there was nobody"
    assert process.returncode == -signal.SIGKILL


def test_a_process_that_left_its_socket_to_another_is_not_looked_for_by_its_number(home: Path) -> None:
    (home / "run").mkdir(mode=0o700)
    with unix.socket(unix.AF_UNIX) as left:
        left.bind(str(find_socket(home)))
        dead = subprocess.Popen(
            [sys.executable, "-c", f"import socket; socket.socket(fileno={left.fileno()}).listen(16)"],
            pass_fds=[left.fileno()],
        )
        assert dead.wait(30) == 0
        with locked(home), pytest.raises(DaemonNotEndedError, match="does not answer"):
            end_daemon(home, patience=0.2)


def end_of(pid: int) -> bool:
    """Whether this process is over, if nobody has asked for its status yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@contextmanager
def locked(home: Path) -> Iterator[None]:
    (home / "run").mkdir(mode=0o700, exist_ok=True)
    lock = os.open(home / "run" / "daemon.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield
    finally:
        os.close(lock)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has processes of two accounts")
def test_the_daemon_of_another_account_is_left_to_it(home: Path) -> None:
    home.parent.chmod(0o755)
    with owner(home) as process:
        for one in (home, home / "run", home / "run" / "daemon.lock"):
            os.chown(one, 65_534, 65_534)
        end = [sys.executable, "-c", END, str(home)]
        said = subprocess.run(end, capture_output=True, text=True, check=False, timeout=60)
        assert process.poll() is None
    assert said.stdout == f"process {process.pid} is another account's\n", said


def test_only_a_directory_of_ones_own_is_looked_at(home: Path) -> None:
    with pytest.raises(NoHomeError):
        end_daemon(home / "none")
    (home / "file").touch()
    with pytest.raises(ForeignHomeError):
        end_daemon(home / "file")
    home.chmod(0o755)
    with pytest.raises(OpenHomeError):
        end_daemon(home)
    home.chmod(0o700)


def test_a_lock_that_is_none_is_said(home: Path) -> None:
    (home / "run").mkdir(mode=0o700, exist_ok=True)
    (home / "run" / "daemon.lock").symlink_to(home / "elsewhere")
    with pytest.raises(DaemonNotEndedError, match="can't be read"):
        end_daemon(home)
