"""What servers answer that are busy, broken, somebody else, or mean us harm."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.targets.redis import RedisTarget
from taskbound.core.clock import Instant
from taskbound.core.target import RedisAccess, RedisKind, RedisPlace
from taskbound.ports.target import (
    MintOrder,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)
from tests.peers.minter import PREFIX, fresh_name
from tests.peers.redis import ADMIN_PASSWORD, ADMIN_USER, Node, running
from tests.peers.resp import SaidNoError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORD = "minters-own-word"
OK = b"+OK\r\n"
READER = RedisKind(commands=("get",), reads=("a:*",))


@contextmanager
def answering(path: Path, *answers: bytes, pause: float = 0.0) -> Iterator[list[bytes]]:
    """A server that answers what it is sent with these, one after the other; what it was sent."""
    heard: list[bytes] = []
    over = threading.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()
        listening.settimeout(0.05)

        def serve(one: socket.socket) -> None:
            with one, suppress(OSError):
                left = list(answers)
                while not over.is_set():
                    try:
                        data = one.recv(65_536)
                    except TimeoutError:
                        continue
                    if not data:
                        return
                    heard.append(data)
                    answer = left.pop(0) if len(left) > 1 else left[0]
                    if not pause:
                        one.sendall(answer)
                    for byte in answer if pause else b"":
                        one.sendall(bytes([byte]))
                        over.wait(pause)

        threads: list[threading.Thread] = []

        def accept() -> None:
            while not over.is_set():
                with suppress(TimeoutError):
                    one, _ = listening.accept()
                    one.settimeout(0.05)
                    threads.append(threading.Thread(target=serve, args=(one,), daemon=True))
                    threads[-1].start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield heard
        finally:
            over.set()
            for one in (accepting, *threads):
                one.join()


def at(*paths: Path) -> RedisTarget:
    place = RedisPlace(nodes=tuple(map(str, paths)), tls=False)
    return RedisTarget(place, RedisAccess(user="minter", password=WORD))


def mint(target: RedisTarget, patience: float = 2.0) -> None:
    target.mint(MintOrder(name=fresh_name(), ends=Instant(1)), READER, patience=patience)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"-WRONGPASS invalid username-password pair or user is disabled.\r\n", "refuses this user"),
        (b"-ERR max number of clients reached\r\n", "as many connections"),
        (b"-DENIED Redis is running in protected mode because\r\n", "protected mode"),
        (b"-ERR Client sent AUTH, but no password is set\r\n", "refuses a login"),
        (b"-ERR wrong number of arguments for 'auth' command\r\n", "older than 6"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "still loading"),
        (b"-lower case\r\n", r"refuses a login \(an error\)"),
        (b"+OKAY\r\n", "no Redis'"),
        (b":1\r\n", "no Redis'"),
        (b"$-1\r\n", "no Redis'"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no Redis'"),
        (b"+" + 9_000 * b"a", "no Redis'"),
    ],
)
def test_f13_nobody_was_let_in_and_nothing_was_sent(tmp_path: Path, answer: bytes, why: str) -> None:
    with answering(tmp_path / "s", answer) as heard:
        with pytest.raises(TargetUnreachedError, match=why) as lost:
            mint(at(tmp_path / "s"))
        assert WORD not in str(lost.value) + repr(lost.value) + lost.value.advice
    assert len(heard) == 1
    assert b"AUTH" in heard[0]


@pytest.mark.parametrize(
    ("answer", "error", "why"),
    [
        (b"-LOADING Redis is loading\r\n", TargetUnavailableError, "still loading"),
        (b"-BUSY Redis is busy running a script.\r\n", TargetUnavailableError, "busy running a script"),
        (b"-MASTERDOWN Link with MASTER is down\r\n", TargetUnavailableError, "lost its primary"),
        (b"-READONLY You can't write against a read only replica.\r\n", TargetUnavailableError, "written to"),
        (b"-MISCONF Redis is configured to save\r\n", TargetUnavailableError, "can't write what it keeps"),
        (b"-OOM command not allowed\r\n", TargetUnavailableError, "no memory"),
        (b"-CLUSTERDOWN Hash slot not served\r\n", TargetUnavailableError, "cluster that is down"),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", TargetUnavailableError, "not gone to"),
        (b"-ASK 3999 127.0.0.1:6381\r\n", TargetUnavailableError, "not gone to"),
        (b"-NOPERM User minter has no permissions\r\n", TargetRefusedError, r"lacks `\+acl\|getuser`"),
        (b"-NOAUTH Authentication required.\r\n", TargetRefusedError, r"lacks `\+acl\|getuser`"),
        (b"-ERR unknown command 'ACL'\r\n", TargetRefusedError, "older than Redis 7"),
        (b"-ERR secret-word\r\n", TargetUnavailableError, r"does not do `acl\|getuser` \(ERR\)"),
        (b"-\r\n", TargetUnavailableError, "an error"),
        (b"garbage\r\n", TargetUnavailableError, "no RESP2"),
        (b"%1\r\n+a\r\n+b\r\n", TargetUnavailableError, "no RESP2"),
        (b"*-2\r\n", TargetUnavailableError, "more than an answer"),
        (b"$-2\r\n", TargetUnavailableError, "more than an answer"),
        (b"*1000000000\r\n", TargetUnavailableError, "more than an answer"),
        (b"$1000000000\r\n", TargetUnavailableError, "more than an answer"),
        (b"$99999999999999999999999\r\n", TargetUnavailableError, "no RESP2"),
        (b"$1_0\r\n0123456789\r\n", TargetUnavailableError, "no RESP2"),
        (b"$2\r\nabc\r\n", TargetUnavailableError, "no RESP2"),
        (b":" + 4_000 * b"9" + b"\r\n", TargetUnavailableError, "no RESP2"),
        (b"*1\r\n" * 10_000, TargetUnavailableError, "no RESP2"),
        (b"+" + 70_000 * b"a", TargetUnavailableError, "without an end"),
    ],
)
def test_what_a_node_does_not_do_is_told_in_our_words(
    tmp_path: Path, answer: bytes, error: type[Exception], why: str
) -> None:
    with answering(tmp_path / "s", OK, answer):
        with pytest.raises(error, match=why) as lost:
            at(tmp_path / "s").look(fresh_name(), patience=2.0)
        assert not isinstance(lost.value, TargetUnreachedError)
        assert "secret-word" not in str(lost.value)
        assert "6381" not in str(lost.value)


def test_f11_what_is_sent_byte_by_byte_for_ever_has_the_calls_patience(tmp_path: Path) -> None:
    with answering(tmp_path / "s", OK + b"$60000\r\n" + 60_000 * b"a", pause=0.01):
        begun = time.monotonic()
        with pytest.raises(TargetUnavailableError, match="longer than the call may take"):
            mint(at(tmp_path / "s"), patience=0.5)
        assert time.monotonic() - begun < 20  # all of it takes ten minutes


@pytest.mark.parametrize("answer", [b"*1000001\r\n", b"*1000000\r\n*1\r\n+a\r\n"])
def test_f11_a_list_that_would_fill_our_memory_is_no_answer(tmp_path: Path, answer: bytes) -> None:
    with (
        answering(tmp_path / "s", OK, answer),
        pytest.raises(TargetUnavailableError, match="more than an answer may be"),
    ):
        list(at(tmp_path / "s").sweep(PREFIX, patience=20.0))


def test_a_node_that_hangs_keeps_nothing_open_on_the_other(tmp_path: Path) -> None:
    with running(1, "redis") as (node,), socket.socket(socket.AF_UNIX) as hangs:
        hangs.bind(str(tmp_path / "hangs"))
        hangs.listen()
        access = RedisAccess(user=ADMIN_USER, password=ADMIN_PASSWORD)
        name = fresh_name()
        one = RedisTarget(RedisPlace(nodes=(node.address,), tls=False), access)
        one.mint(MintOrder(name=name, ends=Instant(1)), READER, patience=10.0)
        both = RedisTarget(RedisPlace(nodes=(str(tmp_path / "hangs"), node.address), tls=False), access)
        found: list[BaseException] = []

        def revoke() -> None:
            try:
                both.revoke(name, ends=Instant(1), patience=50.0)
            except TargetUnavailableError as error:
                found.append(error)

        thread = threading.Thread(target=revoke)
        thread.start()
        pause = threading.Event()
        while node.user(name) is not None:
            pause.wait(0.01)
        assert thread.is_alive(), "the other node is waited for all the while"
        hangs.close()
        thread.join(30.0)
        assert len(found) == 1


@pytest.fixture(scope="module")
def busy() -> Iterator[Node]:
    with running(1, "valkey", settings={"busy-reply-threshold": "20"}) as (node,):
        yield node


def test_a214_a_server_that_runs_a_program_is_waited_for_and_then_cut(busy: Node) -> None:
    access = RedisAccess(user=ADMIN_USER, password=ADMIN_PASSWORD)
    target = RedisTarget(RedisPlace(nodes=(busy.address,), tls=False), access)
    name = fresh_name()
    target.mint(MintOrder(name=name, ends=Instant(1)), READER, patience=10.0)
    with busy.line() as owner, busy.line() as other:
        owner.say("EVAL", "while true do end", "0")
        with pytest.raises(TargetUnavailableError, match="busy running a script"):
            target.revoke(name, ends=Instant(1), patience=5.0)
        assert other.ask("SCRIPT", "KILL") == "OK"
        with pytest.raises(SaidNoError):
            owner.hear()
    target.revoke(name, ends=Instant(1), patience=10.0)
    assert busy.user(name) is None


def test_an_acl_file_that_can_not_be_written_keeps_an_end_open(busy: Node) -> None:
    access = RedisAccess(user=ADMIN_USER, password=ADMIN_PASSWORD)
    target = RedisTarget(RedisPlace(nodes=(busy.address,), tls=False), access)
    name = fresh_name()
    target.mint(MintOrder(name=name, ends=Instant(1)), READER, patience=10.0)
    aside = busy.folder / "aside"
    busy.users_file.rename(aside)
    (busy.users_file / "in-the-way").mkdir(parents=True)
    with pytest.raises(TargetUnavailableError, match="can't write its ACL file"):
        target.revoke(name, ends=Instant(1), patience=10.0)
    assert busy.user(name) is None  # nobody is let in meanwhile
    (busy.users_file / "in-the-way").rmdir()
    busy.users_file.rmdir()
    aside.rename(busy.users_file)
    target.revoke(name, ends=Instant(1), patience=10.0)
    assert busy.kept(name) == ""


def test_a_server_without_an_acl_file_is_minted_in_and_what_it_forgets_is_gone() -> None:
    with running(1, "redis", aclfile=False) as (node,):
        access = RedisAccess(user=ADMIN_USER, password=ADMIN_PASSWORD)
        target = RedisTarget(RedisPlace(nodes=(node.address,), tls=False), access)
        name = fresh_name()
        target.mint(MintOrder(name=name, ends=Instant(1)), READER, patience=10.0)
        node.kill()
        node.start_again()
        assert node.user(name) is None
        assert target.revoke(name, ends=Instant(1), patience=10.0).cut == 0
