from __future__ import annotations

import os
import resource
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from taskbound.adapters.ssh import BadSshKeyError, NoAgentError, serve_agent
from taskbound.sdk.ssh import BadSshCredentialError
from taskbound.sdk.wish import TaskCredential
from taskbound.wiring.joining import ssh_agent
from tests.adapters.ssh.keys import Pair, admitted, handed, make_pair
from tests.peers.daemon import FAR
from tests.peers.sshd import Sshd, running


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with a path short enough for a socket's."""
    return tmp_path_factory.mktemp("r")


@pytest.fixture(scope="module")
def host() -> Iterator[Sshd]:
    with running() as one:
        yield one


def credential(
    pair: Pair, host: Sshd | None = None, target: str = "build-host", ends: int = FAR, **changes: str
) -> TaskCredential:
    opens, secret = handed(pair, host, **changes)
    return TaskCredential(id="crd_1", target=target, kind="deploy", ends=ends, open=opens, secret=secret)


def ran(config: Path, name: str) -> subprocess.CompletedProcess[str]:
    """What a command on a host says to whoever has nothing but the configuration."""
    return subprocess.run(
        ["ssh", "-F", str(config), name, "echo in"],
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
        timeout=40,
    )


def test_ssh_logs_in_where_the_configuration_says_with_a_key_that_is_in_no_file(
    tmp_path: Path, host: Sshd
) -> None:
    pair, other = admitted(host, tmp_path), admitted(host, tmp_path, name="other")
    with ssh_agent(credential(pair, host), credential(other, host, "other-host")) as served:
        pair.file.rename(tmp_path / "away")
        assert (ran(served.config, "build-host").stdout, ran(served.config, "other-host").stdout) == (
            "in\n",
            "in\n",
        )
        key = (tmp_path / "away").read_text().splitlines()[2]
        for one in served.folder.iterdir():
            if one.is_file():
                assert stat.S_IMODE(one.stat().st_mode) == 0o600
                assert key not in one.read_text()
        assert stat.S_IMODE(served.folder.stat().st_mode) == 0o700
    assert not served.folder.exists()


def test_a_host_with_another_key_than_its_targets_file_says_gets_nothing(tmp_path: Path, host: Sshd) -> None:
    pair = admitted(host, tmp_path)
    other = " ".join(pair.public.split()[:2])
    with ssh_agent(credential(pair, host, SSH_HOST_KEYS=other)) as served:
        done = ran(served.config, "build-host")
        assert (done.returncode, "Host key verification failed" in done.stderr) == (255, True), done.stderr


def test_one_that_is_over_opens_nothing(tmp_path: Path, host: Sshd) -> None:
    with ssh_agent(credential(admitted(host, tmp_path), host, ends=1)) as served:
        assert "Permission denied" in ran(served.config, "build-host").stderr


def test_it_is_made_without_a_thread_and_stopped_before_its_folder_is_gone(tmp_path: Path) -> None:
    before = threading.active_count()
    served = ssh_agent(credential(make_pair(tmp_path)))
    assert (threading.active_count(), served.config.is_file()) == (before, True)
    served.start()
    served.stop()
    assert (threading.active_count(), served.config.is_file(), served.socket.exists()) == (
        before,
        True,
        False,
    )
    served.close()
    served.close()
    assert not served.folder.exists()
    with ssh_agent(credential(make_pair(tmp_path, name="other"))):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


@pytest.mark.parametrize("changed", ["SSH_HOST", "SSH_CERTIFICATE"])
def test_what_can_not_be_served_leaves_no_folder(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place))
    pair, other = make_pair(tmp_path), make_pair(tmp_path, name="other")
    value = {"SSH_HOST": "-x", "SSH_CERTIFICATE": other.certificate.strip()}[changed]
    made = credential(pair)
    bad = replace(made, open={**made.open, changed: value})
    with pytest.raises((BadSshCredentialError, BadSshKeyError)):
        ssh_agent(bad)
    assert list(place.iterdir()) == []
    with ssh_agent(made) as served:
        assert list(place.iterdir()) == [served.folder]
    assert list(place.iterdir()) == []


def test_a_folder_of_the_session_that_is_not_ours_or_too_long_is_not_used(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, spaced = place / ("x" * 60), place / "a b"
    made = credential(make_pair(tmp_path))
    for one in (long, spaced):
        one.mkdir()
    for one in (long, spaced, place / "none", Path("relative")):
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(one))
        with ssh_agent(made) as served:
            assert served.folder.parent == Path("/tmp")  # noqa: S108 - where it has to be then


def test_no_place_for_it_is_said_as_such(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "file").touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place / "file"))
    made = credential(make_pair(tmp_path))
    with pytest.raises(NoAgentError):
        ssh_agent(made)
    with pytest.raises(NoAgentError), serve_agent(make_pair(tmp_path, name="other").private):
        pass


def test_where_nothing_can_listen_no_folder_is_left(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place))
    pair = make_pair(tmp_path)
    made = credential(pair)
    with few_files(), pytest.raises(NoAgentError):
        ssh_agent(made)
    with few_files(), pytest.raises(NoAgentError), serve_agent(pair.private):
        pass
    assert list(place.iterdir()) == []


@contextmanager
def few_files() -> Iterator[None]:
    """This process can open two files more, and no third, however many the tests before it left open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened: list[int] = []
    try:
        highest = max(int(one.name) for one in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, hard))
        with suppress(OSError):
            while True:
                opened.append(os.open("/dev/null", os.O_RDONLY))
        os.close(opened.pop())
        os.close(opened.pop())
        yield
    finally:
        for one in opened:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
