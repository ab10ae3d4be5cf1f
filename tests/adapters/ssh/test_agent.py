from __future__ import annotations

import os
import select
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.adapters.ssh import AgentLimits, SshAgent, SshIdentity, serve_agent
from taskbound.adapters.ssh.identity import string
from taskbound.core.clock import Instant
from tests.adapters.ssh.keys import FAILED, KINDS, LISTING, Pair, Speaker, make_pair, sign_request

LIST = b"\x0c"
SIGNED = b"\x0e"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a") / "s"


def agent(path: Path, pair: Pair, **limits: float) -> SshAgent:
    """An agent with the pair's key and these limits."""
    return SshAgent(path, [SshIdentity(pair.private)], limits=AgentLimits(**limits))  # type: ignore[arg-type]  # one of them is an int


def shown(found: bytes) -> bytes:
    """The answer that shows this key alone."""
    return LIST + (1).to_bytes(4, "big") + string(found) + string(b"")


def with_agent(path: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "SSH_AUTH_SOCK": str(path)}


# --- the real programs ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_ssh_add_shows_it_and_ssh_keygen_signs_with_it(tmp_path: Path, kind: str) -> None:
    pair = make_pair(tmp_path, kind)
    with serve_agent(pair.private) as path:
        said = subprocess.run(
            ["ssh-add", "-L"], env=with_agent(path), check=True, capture_output=True, text=True
        )
        assert said.stdout.split()[:2] == pair.public.split()[:2]
        signing = ["ssh-keygen", "-Y", "sign", "-n", "x", "-f", str(tmp_path / "user.pub")]
        pair.file.unlink()
        done = subprocess.run(signing, env=with_agent(path), input=b"words", check=True, capture_output=True)
    (tmp_path / "allowed").write_text(f"ann {pair.public}")
    (tmp_path / "signature").write_bytes(done.stdout)
    verifying = ["ssh-keygen", "-Y", "verify", "-n", "x", "-I", "ann", "-f", str(tmp_path / "allowed")]
    for words, status in ((b"words", 0), (b"other", 255)):
        checked = subprocess.run(
            [*verifying, "-s", str(tmp_path / "signature")], input=words, check=False, capture_output=True
        )
        assert checked.returncode == status


@pytest.mark.parametrize("words", [["-D"], ["-d"], ["-e", "x"], ["FILE"]])
def test_ssh_add_changes_nothing(pair: Pair, words: list[str]) -> None:
    with serve_agent(pair.private, pair.certificate) as path:
        told = [str(pair.file) if one == "FILE" else one for one in words]
        done = subprocess.run(["ssh-add", *told], env=with_agent(path), check=False, capture_output=True)
        assert done.returncode != 0
        with Speaker(path) as speaker:
            assert speaker.ask(LISTING) == shown(pair.blob(certified=True))


# --- what is asked -------------------------------------------------------------------------------


def test_with_a_certificate_that_alone_is_shown_and_signed_with(pair: Pair) -> None:
    with serve_agent(pair.private, pair.certificate) as path, Speaker(path) as speaker:
        assert speaker.ask(LISTING) == shown(pair.blob(certified=True))
        assert speaker.ask(sign_request(pair.blob())) == FAILED
        found = speaker.ask(sign_request(pair.blob(certified=True), b"data"))
        assert found[:1] == SIGNED
        signature = found[5:]
        assert signature[4:15] == b"ssh-ed25519"
        load_ssh_public_key(pair.public.encode()).verify(signature[19:], b"data")  # type: ignore[call-arg]  # it is Ed25519


def test_all_that_is_no_listing_and_no_signing_is_refused_and_the_connection_goes_on(pair: Pair) -> None:
    with serve_agent(pair.private) as path, Speaker(path) as speaker:
        for number in set(range(256)) - {11, 13}:
            assert speaker.ask(string(bytes([number]) + b"\xff\xff\xff\xff")) == FAILED
        assert speaker.ask(string(b"\x1b" + string(b"session-bind@openssh.com") + b"x")) == FAILED
        assert speaker.ask(sign_request(b"another key")) == FAILED
        assert speaker.ask(sign_request(pair.blob(), flags=2)) == FAILED
        assert speaker.ask(LISTING) == shown(pair.blob())


@pytest.mark.parametrize(
    "message",
    [
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        (65_537).to_bytes(4, "big"),
        string(b"\x0b\0"),
        string(b"\x0d"),
        string(b"\x0d" + string(b"") + b"\xff\xff\xff\xff" + b"\0\0\0\0"),
        string(b"\x0d" + b"\xff\xff\xff\xfb" + b"\0" * 8),
    ],
)
def test_a_message_that_is_none_ends_its_connection_alone(pair: Pair, message: bytes) -> None:
    with serve_agent(pair.private) as path, Speaker(path) as bad, Speaker(path) as good:
        assert good.ask(LISTING) == shown(pair.blob())
        assert bad.ask(message) == b""
        assert good.ask(LISTING) == shown(pair.blob())


@settings(max_examples=60, deadline=None)
@given(data=st.lists(st.one_of(st.binary(max_size=60), st.just(LISTING)), max_size=6))
def test_whatever_is_said_the_next_one_is_answered(data: list[bytes]) -> None:
    speaker, path = FUZZED
    with Speaker(path) as other:
        other.socket.sendall(b"".join(data))
        other.socket.shutdown(socket.SHUT_WR)
        while other.answer():
            pass
    assert speaker.ask(LISTING)[:1] == LIST


FUZZED: tuple[Speaker, Path]


@pytest.fixture(autouse=True, scope="module")
def fuzzed(pair: Pair) -> Iterator[None]:
    """An agent that lives through all that hypothesis says to it."""
    global FUZZED  # noqa: PLW0603 - hypothesis takes no fixture of a function
    with serve_agent(pair.private) as path, Speaker(path) as speaker:
        FUZZED = (speaker, path)
        yield


# --- whom, how much and how long -----------------------------------------------------------------


def test_folder_and_socket_are_this_accounts_alone_and_gone_at_the_end(pair: Pair) -> None:
    with serve_agent(pair.private) as path, serve_agent(pair.private) as other:
        assert path != other
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [one.name for one in path.parent.iterdir()] == ["agent"]
    assert not path.parent.exists()
    with pytest.raises(ZeroDivisionError), serve_agent(pair.private) as path:
        raise ZeroDivisionError
    assert not path.parent.exists()


def test_another_account_is_refused(path: Path, pair: Pair) -> None:
    identities = [SshIdentity(pair.private)]
    with SshAgent(path, identities, account=os.geteuid() + 1), Speaker(path) as speaker:
        assert speaker.ask(LISTING) == b""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another account")
def test_an_account_that_reaches_the_socket_is_refused_by_what_the_kernel_says_of_it(pair: Pair) -> None:
    with serve_agent(pair.private) as path:
        path.parent.chmod(0o755)
        path.chmod(0o666)
        os.seteuid(65_534)
        try:
            speaker = Speaker(path)
        finally:
            os.seteuid(0)
        with speaker, Speaker(path) as own:
            assert (speaker.ask(LISTING), own.ask(LISTING)) == (b"", shown(pair.blob()))


def test_a_key_is_neither_shown_nor_used_from_its_end_on(path: Path, pair: Pair) -> None:
    time = [Instant(999)]
    ending = SshIdentity(pair.private, ends=Instant(1_000))
    lasting = SshIdentity(pair.private, pair.certificate)
    with SshAgent(path, [ending, lasting], now=lambda: time[0]), Speaker(path) as speaker:
        assert speaker.ask(LISTING)[1:5] == b"\0\0\0\2"
        assert speaker.ask(sign_request(pair.blob()))[:1] == SIGNED
        time[0] = Instant(1_000)
        assert speaker.ask(LISTING) == shown(pair.blob(certified=True))
        assert speaker.ask(sign_request(pair.blob())) == FAILED
        assert speaker.ask(sign_request(pair.blob(certified=True)))[:1] == SIGNED


def test_the_systems_clock_ends_a_key_where_none_is_given(pair: Pair) -> None:
    with serve_agent(pair.private, ends=Instant(1)) as path, Speaker(path) as speaker:
        assert speaker.ask(LISTING) == LIST + b"\0\0\0\0"


def test_what_is_closed_answers_nobody_and_open_connections_end(path: Path, pair: Pair) -> None:
    served = agent(path, pair)
    served.start()
    with Speaker(path) as speaker, Speaker(path) as silent:
        assert speaker.ask(LISTING) == shown(pair.blob())
        served.close()
        assert (speaker.ask(LISTING), silent.answer(), path.exists()) == (b"", b"", False)
    served.close()
    with pytest.raises(FileNotFoundError):
        Speaker(path)


@pytest.mark.parametrize("count", [0, 3])
def test_nothing_of_it_stays_open(path: Path, pair: Pair, count: int) -> None:
    def opened() -> set[str]:
        """What is open, by name; a socket has a number that no other has."""
        return {str(one.readlink()) for one in list(Path("/dev/fd").iterdir()) if one.is_symlink()}

    before = opened()
    with agent(path, pair), ExitStack() as speakers:
        for one in [speakers.enter_context(Speaker(path)) for _ in range(count)]:
            one.ask(LISTING)
    assert not opened() - before  # something of another test may have been closed meanwhile


def test_what_was_never_started_answers_nobody_and_can_be_closed(path: Path, pair: Pair) -> None:
    before = threading.active_count()
    served = agent(path, pair)
    assert threading.active_count() == before
    with Speaker(path) as speaker:
        speaker.socket.sendall(LISTING)
        served.close()
        assert (speaker.answer(), path.exists()) == (b"", False)


def test_a_path_that_is_taken_is_left_alone(path: Path, pair: Pair) -> None:
    path.write_text("mine")
    with pytest.raises(OSError, match="in use"):
        agent(path, pair)
    assert path.read_text() == "mine"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_agent_that_fails_serves_nobody_any_more(path: Path, pair: Pair) -> None:
    def now() -> Instant:
        raise ZeroDivisionError

    with (
        SshAgent(path, [SshIdentity(pair.private)], now=now),
        Speaker(path) as speaker,
        Speaker(path) as silent,
    ):
        assert (speaker.ask(LISTING), silent.answer(), path.exists()) == (b"", b"", False)


def test_connections_beyond_the_limit_wait_for_one_to_end(path: Path, pair: Pair) -> None:
    with agent(path, pair, connections=2), Speaker(path) as first, Speaker(path) as second:
        assert {first.ask(LISTING), second.ask(LISTING)} == {shown(pair.blob())}
        with Speaker(path) as third:
            third.socket.sendall(LISTING)
            assert second.ask(LISTING) == shown(pair.blob())
            assert select.select([third.socket], [], [], 0.1)[0] == []
            first.socket.close()
            assert third.answer() == shown(pair.blob())


def test_silence_ends_a_connection(path: Path, pair: Pair) -> None:
    with agent(path, pair, idle=0.1), Speaker(path) as speaker, Speaker(path) as other:
        assert other.ask(LISTING) == shown(pair.blob())
        assert (speaker.answer(), other.answer()) == (b"", b"")


def test_half_a_message_ends_its_connection_however_its_bytes_drip(path: Path, pair: Pair) -> None:
    with agent(path, pair, half=0.3), Speaker(path) as speaker, Speaker(path) as good:
        assert speaker.ask(LISTING) == shown(pair.blob())
        speaker.socket.sendall((60_000).to_bytes(4, "big"))
        dripped = 0
        while not select.select([speaker.socket], [], [], 0.02)[0]:
            speaker.socket.send(b"\xff")
            dripped += 1
            assert dripped < 200
        assert (speaker.answer(), good.ask(LISTING)) == (b"", shown(pair.blob()))


def test_who_takes_no_answer_is_ended_and_keeps_nobody_waiting(path: Path, pair: Pair) -> None:
    with agent(path, pair, half=0.3), Speaker(path) as greedy, Speaker(path) as good:
        greedy.socket.settimeout(0.05)
        with pytest.raises((TimeoutError, BrokenPipeError, ConnectionResetError)):
            greedy.socket.sendall(LISTING * 1_000_000)
        assert good.ask(LISTING) == shown(pair.blob())
        ended = select.poll()
        ended.register(greedy.socket, select.POLLHUP)
        while not any(event & select.POLLHUP for _, event in ended.poll(20_000)):
            pass
        assert good.ask(LISTING) == shown(pair.blob())


def test_who_takes_answers_late_gets_all_of_them_in_order(path: Path, pair: Pair) -> None:
    with agent(path, pair), Speaker(path) as late, Speaker(path) as good:
        late.socket.sendall((LISTING + sign_request(b"")) * 3_000)
        assert good.ask(LISTING) == shown(pair.blob())
        assert [late.answer()[:1] for _ in range(6_000)] == [LIST, FAILED] * 3_000


def test_what_is_asked_in_one_breath_is_answered_in_order(path: Path, pair: Pair) -> None:
    with agent(path, pair), Speaker(path) as speaker:
        speaker.socket.sendall((LISTING + sign_request(pair.blob()) + sign_request(b"")) * 50)
        found = [speaker.answer()[:1] for _ in range(150)]
        assert found == [LIST, SIGNED, FAILED] * 50


def test_many_threads_use_one_at_once(pair: Pair) -> None:
    public = load_ssh_public_key(pair.public.encode())

    def use(path: Path, number: int) -> None:
        data = str(number).encode()
        with Speaker(path) as speaker:
            found = speaker.ask(sign_request(pair.blob(), data))
            public.verify(found[5 + 19 :], data)  # type: ignore[call-arg]  # it is Ed25519

    with serve_agent(pair.private) as path, ThreadPoolExecutor(12) as threads:
        assert len(list(threads.map(partial(use, path), range(200)))) == 200


@pytest.mark.skipif(sys.platform != "linux", reason="where a thread's signals are told")
def test_its_thread_takes_no_signal(pair: Pair) -> None:
    before = {one.native_id for one in threading.enumerate()}
    with serve_agent(pair.private):
        (thread,) = [one for one in threading.enumerate() if one.native_id not in before]
        status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
        blocked = int(next(one for one in status.splitlines() if one.startswith("SigBlk:")).split()[1], 16)
        for number in (1, 2, 15, 17):
            assert blocked >> (number - 1) & 1
