"""What is open of a name that is revoked on an OpenSSH host: every shape of a session ends (I-04)."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import pwd
import resource
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.peers.sshd import Holder, Sshd, answer, fresh_name, running, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LIVES = "while :; do date +%s%N >{file}; sleep 0.02; done"
"""Writes to a file until it's ended."""
_LEFT = "setsid sh -c 'trap \"\" HUP TERM INT; {lives}' </dev/null >/dev/null 2>&1 &"
"""Leaves that behind: in a session of its own, and deaf."""


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with running() as one:
        yield one


def _left(file: Path) -> str:
    file.touch(mode=0o666)
    file.chmod(0o666)
    return f"({_LEFT.format(lives=_LIVES.format(file=file))})"


def _is_written(file: Path, seconds: float = 0.15) -> bool:
    """Whether somebody writes there still."""
    before, pause = file.read_text(), threading.Event()
    pause.wait(seconds)
    return file.read_text() != before


def _shell_with_a_terminal(sshd: Sshd, holder: Holder) -> subprocess.Popen[bytes]:
    words = sshd.client(holder, "-tt", "127.0.0.1")
    one = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert one.stdin is not None
    assert one.stdout is not None
    one.stdin.write(b"stty -echo; echo be''gun\n")
    one.stdin.flush()
    while b"begun" not in one.stdout.readline():
        assert one.poll() is None
    return one


def _nothing_but_a_connection(sshd: Sshd, holder: Holder) -> subprocess.Popen[bytes]:
    one = subprocess.Popen(
        sshd.client(holder, "-N", "127.0.0.1"), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until(lambda: sshd.log().count(f"ID {holder.name} "))
    return one


@pytest.mark.parametrize("begin", [_shell_with_a_terminal, _nothing_but_a_connection])
def test_it_is_cut_i_04(sshd: Sshd, begin: Callable[[Sshd, Holder], subprocess.Popen[bytes]]) -> None:
    holder = sshd.holder()
    with begin(sshd, holder) as session:
        assert sshd.revoke(holder.name) == {"ok": {"cut": 1}}
        assert session.wait(10) == 255
        if session.stdin:
            session.stdin.close()
    assert sshd.ask("look", name=holder.name) == {"ok": {"exists": False, "open": 0}}


def test_a_port_that_is_forwarded_carries_nothing_any_more_i_04(sshd: Sshd) -> None:
    holder = sshd.holder()
    with socket.create_server(("127.0.0.1", 0)) as behind, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        told = ("-N", "-L", f"127.0.0.1:{port}:127.0.0.1:{behind.getsockname()[1]}", "127.0.0.1")
        with subprocess.Popen(sshd.client(holder, *told), stderr=subprocess.DEVNULL) as client:
            until(lambda: _is_open(port))
            behind.accept()[0].close()
            with socket.create_connection(("127.0.0.1", port)) as through, behind.accept()[0] as there:
                through.sendall(b"hello")
                there.settimeout(10)
                assert there.recv(5) == b"hello"
                assert sshd.revoke(holder.name) == {"ok": {"cut": 1}}
                assert there.recv(5) == b""
            assert client.wait(10) == 255


def _is_open(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_all_that_share_one_connection_are_cut_i_04(sshd: Sshd) -> None:
    holder, path = sshd.holder(), sshd.folder / "mux"
    master = ("-M", "-S", str(path))
    with (
        sshd.session(holder, "cat", *master) as first,
        sshd.session(holder, "cat", "-S", str(path)) as second,
    ):
        assert len(sshd.records(holder.name)) == 1
        assert sshd.revoke(holder.name) == {"ok": {"cut": 1}}
        assert first.wait(10) == 255
        assert second.wait(10) == 255


def test_what_was_left_behind_by_a_session_that_is_open_is_cut_i_04(sshd: Sshd, tmp_path: Path) -> None:
    holder, file = sshd.holder(), tmp_path / "file"
    with sshd.session(holder, f"{_left(file)}; cat"):
        until(lambda: _is_written(file))
        assert sshd.revoke(holder.name) == {"ok": {"cut": 1}}
        assert not _is_written(file)


_WITHOUT_FIRST_THREAD = """
import ctypes, os, platform, threading, time
number = {{"x86_64": 60, "aarch64": 93}}[platform.machine()]
if os.fork():
    os._exit(0)
os.setsid()
threading.Thread(target=time.sleep, args=(60,)).start()
open("{told}", "w").write(str(os.getpid()))
ctypes.CDLL(None).syscall(number, 0)
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or platform.machine() not in {"x86_64", "aarch64"},
    reason="without root nothing holds what a connection leaves; a thread's end has a number by machine",
)
def test_what_goes_on_without_its_first_thread_is_cut_i_04(sshd: Sshd, tmp_path: Path) -> None:
    holder, told, script = sshd.holder(), tmp_path / "told", tmp_path / "script"
    script.write_text(_WITHOUT_FIRST_THREAD.format(told=told), encoding="ascii")
    with sshd.session(holder, f"{sshd.python} {script} </dev/null >/dev/null 2>&1; cat"):
        until(lambda: told.exists() and _is_headless(told.read_text()))
        assert sshd.revoke(holder.name) == {"ok": {"cut": 1}}
        assert not _is_headless(told.read_text())


def _is_headless(pid: str) -> bool:
    """Whether its first thread has ended, and others have not."""
    stat = Path(f"/proc/{pid or 0}/stat")
    try:
        fields = stat.read_text(encoding="ascii").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields[0] == "Z" and int(fields[17]) > 1


@pytest.mark.skipif(os.geteuid() != 0, reason="without root nothing holds what a connection leaves")
def test_what_was_left_behind_by_a_connection_that_is_over_is_cut_i_04(sshd: Sshd, tmp_path: Path) -> None:
    holder, file = sshd.holder(), tmp_path / "file"
    sshd.run(holder, _left(file))
    (record,) = sshd.records(holder.name)
    until(lambda: not Path(f"/proc/{record.split('.')[0]}").exists())
    assert _is_written(file)
    assert sshd.ask("look", name=holder.name) == {"ok": {"exists": True, "open": 1}}
    assert sshd.revoke(holder.name) == {"ok": {"cut": 1}}
    assert not _is_written(file)


def _other_account() -> str:
    for one in pwd.getpwall():
        if one.pw_uid and one.pw_shell.endswith("sh") and Path(one.pw_dir).is_dir():
            return one.pw_name
    return ""


@pytest.mark.skipif(os.geteuid() != 0 or not _other_account(), reason="only root lets others in")
def test_sessions_of_another_account_are_cut_i_04(sshd: Sshd) -> None:
    holder = sshd.holder(account=_other_account())
    storm = "for i in 1 2 3 4; do (while :; do (setsid sleep 0.1 &); done) & done; cat"
    with sshd.session(holder, storm):
        found = sshd.revoke(holder.name)
        assert found == {"ok": {"cut": 1}}
    assert sshd.ask("look", name=holder.name) == {"ok": {"exists": False, "open": 0}}


@pytest.mark.skipif(os.geteuid() != 0 or not _other_account(), reason="only root can be another")
def test_without_root_a_session_is_cut_with_all_that_still_descends_from_it_i_04() -> None:
    with running(python="/usr/bin/python3", account=_other_account()) as sshd:
        holder, file = sshd.holder(), sshd.folder / "file"
        deaf = f"(trap '' HUP TERM INT; setsid sh -c '{_LIVES.format(file=file)}') & cat"
        with sshd.session(holder, deaf) as session:
            until(lambda: file.exists() and _is_written(file))
            assert sshd.revoke(holder.name) == {"ok": {"cut": 1}}
            assert session.wait(10) == 255
            assert not _is_written(file)
        assert not sshd.is_let_in(holder)


def test_who_comes_back_in_a_loop_is_out_as_soon_as_the_name_is_revoked_i_04(sshd: Sshd) -> None:
    holder, stop = sshd.holder(), threading.Event()
    said: list[float] = []

    def come_back() -> None:
        while not stop.is_set():
            begun = time.monotonic()
            if sshd.is_let_in(holder):
                said.append(begun)

    threads = [threading.Thread(target=come_back) for _ in range(3)]
    for one in threads:
        one.start()
    try:
        until(lambda: len(said) >= 3)
        assert "ok" in sshd.revoke(holder.name)
        gone = time.monotonic()
        until(lambda: sshd.log().count("revoked by file") >= 3)
    finally:
        stop.set()
        for one in threads:
            one.join()
    assert max(said) < gone
    assert sshd.ask("look", name=holder.name) == {"ok": {"exists": False, "open": 0}}


def test_a_login_that_is_stopped_before_its_session_does_not_outlive_the_name_i_04(tmp_path: Path) -> None:
    # What holds sshd's pipe open keeps it from going on after the principals were printed.
    caller, held = tmp_path / "caller", tmp_path / "held"
    with running() as sshd:
        command = " ".join(sshd.command("principals"))
        caller.write_text(f'#!/bin/sh\n(while [ -e {held} ]; do sleep 0.02; done) &\n{command} "$@"\n')
        caller.chmod(0o755)
        config = sshd.folder / "config"
        config.write_text(config.read_text().replace(f"/usr/bin/env {command} ", f"/usr/bin/env {caller} "))
        sshd.stop()
        sshd.start()
        holder = sshd.holder()
        assert sshd.is_let_in(holder)
        until(lambda: sshd.ask("look", name=holder.name) == {"ok": {"exists": True, "open": 0}})
        held.touch()
        words = sshd.client(holder, "127.0.0.1", "echo in")
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
            until(lambda: sshd.ask("look", name=holder.name) == {"ok": {"exists": True, "open": 1}})
            assert client.poll() is None
            assert sshd.revoke(holder.name) == {"ok": {"cut": 1}}
            held.unlink()
            assert client.communicate(timeout=10)[0] == b""


@pytest.fixture
def scope() -> Iterator[Path]:
    """A control group as systemd makes one of a session."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    mount = Path(next(line.split()[4] for line in mounts if " - cgroup2 " in line))
    group = mount / "user.slice" / f"user-{os.geteuid()}.slice" / f"session-{fresh_name()}.scope"
    made = [one for one in group.parents if not one.exists()]
    group.mkdir(parents=True)
    yield group
    until(lambda: "populated 0" in (group / "cgroup.events").read_text())
    group.rmdir()
    for one in made:
        with suppress(OSError):  # another run's scope is there meanwhile
            one.rmdir()


def _beside_systemd(sshd: Sshd, session: dict[str, object], line: dict[str, object]) -> dict[str, object]:
    """What the helper answers where systemd says this of a session."""
    told = sshd.folder / "session"
    told.write_text("# Do not parse.\n" + "".join(f"{name}={value}\n" for name, value in session.items()))
    hide = "mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && mkdir /run/systemd/sessions"
    hide += " && mkfifo -m 600 /run/systemd/sessions/7.ref"  # up to 257 each session has one beside it
    done = subprocess.run(
        [
            *("unshare", "-m", "sh", "-c", f'{hide} && cp {told} /run/systemd/sessions/7 && exec "$@"', "sh"),
            *sshd.command("serve"),
        ],
        input=json.dumps(line).encode() + b"\n",
        check=True,
        capture_output=True,
        timeout=30,
    )
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


_NOT_THE_SESSION: list[dict[str, object]] = [
    {"LEADER": 1},
    {"LEADER": ""},
    {"UID": "../.."},
    {"SCOPE": "user.slice"},
    {"SCOPE": "session-../x.scope"},
    {"REALTIME": 1},
    {"REALTIME": 1 << 60},
]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes control groups")
def test_the_scope_that_systemd_made_of_a_session_is_cut_and_no_other_i_04_i_14(
    sshd: Sshd, scope: Path
) -> None:
    holder = sshd.holder()
    sshd.run(holder, "true")
    (record,) = sshd.records(holder.name)
    pid = record.split(".")[0]
    until(lambda: not Path(f"/proc/{pid}").exists())
    # What it left behind went on in its scope, which outlives the connection.
    line = {"do": "revoke", "name": holder.name, "ends": int(time.time()) + 60}
    session = {"UID": os.geteuid(), "SCOPE": scope.name, "LEADER": pid}
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as left:
        (scope / "cgroup.procs").write_text(str(left.pid))
        try:
            for change in (*_NOT_THE_SESSION, {}):
                (sshd.state / "open" / holder.name).mkdir(exist_ok=True)
                (sshd.state / "open" / holder.name / record).touch()
                begun = int(time.time() * 1e6)
                found = _beside_systemd(sshd, {**session, "REALTIME": begun, **change}, line)
                assert found == {"ok": {"cut": 0 if change else 1}}
                assert not change or left.poll() is None
            assert left.wait(10) == -9
        finally:
            left.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes control groups")
def test_a_monitor_that_systemd_took_into_a_scope_is_cut_with_it_i_04(sshd: Sshd, scope: Path) -> None:
    holder = sshd.holder()
    with sshd.session(holder) as client, subprocess.Popen(["sleep", "60"]) as left:
        (record,) = sshd.records(holder.name)
        pid = record.split(".")[0]
        for one in (int(pid), left.pid):
            (scope / "cgroup.procs").write_text(str(one))
        session = {"UID": os.geteuid(), "SCOPE": scope.name, "LEADER": pid, "REALTIME": 1}
        line = {"do": "revoke", "name": holder.name, "ends": int(time.time()) + 60}
        assert _beside_systemd(sshd, session, line) == {"ok": {"cut": 1}}
        assert client.wait(10) == 255
        assert left.wait(10) == -9


def test_two_who_revoke_one_name_at_once_are_both_told_that_it_is_gone_i_05(sshd: Sshd) -> None:
    holder = sshd.holder()
    line = json.dumps({"do": "revoke", "name": holder.name, "ends": int(time.time()) + 60}).encode()
    with sshd.session(holder) as session, sshd.helper() as one, sshd.helper() as two:
        for helper in (one, two):
            answer(helper, b'{"do":"hello"}')
        found: list[dict[str, object]] = []
        threads = [
            threading.Thread(target=lambda helper=helper: found.append(answer(helper, line)))
            for helper in (one, two)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert [list(each) for each in found] == [["ok"], ["ok"]]
        assert session.wait(10) == 255
        for helper in (one, two):
            helper.kill()


def test_only_what_the_name_opened_is_cut_i_14(sshd: Sshd) -> None:
    holder, other = sshd.holder(), sshd.holder()
    admin = Holder("", sshd.account, sshd.folder / "admin")
    with (
        sshd.session(holder) as mine,
        sshd.session(other) as others,
        subprocess.Popen(
            sshd.client(admin, "127.0.0.1"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as broker,
    ):
        assert "ok" in answer(broker, b'{"do":"hello"}')
        ends = int(time.time()) + 60
        line = json.dumps({"do": "revoke", "name": holder.name, "ends": ends}).encode()
        assert answer(broker, line) == {"ok": {"cut": 1}}
        assert mine.wait(10) == 255
        assert others.poll() is None
        assert answer(broker, b'{"do":"sweep","prefix":"' + other.name.encode() + b'"}') == {
            "ok": {"names": [other.name]}
        }
        broker.kill()
    sshd.revoke(other.name)


def test_who_has_the_number_of_a_connection_that_is_over_is_left_alone_i_14(sshd: Sshd) -> None:
    others = [subprocess.Popen(["sleep", "60"]) for _ in range(100)]
    try:
        holder = sshd.holder()
        folder = sshd.state / "open" / holder.name
        with sshd.session(holder):
            (real,) = sshd.records(holder.name)
            boot = real.split(".")[2]
            # What was recorded under these numbers is over: whoever has them now is somebody else.
            for number, one in enumerate(others):
                start = Path(f"/proc/{one.pid}/stat").read_text().rpartition(")")[2].split()[19]
                of = (int(start) - 1, boot) if number % 2 else (start, boot.replace(boot[0], "x"))
                (folder / f"{one.pid}.{of[0]}.{of[1]}").touch()
            assert sshd.revoke(holder.name) == {"ok": {"cut": 1}}
        assert [one.poll() for one in others] == [None] * len(others)
        assert sshd.records(holder.name) == []
    finally:
        for one in others:
            one.kill()
            one.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes control groups")
def test_who_has_the_number_of_a_connection_that_left_something_behind_is_left_alone_i_14(sshd: Sshd) -> None:
    holder = sshd.holder()
    sshd.run(holder, "true")
    (record,) = sshd.records(holder.name)
    boot = record.split(".")[2]
    with subprocess.Popen(["sleep", "60"]) as other, subprocess.Popen(["sleep", "60"]) as left:
        start = int(Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19])
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        mount = Path(next(line.split()[4] for line in mounts if " - cgroup2 " in line))
        group = mount / "taskbound-ssh" / f"{other.pid}.{start - 1}"
        group.mkdir()
        (group / "cgroup.procs").write_text(str(left.pid))
        (sshd.state / "open" / holder.name / f"{other.pid}.{start - 1}.{boot}").touch()
        try:
            assert sshd.revoke(holder.name) == {"ok": {"cut": 1}}
            assert left.wait(10) == -9
            assert other.poll() is None
            assert "T" not in Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[0]
        finally:
            other.kill()


def test_nobody_is_let_in_or_revoked_while_another_call_has_the_lock(sshd: Sshd) -> None:
    holder, lock = sshd.holder(), sshd.state / "lock"
    line = json.dumps({"do": "revoke", "name": holder.name, "ends": int(time.time()) + 60}).encode() + b"\n"

    def are_waiting(count: int) -> bool:
        inode = f":{lock.stat().st_ino} "
        return (
            sum("->" in one and inode in one for one in Path("/proc/locks").read_text().splitlines()) == count
        )

    with sshd.helper() as helper, lock.open() as held:
        assert helper.stdin is not None
        assert helper.stdout is not None
        fcntl.flock(held, fcntl.LOCK_EX)
        helper.stdin.write(line)
        helper.stdin.flush()
        until(lambda: are_waiting(1))
        client = subprocess.Popen(
            sshd.client(holder, "127.0.0.1", "echo in"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        until(lambda: are_waiting(2))
        assert not (sshd.state / "revoked" / holder.name).exists()
        assert sshd.records(holder.name) == []
        fcntl.flock(held, fcntl.LOCK_UN)
        assert "ok" in json.loads(helper.stdout.readline())
        client.communicate(timeout=10)
        helper.kill()
    assert sshd.ask("look", name=holder.name) == {"ok": {"exists": False, "open": 0}}


def test_who_revokes_the_connection_by_which_they_come_is_told_that_it_is_open(sshd: Sshd) -> None:
    holder = sshd.holder()
    ends = int(time.time()) + 60
    words = sshd.client(holder, "127.0.0.1", " ".join(sshd.command("serve")))
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        line = json.dumps({"do": "revoke", "name": holder.name, "ends": ends}).encode()
        assert answer(client, line) == {"no": "still-open", "open": 1}
        assert not sshd.is_let_in(holder)
        assert sshd.revoke(holder.name) == {"ok": {"cut": 1}}
        assert client.wait(10) == 255


def test_what_is_open_is_cut_where_nothing_can_be_written_and_not_shown_gone_i_04(
    sshd: Sshd,
) -> None:
    holder = sshd.holder()
    line = json.dumps({"do": "revoke", "name": holder.name, "ends": int(time.time()) + 60}).encode()
    with sshd.session(holder) as session, sshd.helper() as helper:
        resource.prlimit(helper.pid, resource.RLIMIT_FSIZE, (0, 0))  # as where the disk is full
        assert answer(helper, line)["no"] == "failed"
        assert session.wait(10) == 255
        assert not sshd.is_let_in(holder)
        assert helper.stdin is not None
        helper.stdin.close()
    ends = int(time.time()) + 60
    told = {"name": holder.name, "account": sshd.account, "principals": [sshd.account], "ends": ends}
    assert sshd.ask("admit", **told) == {"no": "name-taken"}
    assert sshd.revoke(holder.name) == {"ok": {"cut": 0}}


def test_nobody_is_let_in_again_by_a_name_that_was_never_admitted_and_then_revoked(sshd: Sshd) -> None:
    name = fresh_name()
    assert sshd.revoke(name) == {"ok": {"cut": 0}}
    assert sshd.revoke(name) == {"ok": {"cut": 0}}
    ends = int(time.time()) + 60
    found = sshd.ask("admit", name=name, account=sshd.account, principals=[sshd.account], ends=ends)
    assert found == {"no": "name-taken"}
    assert not sshd.is_let_in(sshd.sign(name))
