from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from taskbound.adapters.keys.socket import SocketCustody, SocketSigner
from taskbound.core.audit import EMPTY_ROOT
from taskbound.ports.signer import OriginUnknownError
from tests.wiring.running import Running, signer

ORIGIN = "example.com/log"
MODULE = (sys.executable, "-I", "-m", "taskbound.wiring.signer")


def make_key(keys: Path) -> str:
    """The public key of a new key, as the program prints it."""
    command = (*MODULE, "--keys", str(keys), "--origin", ORIGIN, "--create")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_without_a_socket_it_makes_the_key_prints_the_public_half_and_ends(tmp_path: Path) -> None:
    made = make_key(tmp_path / "keys")
    assert made.startswith(f"{ORIGIN}+")
    assert make_key(tmp_path / "keys") == made  # one that is there is kept
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_what_it_makes_has_its_own_mode_whatever_the_mask_of_whoever_starts_it(tmp_path: Path) -> None:
    keys, place = tmp_path / "keys", tmp_path / "s.sock"
    masked = ("sh", "-c", 'umask 0177; exec "$@"', "sh", sys.executable)  # a daemon's that binds its socket
    flags = ("--keys", str(keys), "--socket", str(place), "--origin", ORIGIN, "--create")
    with Running("signer", *flags, python=masked):
        for agent in ("helper", "coder"):
            assert b"P-256" in SocketCustody(place).make_key("default", agent)
    assert [stat.S_IMODE(one.stat().st_mode) for one in (keys, keys / "agents")] == [0o700, 0o700]


def test_it_answers_for_its_own_log_with_the_key_that_it_printed(tmp_path: Path) -> None:
    made = make_key(tmp_path / "keys")
    with signer(tmp_path / "keys", tmp_path / "s.sock", origin=ORIGIN):
        one = SocketSigner(tmp_path / "s.sock")
        assert f"{one.verifier_key(ORIGIN)}\n" == made
        assert one.last_signed(ORIGIN).root == EMPTY_ROOT
        assert one.account == os.geteuid()
        with pytest.raises(OriginUnknownError):
            one.verifier_key("example.com/another")
        one.close()


def test_without_create_no_key_is_made(tmp_path: Path) -> None:
    one = signer(tmp_path / "keys", tmp_path / "s.sock")
    assert one.wait() == 4
    assert "[key-missing]" in one.said
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o700])
def test_f28_a_key_with_another_mode_is_refused_with_its_name_and_said_where_ready_would_be(
    tmp_path: Path, mode: int
) -> None:
    make_key(tmp_path / "keys")
    (tmp_path / "keys" / "key.pem").chmod(mode)
    one = signer(tmp_path / "keys", tmp_path / "s.sock", "--create")
    assert one.wait() == 4
    assert "`key.pem`" in one.said
    assert "[key-exposed]" in one.said
    assert "[key-exposed]" in one.words
    assert not (tmp_path / "s.sock").exists()


def test_f28_an_open_directory_of_the_key_is_refused(tmp_path: Path) -> None:
    make_key(tmp_path / "keys")
    (tmp_path / "keys").chmod(0o755)
    one = signer(tmp_path / "keys", tmp_path / "s.sock")
    assert one.wait() == 4
    assert "[key-exposed]" in one.said


def test_a_second_signer_of_one_key_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with signer(tmp_path / "keys", tmp_path / "s.sock", "--create"):
        second = signer(tmp_path / "keys", tmp_path / "s.sock")
        assert second.wait() == 4
        assert "[key-in-use]" in second.said
        one = SocketSigner(tmp_path / "s.sock")
        assert one.verifier_key(ORIGIN)
        one.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_asked_to(tmp_path: Path, number: int) -> None:
    with signer(tmp_path / "keys", tmp_path / "s.sock", "--create") as one:
        assert one.end(number) == 0


BLOCKED = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_asked_to_also_where_no_signal_wakes_its_main_thread(
    tmp_path: Path, number: int
) -> None:
    flags = ("--keys", str(tmp_path / "keys"), "--socket", str(tmp_path / "s.sock"), "--origin", ORIGIN)
    with Running("signer", *flags, "--create", python=(sys.executable, "-c", BLOCKED)) as one:
        assert one.end(number) == 0


LATE = """
import os, signal, sys
from taskbound.wiring import signer
signer.main(sys.argv[2:])
os.kill(os.getpid(), int(sys.argv[1]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_finds_it_ending_already_leaves_no_trace_of_python(tmp_path: Path, number: int) -> None:
    flags = ("--keys", str(tmp_path / "keys"), "--origin", ORIGIN, "--create")
    command = (sys.executable, "-c", LATE, str(int(number)), *flags)
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_with_a_lifeline_it_ends_with_whoever_holds_that(tmp_path: Path) -> None:
    make_key(tmp_path / "keys")
    listening, speaking = os.pipe()
    command = (*MODULE, "--keys", str(tmp_path / "keys"), "--origin", ORIGIN, "--lifeline")
    flags = ("--socket", str(tmp_path / "s.sock"), "--ready-fd", str(speaking))
    with subprocess.Popen((*command, *flags), stdin=subprocess.PIPE, pass_fds=(speaking,)) as one:
        os.close(speaking)
        assert os.read(listening, 16) == b"ready\n"
        os.close(listening)
        assert one.poll() is None
        assert one.stdin is not None
        one.stdin.close()
        assert one.wait(30) == 0


def test_its_socket_is_its_owners_until_a_group_is_named(tmp_path: Path) -> None:
    make_key(tmp_path / "keys")
    for flags, mode in (((), 0o600), (("--group", str(os.getegid())), 0o660)):
        with signer(tmp_path / "keys", tmp_path / "s.sock", *flags):
            assert stat.S_IMODE((tmp_path / "s.sock").stat().st_mode) == mode


def test_an_account_that_may_not_ask_is_told_so_and_nothing_else(tmp_path: Path) -> None:
    with (
        signer(tmp_path / "keys", tmp_path / "s.sock", "--create", "--account", str(os.geteuid() + 1)),
        socket.socket(socket.AF_UNIX) as one,
    ):
        one.connect(str(tmp_path / "s.sock"))
        said = b"".join(iter(lambda: one.recv(4096), b""))
        assert b'"code":"unproven"' in said


def test_an_account_that_the_system_does_not_know_is_refused(tmp_path: Path) -> None:
    one = signer(tmp_path / "keys", tmp_path / "s.sock", "--account", "no-such-account")
    assert one.wait() == 2
    assert "no account is named `no-such-account`" in one.words


def test_a_second_client_is_answered_once_the_first_is_gone(tmp_path: Path) -> None:
    with signer(tmp_path / "keys", tmp_path / "s.sock", "--create"):
        first, second = SocketSigner(tmp_path / "s.sock"), SocketSigner(tmp_path / "s.sock")
        assert first.verifier_key(ORIGIN)
        first.close()
        assert second.verifier_key(ORIGIN)
        second.close()
