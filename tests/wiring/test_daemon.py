from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.sql import SqlReader
from taskbound.core.credential import parse_mark
from taskbound.wire.connection import Done
from taskbound.wire.identity import RegisterPerson
from taskbound.wiring.home import find_socket, make_home
from taskbound.wiring.start import answers
from taskbound.wiring.store import DATABASE
from tests.wiring.running import (
    Running,
    client,
    code_of,
    covered,
    daemon,
    decide,
    placed,
    settle_in,
    signer,
    start_task,
    status,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ORIGIN = "example.com/log"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    make_home(path)
    return path


@pytest.fixture
def apart(tmp_path: Path) -> tuple[Path, Path]:
    """The keys and the socket of a signer that is not the daemon's own; nobody runs it yet."""
    folder = tmp_path / "apart"
    folder.mkdir(mode=0o700)
    return folder / "keys", folder / "signer.sock"


def signers(home: Path) -> list[int]:
    found = []
    for one in Path("/proc").iterdir():
        if one.name.isdecimal():
            try:
                words = (one / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"taskbound.wiring.signer" in words and str(home / "signer").encode() in words:
                found.append(int(one.name))
    return found


def test_a_lock_whose_holder_answers_nobody_is_waited_for(home: Path) -> None:
    (home / "run").mkdir(mode=0o700)
    lock = home / "run" / "daemon.lock"
    with lock.open("w", encoding="ascii") as held, ThreadPoolExecutor(1) as pool:
        fcntl.flock(held, fcntl.LOCK_EX)
        starting = pool.submit(daemon, home)
        until(lambda: waits_for(lock), "the daemon has tried the lock")
        fcntl.flock(held, fcntl.LOCK_UN)
        with starting.result():
            assert answers(find_socket(home))


def waits_for(lock: Path) -> bool:
    """Whether another process has this file open."""
    for one in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if one.parent.parent.name != str(os.getpid()) and one.samefile(lock):
                return True
        except OSError:
            continue
    return False


def keep(home: Path, folder: Path) -> Path:
    """A copy of the database, as a backup of an ended daemon makes it."""
    copy = folder / "older"
    copy.mkdir()
    for one in home.glob("taskbound.db*"):
        shutil.copy2(one, copy)
    return copy


def put_back(home: Path, copy: Path) -> None:
    for one in home.glob("taskbound.db*"):
        one.unlink()
    for one in copy.iterdir():
        shutil.copy2(one, home)


def test_a_second_daemon_of_one_directory_refuses_and_the_first_goes_on(home: Path) -> None:
    with daemon(home) as first:
        second = daemon(home)
        assert second.wait() == 4
        assert json.loads(second.said)["code"] == "home-in-use"
        assert f"(process {first.process.pid}) [home-in-use]" in second.words
        assert f"or end it first: `taskbound serve --home {home} --end`" in second.words
        assert status(find_socket(home)).pid == first.process.pid


def test_a_daemon_that_says_ready_answers(home: Path) -> None:
    with daemon(home) as one:
        assert status(find_socket(home)).pid == one.process.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_ended_daemon_has_signed_everything_and_leaves_neither_socket_nor_signer(
    home: Path, number: int
) -> None:
    socket = find_socket(home)
    with daemon(home) as one:
        until(lambda: covered(socket), "everything is signed for")
        settle_in(socket, home)
        before = status(socket).records
        assert one.end(number) == 0
    assert not socket.exists()
    assert signers(home) == []
    with daemon(home, "--signer", str(home / "nobody.sock"), "--origin", ORIGIN):
        assert status(socket).covered >= before


def test_a_killed_daemon_is_started_again_with_what_it_had_acknowledged(home: Path) -> None:
    socket = find_socket(home)
    with daemon(home) as one:
        task = settle_in(socket, home)
        one.end(signal.SIGKILL)
    with daemon(home):
        assert decide(socket).task == task
        until(lambda: covered(socket), "a signer of its own is there, and has signed for everything")


def test_a_signer_ends_with_its_killed_daemon(home: Path) -> None:
    with daemon(home) as one:
        until(lambda: covered(find_socket(home)), "the signer is there")
        assert len(signers(home)) == 1
        one.end(signal.SIGKILL)
    until(lambda: signers(home) == [], "the signer has ended")


def test_a_killed_signer_is_started_again(home: Path) -> None:
    socket = find_socket(home)
    with daemon(home):
        until(lambda: covered(socket), "the signer is there")
        (first,) = signers(home)
        os.kill(first, signal.SIGKILL)
        settle_in(socket, home)
        until(lambda: covered(socket) and signers(home) not in ([first], []), "another signer has signed")


def test_absent_signer_stops_decisions_until_it_confirms_the_log(
    home: Path, apart: tuple[Path, Path]
) -> None:
    keys, path = apart
    socket = find_socket(home)
    with daemon(home, "--signer", str(path), "--origin", ORIGIN):
        settle_in(socket, home)
        assert code_of(socket, "1") == "log-unconfirmed"
        assert "has not confirmed" in status(socket).undecided
        until(lambda: "signer-unavailable" in status(socket).signer, "the status names what is missing")
        seen = status(socket)
        assert (seen.covered, seen.signer_uid) == (0, -1)
        assert seen.records > 0
        with signer(keys, path, "--create", origin=ORIGIN):
            until(lambda: covered(socket), "what was late is signed for")
            assert status(socket).undecided == ""
            assert code_of(socket, "2") == "permitted"
            assert status(socket).signer_uid == os.geteuid()


def test_f28_exposed_key_stops_decisions_and_the_status_names_it(home: Path) -> None:
    socket = find_socket(home)
    with daemon(home):
        settle_in(socket, home)
        until(lambda: covered(socket), "there is a key")
    (home / "signer" / "key.pem").chmod(0o640)
    with daemon(home) as one:
        until(lambda: "key-exposed" in status(socket).signer, "the status names the key")
        before = status(socket)
        assert code_of(socket, "1") == "log-unconfirmed"
        assert status(socket).records > before.records  # of the refusal
        assert status(socket).covered == before.covered
        until(lambda: placed(socket), "records get their places without a signature")
        assert "key-exposed" in one.words
        (home / "signer" / "key.pem").chmod(0o600)
        until(lambda: covered(socket), "the mended key is used")
        assert code_of(socket, "2") == "permitted"


def test_a_key_that_has_gone_is_said_and_no_new_one_is_made_for_a_signed_log(home: Path) -> None:
    socket = find_socket(home)
    with daemon(home):
        until(lambda: covered(socket), "the log was signed")
    shutil.rmtree(home / "signer")
    with daemon(home) as one:
        until(lambda: "key-missing" in status(socket).signer, "the status names the key")
        for number in range(3):  # each gets its place in another round
            with client(socket) as person:
                person.ask(RegisterPerson(name=f"p{number}", uid=os.geteuid() + number), Done)
            until(lambda: placed(socket), "records get their places without a signature")
        assert one.words.count("a round failed") == 1
    assert not (home / "signer").exists()


def aged(home: Path, folder: Path) -> Path:
    """An older copy of a database that went on, which is in its place again."""
    socket = find_socket(home)
    with daemon(home):
        settle_in(socket, home)
        until(lambda: covered(socket), "the older log is signed")
    older = keep(home, folder)
    with daemon(home):
        for _ in range(20):
            with client(socket) as one:
                start_task(one)
        until(lambda: covered(socket), "the newer log is signed")
    put_back(home, older)
    return older


def test_i15_f45_no_daemon_starts_over_a_database_that_is_older_than_what_its_directory_saw(
    home: Path, tmp_path: Path
) -> None:
    aged(home, tmp_path)
    for _ in range(2):
        one = daemon(home)
        assert one.wait() == 5
        assert json.loads(one.said)["code"] == "store-behind"
        assert "[store-behind]" in one.words
        assert "taskbound db reconcile" in one.words


def test_i15_f45_no_daemon_starts_over_another_database_that_has_grown_past_what_was_seen(
    home: Path, tmp_path: Path
) -> None:
    older = aged(home, tmp_path)
    seen = (home / "log-seen").read_bytes()
    (home / "log-seen").unlink()
    with daemon(home, "--signer", str(home / "nobody.sock"), "--origin", ORIGIN):
        for _ in range(40):
            with client(find_socket(home)) as one:
                start_task(one)
        until(lambda: placed(find_socket(home)), "records are placed")
    (home / "log-seen").write_bytes(seen)
    refused = daemon(home)
    assert refused.wait() == 5
    assert "[store-behind]" in refused.words
    assert "other records" in refused.words
    assert older.is_dir()


def test_i15_f45_where_only_the_signer_knows_more_the_daemon_ends_and_none_starts_again(
    home: Path, tmp_path: Path
) -> None:
    aged(home, tmp_path)
    (home / "log-seen").unlink()
    first = daemon(home)
    assert first.wait() == 5
    assert "[store-behind]" in first.words
    assert "the signer has seen" in first.words
    second = daemon(home)
    assert second.wait() == 5
    assert "[store-behind]" in second.words


@pytest.fixture
def rolled_back(
    home: Path, tmp_path: Path, apart: tuple[Path, Path]
) -> Iterator[tuple[Running, tuple[str, ...]]]:
    """A signer that knows more than the database and the directory's memory, which were both put back."""
    keys, path = apart
    flags = ("--signer", str(path), "--origin", ORIGIN)
    socket = find_socket(home)
    with signer(keys, path, "--create", origin=ORIGIN) as one:
        with daemon(home, *flags):
            settle_in(socket, home)
            until(lambda: covered(socket), "the older log is signed")
        older = keep(home, tmp_path)
        shutil.copy2(home / "log-seen", older)
        with daemon(home, *flags):
            assert [code_of(socket, str(number)) for number in range(3)] == ["permitted"] * 3
            until(lambda: covered(socket), "the permits are signed")
        put_back(home, older)
        yield one, flags


def test_i15_store_put_back_with_the_daemons_memory_gives_no_permit(
    home: Path, rolled_back: tuple[Running, tuple[str, ...]]
) -> None:
    _, flags = rolled_back
    one = daemon(home, *flags)
    asked = [code_of(find_socket(home), str(number)) for number in range(3)] if one.said == "ready" else []
    assert one.wait() == 5
    assert "permitted" not in asked
    assert "the signer has seen" in one.words


def test_i15_store_put_back_while_the_signer_is_stopped_gives_no_permit(
    home: Path, rolled_back: tuple[Running, tuple[str, ...]]
) -> None:
    stopped, flags = rolled_back
    stopped.process.send_signal(signal.SIGSTOP)
    try:
        with daemon(home, *flags) as one:
            assert [code_of(find_socket(home), str(number)) for number in range(3)] == ["log-unconfirmed"] * 3
            stopped.process.send_signal(signal.SIGCONT)
            assert one.wait() == 5
            assert "the signer has seen" in one.words
    finally:
        stopped.process.send_signal(signal.SIGCONT)


def test_what_was_seen_of_the_log_and_can_not_be_read_lets_no_daemon_start(home: Path) -> None:
    with daemon(home):
        until(lambda: covered(find_socket(home)), "there is a log")
    (home / "log-seen").write_bytes(b"example.com/log\n7\n")
    one = daemon(home)
    assert one.wait() == 5
    assert "[store-behind]" in one.words
    assert "is damaged" in one.words


READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


def test_f7_on_a_file_system_that_only_reads_no_daemon_starts_and_it_says_why(home: Path) -> None:
    with daemon(home):
        task = settle_in(find_socket(home), home)
    apart = ("unshare", "--mount", "--map-root-user", "sh", "-c", READ_ONLY, str(home), sys.executable)
    refused = Running("daemon", "--home", str(home), python=apart)
    assert refused.wait() == 4
    assert "[data-directory-unwritable]" in refused.words
    with daemon(home):
        assert decide(find_socket(home)).task == task


def test_a_database_that_went_on_is_signed_under_another_name_where_somebody_gives_it_one(home: Path) -> None:
    socket = find_socket(home)
    with daemon(home):
        settle_in(socket, home)
        until(lambda: covered(socket), "the log is signed")
    (home / "log-origin").write_text("example.com/another\n", encoding="ascii")
    with daemon(home):
        until(lambda: covered(socket), "the log is signed under its new name")


def mark(home: Path) -> str:
    """What tells credentials of this directory's store apart."""
    with SqlReader(home / DATABASE).read() as seen:
        return parse_mark(seen.targets.mark())


def test_the_logs_name_and_the_mark_are_made_once_and_kept(home: Path) -> None:
    with daemon(home):
        first, made = (home / "log-origin").read_text(encoding="ascii"), mark(home)
    with daemon(home):
        assert (home / "log-origin").read_text(encoding="ascii") == first
    assert mark(home) == made
    assert first.startswith("taskbound.local/log_")


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("--signer", "/run/none.sock"), "--origin"),
        (("--group", "1"), "--socket"),
        (("--group", "no-such-group"), "no group is named"),
        (("--gateway", "1000"), "ACCOUNT=AGENT"),
        (("--gateway", "no-such-account=helper"), "no account is named"),
        (("--gateway", "1000=Not A Name"), "can't be the name"),
    ],
)
def test_flags_that_can_not_be_are_refused_before_anything_is_made(
    home: Path, flags: tuple[str, ...], word: str
) -> None:
    one = daemon(home, *flags)
    assert one.wait() == 2
    assert word in one.words
    assert list(home.iterdir()) == []


def test_a_socket_elsewhere_is_its_owners_until_a_group_is_named(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o750)
    socket = folder / "daemon.sock"
    for group, mode in ((None, 0o600), (os.getegid(), 0o660)):
        flags = () if group is None else ("--group", str(group))
        with daemon(home, "--socket", str(socket), *flags):
            assert stat.S_IMODE(socket.stat().st_mode) == mode
            assert status(socket).home == str(home)
            assert not answers(find_socket(home))


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_socket_where_others_could_put_their_own_is_refused(home: Path, tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(mode)
    one = daemon(home, "--socket", str(folder / "daemon.sock"))
    assert one.wait() == 3
    assert "[foreign-data-directory]" in one.words


@pytest.mark.parametrize(
    "path", ["daemon.sock", "/" + "d" * 120 + "/daemon.sock", "/no/such/folder/daemon.sock"]
)
def test_a_socket_that_can_not_be_is_refused(home: Path, path: str) -> None:
    one = daemon(home, "--socket", path)
    assert one.wait() == 3
    assert "[foreign-data-directory]" in one.words


def test_the_socket_of_another_daemon_is_left_alone(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    other = tmp_path / "other"
    make_home(other)
    with daemon(home, "--socket", str(folder / "daemon.sock")) as first:
        second = daemon(other, "--socket", str(folder / "daemon.sock"))
        assert second.wait() == 4
        assert "[home-in-use]" in second.words
        assert status(folder / "daemon.sock").pid == first.process.pid


def test_a_socket_that_a_killed_daemon_left_is_used_again(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    socket = folder / "daemon.sock"
    with daemon(home, "--socket", str(socket)) as one:
        one.end(signal.SIGKILL)
    assert socket.exists()
    with daemon(home, "--socket", str(socket)) as one:
        assert status(socket).pid == one.process.pid


def test_a_client_finds_the_daemon_of_another_account_by_its_setting(home: Path, tmp_path: Path) -> None:
    folder, settings = tmp_path / "run", tmp_path / "settings"
    folder.mkdir(mode=0o700)
    settings.mkdir(mode=0o755)
    socket = folder / "daemon.sock"
    (settings / "taskbound.toml").write_text(f'socket = "{socket}"\n', encoding="utf-8")
    command = (sys.executable, "-I", "-m", "taskbound.wiring.cli", "person", "list", "--home", str(settings))
    with daemon(home, "--socket", str(socket)):
        seen = subprocess.run(command, capture_output=True, text=True, check=False)
        assert seen.returncode == 0, seen.stderr
    seen = subprocess.run(command, capture_output=True, text=True, check=False)
    assert seen.returncode == 4
    assert f"no daemon answers at `{socket}`" in seen.stderr
    assert not (settings / "run").exists()  # none was started


def test_hundreds_may_connect_while_the_daemon_is_busy(home: Path) -> None:
    most = min(600, int(Path("/proc/sys/net/core/somaxconn").read_text("ascii")))
    waiting: list[socket.socket] = []
    with daemon(home) as one:
        os.kill(one.process.pid, signal.SIGSTOP)
        try:
            for _ in range(most):
                fresh = socket.socket(socket.AF_UNIX)
                waiting.append(fresh)
                fresh.setblocking(False)  # noqa: FBT003 - the standard library's own signature
                fresh.connect(str(find_socket(home)))  # raises BlockingIOError when the queue is full
        finally:
            os.kill(one.process.pid, signal.SIGCONT)
            for fresh in waiting:
                fresh.close()
        assert len(waiting) == most
