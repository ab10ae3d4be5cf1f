from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from taskbound.adapters.claims import SqliteClaims
from taskbound.core.clock import Instant, seconds
from taskbound.core.token import ClaimKind, claim_of
from taskbound.core.token.shared import (
    Begun,
    ClaimsUnavailableError,
    Repeated,
    ServedAnswer,
    Serving,
    StillServing,
    Unfinished,
)
from tests.adapters.claims.claiming import descriptors_of
from tests.house.tree import ROOT

NOW = Instant(seconds(1_800_000_000))
SERVING = Serving(verifier="payments", txn="act_1", request="r", until=Instant(NOW + seconds(60)))
ANSWER = ServedAnswer(status=200, headers=(), digest="d", length=4, body=b"paid")
PROGRAM = Path(__file__).with_name("claiming.py")


class Other:
    """Another process of the service."""

    def __init__(self, path: Path, work: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(path), work],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
        assert self.said() == "ready"

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def told(self) -> str:
        self.go()
        return self.said()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def others(path: Path, *works: str) -> Iterator[list[Other]]:
    found: list[Other] = []
    try:
        found.extend(Other(path, work) for work in works)
        yield found
    finally:
        for each in found:
            each.end()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "claims" / "claims.db"


Opened: TypeAlias = Callable[[Path], SqliteClaims]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens claims that are closed with the test."""
    with ExitStack() as closed:
        yield lambda path: closed.enter_context(closing(SqliteClaims(path)))


def test_of_processes_that_ask_at_once_one_begins(path: Path) -> None:
    with others(path, *["begin"] * 6) as asked:
        for one in asked:
            one.go()
        told = [one.said() for one in asked]
    assert sorted(told) == ["Begun"] + ["StillServing"] * 5


def test_what_a_killed_process_had_begun_is_unknown_and_is_not_begun_again(
    path: Path, opened: Opened
) -> None:
    claims = opened(path)
    with others(path, "begin") as (other,):
        assert other.told() == "Begun"
        assert claims.begin(SERVING, NOW) == StillServing()
        other.kill()
        assert claims.begin(SERVING, NOW) == Unfinished()
    claims.close()
    assert opened(path).begin(SERVING, NOW) == Unfinished()


def test_a_stopped_process_is_still_at_it(path: Path, opened: Opened) -> None:
    claims = opened(path)
    with others(path, "begin") as (other,):
        assert other.told() == "Begun"
        other.process.send_signal(signal.SIGSTOP)
        assert claims.begin(SERVING, NOW) == StillServing()


def test_after_a_fork_the_child_asks_with_a_name_of_its_own(path: Path, opened: Opened) -> None:
    with others(path, "fork") as (other,):
        assert [other.told(), *(other.said() for _ in range(4))] == [
            "False",
            "StillServing",
            "Begun",
            "holds 2",  # its own, and what it inherited, which it does not even close
            "gone",
        ]
        second = Serving(verifier="payments", txn="act_2", request="r", until=SERVING.until)
        claims = opened(path)
        assert claims.begin(second, NOW) == Unfinished()  # the child is gone
        assert claims.begin(SERVING, NOW) == StillServing()  # the parent is not


def test_a_fork_waits_for_a_transaction_and_its_child_rolls_nothing_back(path: Path) -> None:
    with others(path, "threads") as (other,):
        assert [other.told(), *(other.said() for _ in range(3))] == [
            "open False",
            "asks False",
            "at 7",
            "gone",
        ]


def test_where_nothing_more_can_be_written_nothing_is_begun(path: Path, opened: Opened) -> None:
    with others(path, "full") as (other,):
        assert other.told() == "claims-unavailable"
    claims = opened(path)
    with closing(sqlite3.connect(path)) as reader:
        (count,) = reader.execute("SELECT count(*) FROM served").fetchone()
    assert count < 200
    later = Serving(verifier="payments", txn="act_last", request="r", until=SERVING.until)
    assert claims.begin(later, NOW) == Begun()


def test_an_answer_that_can_not_be_written_is_unknown_at_once(path: Path, opened: Opened) -> None:
    claims = opened(path)
    claims.begin(SERVING, NOW)
    holder = sqlite3.connect(path, isolation_level=None)
    claims._connection().execute("PRAGMA busy_timeout = 0")  # noqa: SLF001 - nobody waits for a test
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(ClaimsUnavailableError) as raised:
        claims.answer(SERVING, ANSWER)
    assert "locked" in str(raised.value.__cause__)
    holder.execute("ROLLBACK")
    assert claims.begin(SERVING, NOW) == Unfinished()
    holder.close()


def test_f19_who_waits_for_threads_that_wait_for_a_stopped_process_is_refused_and_does_nothing(
    path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskbound.adapters.claims.sqlite._BUSY", 0.1)
    claims, told = opened(path), list[type[Exception] | None]()
    proof = claim_of("", ClaimKind.DPOP, "jkt", "jti", until=SERVING.until)

    def refused(work: Callable[[], object]) -> None:
        try:
            work()
        except ClaimsUnavailableError as error:
            told.append(type(error))
        else:
            told.append(None)

    def asking() -> None:
        refused(lambda: claims.begin(SERVING, NOW))
        refused(lambda: claims.use(proof, NOW))

    claims.pause()  # as a thread has it that waits for a file which a stopped process holds
    waiting = threading.Thread(target=asking, daemon=True)
    waiting.start()
    waiting.join(30)
    assert (told, waiting.is_alive()) == ([ClaimsUnavailableError] * 2, False)
    claims.resume()
    assert claims.begin(SERVING, NOW) == Begun()
    claims.pause()
    keeping = threading.Thread(target=claims.answer, args=(SERVING, ANSWER))
    keeping.start()
    keeping.join(0.5)
    claims.resume()
    keeping.join()  # what was answered has waited for its turn
    assert claims.begin(SERVING, NOW) == Repeated(answer=ANSWER)


def test_a_file_that_others_keep_in_wal_mode_is_not_used(path: Path, opened: Opened) -> None:
    SqliteClaims(path).close()
    holder = sqlite3.connect(path, isolation_level=None)
    assert holder.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    holder.execute("BEGIN")
    holder.execute("SELECT count(*) FROM served").fetchone()
    with pytest.raises(ClaimsUnavailableError):
        SqliteClaims(path)
    holder.close()
    claims = opened(path)
    assert claims.begin(SERVING, NOW) == Begun()
    assert claims._connection().execute("PRAGMA journal_mode").fetchone() == ("truncate",)  # noqa: SLF001 - what holds
    assert claims._connection().execute("PRAGMA synchronous").fetchone() == (2,)  # noqa: SLF001 - what holds


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_not_used(path: Path, mode: int) -> None:
    SqliteClaims(path).close()
    path.chmod(mode)
    with pytest.raises(ClaimsUnavailableError, match="alone"):
        SqliteClaims(path)


def test_a_folder_that_others_may_enter_is_not_used(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    with pytest.raises(ClaimsUnavailableError, match="alone"):
        SqliteClaims(path)


def test_a_link_in_place_of_the_file_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"")
    path.symlink_to(elsewhere)
    with pytest.raises(ClaimsUnavailableError):
        SqliteClaims(path)
    assert elsewhere.read_bytes() == b""


def test_a_file_that_is_no_database_is_not_used(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.touch(mode=0o600)
    path.write_bytes(b"something else" * 100)
    with pytest.raises(ClaimsUnavailableError):
        SqliteClaims(path)


def test_a_file_of_a_later_version_is_not_used(path: Path) -> None:
    SqliteClaims(path).close()
    with closing(sqlite3.connect(path)) as found:
        found.execute("PRAGMA user_version = 2")
    with pytest.raises(ClaimsUnavailableError, match="version 2"):
        SqliteClaims(path)


def test_refused_file_is_closed(path: Path) -> None:
    SqliteClaims(path).close()
    with closing(sqlite3.connect(path)) as found:
        found.execute("PRAGMA user_version = 2")
    with pytest.raises(ClaimsUnavailableError) as refused:
        SqliteClaims(path)
    assert refused.tb is not None  # it holds the constructor's frame, and with it the claims
    assert descriptors_of(path) == 0


def test_a_file_that_went_away_meanwhile_lets_nothing_begin(path: Path, opened: Opened) -> None:
    claims = opened(path)
    claims.begin(SERVING, NOW)
    path.rename(path.with_name("moved.db"))
    for replaced in (False, True):
        if replaced:
            SqliteClaims(path).close()
        with pytest.raises(ClaimsUnavailableError):
            claims.begin(SERVING, NOW)
    path.with_name("moved.db").replace(path)
    assert claims.begin(SERVING, NOW) == StillServing()


def test_a_file_that_is_replaced_while_it_is_opened_lets_nothing_begin(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SqliteClaims(path.with_name("other.db")).close()
    SqliteClaims(path).close()
    connect = sqlite3.connect

    def opened(*args: Any, **more: Any) -> sqlite3.Connection:
        found: sqlite3.Connection = connect(*args, **more)
        path.with_name("other.db").replace(path)
        return found

    monkeypatch.setattr(sqlite3, "connect", opened)
    with pytest.raises(ClaimsUnavailableError, match="replaced"):
        SqliteClaims(path)


def test_what_the_system_says_is_the_cause_and_no_word_of_the_error(path: Path, opened: Opened) -> None:
    claims = opened(path)
    path.unlink()
    with pytest.raises(ClaimsUnavailableError) as raised:
        claims.begin(SERVING, NOW)
    assert path.name in str(raised.value.__cause__)
    assert path.name not in f"{raised.value} {raised.value.advice}"


@pytest.mark.parametrize("size", [40, 200_000])
def test_what_is_forgotten_is_wiped(
    path: Path, opened: Opened, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect

    def leaving(*args: Any, **more: Any) -> sqlite3.Connection:
        """As where SQLite is built to wipe nothing."""
        found: sqlite3.Connection = connect(*args, **more)
        found.execute("PRAGMA secure_delete = OFF")
        return found

    monkeypatch.setattr(sqlite3, "connect", leaving)
    claims = opened(path)
    claims.begin(SERVING, NOW)
    body = (b"account 7 has 300 cents. " * 8000)[:size]
    claims.answer(SERVING, replace(ANSWER, length=size, body=body))
    assert body[:40] in path.read_bytes()
    later = Serving(verifier="payments", txn="act_2", request="r", until=Instant(NOW + seconds(600)))
    claims.begin(later, Instant(NOW + seconds(500)))
    left = b"".join(one.read_bytes() for one in path.parent.iterdir())
    assert body[:40] not in left


def test_names_of_processes_that_are_gone_are_taken_away(path: Path, opened: Opened) -> None:
    with others(path, "begin") as (other,):
        assert other.told() == "Begun"
        assert len(list(path.parent.glob("*.running"))) == 1
        other.kill()
    claims = opened(path)
    assert list(path.parent.glob("*.running")) == []
    second = Serving(verifier="payments", txn="act_2", request="r", until=SERVING.until)
    claims.begin(second, NOW)
    assert len(list(path.parent.glob("*.running"))) == 1
    claims.close()
    assert list(path.parent.glob("*.running")) == []


def test_the_latest_instant_is_kept_whatever_the_clock_says_later(path: Path, opened: Opened) -> None:
    claims = opened(path)
    assert claims.last_instant() == 0
    claims.begin(SERVING, NOW)
    later = Serving(verifier="payments", txn="act_2", request="r", until=SERVING.until)
    claims.begin(later, Instant(5))
    claims.close()
    assert opened(path).last_instant() == NOW
