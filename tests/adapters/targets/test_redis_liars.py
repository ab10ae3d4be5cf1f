from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from traceback import format_exception

import pytest

from taskbound.adapters.targets.redis import RedisTarget
from taskbound.core.clock import Instant
from taskbound.core.target import RedisAccess, RedisKind, RedisPlace
from taskbound.ports.target import MintOrder, NameTakenError, TargetRefusedError, TargetUnavailableError
from tests.peers.minter import PREFIX, fresh_name

ENDS = Instant(4_102_444_800_000_000)
KIND = RedisKind(commands=("get",), reads=("orders:*",))
WORD = "minters-own-word"
PATIENCE = 2.0
OK = b"+OK\r\n"
Says = Callable[[list[bytes]], bytes]
"""What a server answers to the words of a command."""


@contextmanager
def lying(folder: Path, says: Says, *, drips: bool = False) -> Iterator[list[list[bytes]]]:
    """A server that lets everybody in and then answers so; what it was asked."""
    heard: list[list[bytes]] = []
    over = threading.Event()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "s"))
        listening.listen()
        listening.settimeout(0.02)

        def serve(one: socket.socket) -> None:
            with one, one.makefile("rb") as file, suppress(OSError, ValueError):
                while not over.is_set():
                    count = int(file.readline()[1:])
                    words = [file.read(int(file.readline()[1:]) + 2)[:-2] for _ in range(count)]
                    heard.append(words)
                    answer = OK if words[0] == b"AUTH" else says(words)
                    for piece in [answer[at : at + 1] for at in range(len(answer))] if drips else [answer]:
                        one.sendall(piece)
                        over.wait(0.02 if drips else 0)

        def accept() -> None:
            while not over.is_set():
                with suppress(TimeoutError):
                    one, _ = listening.accept()
                    one.settimeout(5.0)
                    threading.Thread(target=serve, args=(one,), daemon=True).start()

        server = threading.Thread(target=accept, daemon=True)
        server.start()
        try:
            yield heard
        finally:
            over.set()
            server.join()


def target(folder: Path) -> RedisTarget:
    place = RedisPlace(nodes=(str(folder / "s"),), tls=False)
    return RedisTarget(place, RedisAccess(user="minter", password=WORD))


def bulk(text: str) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text.encode())


@pytest.mark.parametrize(
    "answer",
    [
        b"*1000000000\r\n",
        b"*1\r\n" * 100_000,
        b"$99999999999\r\n",
        b"$-5\r\n",
        b"$3\r\nabcdefg",
        b":" + b"9" * 5_000 + b"\r\n",
        b"+" + b"x" * 100_000,
        b">2\r\n+invalidate\r\n*0\r\n",
        b"%1\r\n+a\r\n+b\r\n",
        b"_\r\n",
        b"*-1\r\n",
        b":1\r\n",
        b"+OK\r\n",
        b"$0\r\n\r\n",
        b"*0\r\n",
        bulk("id=x user=y flags=N"),
        bulk("\xff" * 40),
        b"-LOADING wait\r\n",
        b"-MOVED 1 10.0.0.9:6379\r\n",
        b"-CLUSTERDOWN no\r\n",
        b"-ERR whatever\r\n",
    ],
    ids=lambda one: repr(one[:16]),
)
def test_what_a_liar_says_to_everything_mints_and_ends_nothing_and_is_over_in_time(
    tmp_path: Path, answer: bytes
) -> None:
    order = MintOrder(name=fresh_name(), ends=ENDS)
    with lying(tmp_path, lambda _: answer):
        began = time.monotonic()
        with pytest.raises((TargetUnavailableError, TargetRefusedError, NameTakenError)):
            target(tmp_path).mint(order, KIND, patience=PATIENCE)
        with pytest.raises((TargetUnavailableError, TargetRefusedError)):
            target(tmp_path).revoke(order.name, ends=ENDS, patience=PATIENCE)
        for call in (
            lambda: target(tmp_path).look(order.name, patience=PATIENCE),
            lambda: list(target(tmp_path).sweep(PREFIX, patience=PATIENCE)),
            lambda: target(tmp_path).discover((), most=5, patience=PATIENCE),
        ):
            with suppress(TargetUnavailableError, TargetRefusedError):
                call()
        assert time.monotonic() - began < 5 * (PATIENCE + 5)


def test_an_answer_that_drips_is_over_with_the_patience(tmp_path: Path) -> None:
    with lying(tmp_path, lambda _: bulk("x" * 10_000), drips=True):
        began = time.monotonic()
        with pytest.raises(TargetUnavailableError, match="took longer"):
            target(tmp_path).look(fresh_name(), patience=0.3)
        assert time.monotonic() - began < 20  # all of it takes three minutes


def test_another_server_that_is_named_is_not_gone_to(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        replication = (
            f"run_id:a\r\ntcp_port:6379\r\nrole:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:{port}\r\n"
        )

        def says(words: list[bytes]) -> bytes:
            match words[0]:
                case b"INFO":
                    return bulk(replication)
                case b"CLIENT":
                    return f"-MOVED 1 127.0.0.1:{port}\r\n".encode()
                case _:
                    return b"$-1\r\n"

        with lying(tmp_path, says):
            with pytest.raises(TargetRefusedError, match="does not name"):
                target(tmp_path).mint(MintOrder(name=fresh_name(), ends=ENDS), KIND, patience=PATIENCE)
            with pytest.raises(TargetUnavailableError, match="is not gone to"):
                target(tmp_path).revoke(fresh_name(), ends=ENDS, patience=PATIENCE)
        other.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            other.accept()


def test_a_user_that_a_server_made_otherwise_is_handed_to_nobody(tmp_path: Path) -> None:
    made: dict[bytes, list[bytes]] = {}

    def says(words: list[bytes]) -> bytes:
        match words[:2]:
            case [b"ACL", b"SETUSER"]:
                made[words[2]] = words[3:]
                return OK
            case [b"ACL", b"GETUSER"] if words[2] in made:
                digest = next(one for one in made[words[2]] if one.startswith(b"#")).decode()[1:]
                return (
                    b"*12\r\n"
                    + bulk("flags")
                    + b"*1\r\n"
                    + bulk("on")
                    + bulk("passwords")
                    + b"*1\r\n"
                    + bulk(digest)
                    + bulk("commands")
                    + bulk("-@all +get")
                    + bulk("keys")
                    + bulk("~*")
                    + bulk("channels")
                    + bulk("")
                    + bulk("selectors")
                    + b"*0\r\n"
                )
            case [b"INFO", *_]:
                return bulk("run_id:a\r\n")
            case [b"ACL", b"SAVE"]:
                return OK
            case _:
                return b"$-1\r\n"

    with lying(tmp_path, says), pytest.raises(TargetRefusedError, match="what was not ordered"):
        target(tmp_path).mint(MintOrder(name=fresh_name(), ends=ENDS), KIND, patience=PATIENCE)
    assert len(made) == 1


def test_an_end_is_none_while_a_session_of_it_is_listed_or_the_user_is_there(tmp_path: Path) -> None:
    name = fresh_name()
    session = f"id=7 addr=x flags=N user={name}\nid=8 addr=x flags=N user=owner\n"
    for listed, user, says_why in (
        (session, b"$-1\r\n", "1 of its sessions"),
        ("id=7 flags=A user=default\n", b"$-1\r\n", "1 of its sessions"),
        ("id=7 name=x\n", b"$-1\r\n", "what are no sessions"),
        ("", b"*0\r\n", "still shows the user"),
    ):
        folder = tmp_path / f"{len(says_why)}-{len(listed)}"
        folder.mkdir()

        def says(words: list[bytes], listed: str = listed, user: bytes = user) -> bytes:
            match words[:2]:
                case [b"CLIENT", b"LIST"]:
                    return bulk(listed)
                case [b"ACL", b"GETUSER"]:
                    return user
                case [b"ACL", b"SAVE"]:
                    return OK
                case _:
                    return b":1\r\n"

        with lying(folder, says), pytest.raises(TargetUnavailableError, match=says_why):
            target(folder).revoke(name, ends=ENDS, patience=0.3)


def test_no_word_of_a_server_is_passed_on_and_no_secret(tmp_path: Path) -> None:
    with lying(
        tmp_path,
        lambda words: b"-ERR you said " + b" ".join(words) + b" after AUTH " + WORD.encode() + b"\r\n",
    ):
        for call in (
            lambda: target(tmp_path).mint(MintOrder(name=fresh_name(), ends=ENDS), KIND, patience=PATIENCE),
            lambda: target(tmp_path).revoke(fresh_name(), ends=ENDS, patience=PATIENCE),
            lambda: target(tmp_path).discover((), most=5, patience=PATIENCE),
        ):
            with pytest.raises(TargetUnavailableError) as caught:
                call()
            told = "".join(format_exception(caught.value))
            assert WORD not in told
            assert "you said" not in told
