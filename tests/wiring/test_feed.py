"""The feed of real daemons: whoever follows it hears of an end at once, whatever else hangs."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from taskbound.core.revocation import About, Thing
from taskbound.sdk.client import Client, RefusedByDaemonError
from taskbound.sdk.feed import FeedFollower, FeedReader, RevokedError, StaleFeedError
from taskbound.wire.connection import Done
from taskbound.wire.task import EndTask, PauseTask, ResumeTask
from taskbound.wire.token import FeedRows, ReadFeed
from taskbound.wiring.home import find_socket, make_home
from tests.wiring.running import Running, client, daemon, settle_in, signer, start_task, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskbound.core.errors import TaskboundError
    from tests.postgres import Server

ORIGIN = "example.com/log"


def task_of(name: str) -> Thing:
    return Thing(namespace="default", about=About.TASK, id=name)


class Following:
    """A reader that is kept fresh over a daemon's socket, anew for each question as after a cut."""

    def __init__(self, socket: Path) -> None:
        self.reader, self.told = FeedReader(), list[str]()
        self._socket = socket
        self._follower = FeedFollower(self.reader, self._fetch, failed=self._failed)

    def __enter__(self) -> FeedReader:
        self._follower.start()
        until(lambda: self.is_clear(task_of("none")), "fresh")
        return self.reader

    def __exit__(self, *_: object) -> None:
        self._follower.stop()

    def is_clear(self, thing: Thing) -> bool:
        try:
            self.reader.require_clear([thing])
        except (RevokedError, StaleFeedError):
            return False
        return True

    def _fetch(self, ask: ReadFeed) -> FeedRows:
        with client(self._socket) as one:
            return one.ask(ask, FeedRows)

    def _failed(self, error: TaskboundError) -> None:
        self.told.append(error.code)


def hears(reader: FeedReader, name: str) -> None:
    """Go on once it has heard that this task is over or stopped."""

    def heard() -> bool:
        try:
            reader.require_clear([task_of(name)])
        except RevokedError:
            return True
        except StaleFeedError:
            return False
        return False

    until(heard, f"{name} is known to be over")


def ended(one: Client, task: str) -> None:
    one.ask(EndTask(task=task, how="cancelled", reason="enough"), Done)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    found = tmp_path / "home"
    make_home(found)
    return found


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A daemon with an active agent, for all tests that neither stop it nor need another beside it."""
    folder = tmp_path_factory.mktemp("feed")
    make_home(folder / "home")
    with daemon(folder / "home"):
        settle_in(find_socket(folder / "home"), folder)
        yield find_socket(folder / "home")


def test_who_waits_is_answered_when_a_task_ends_and_else_with_how_far_the_log_is(
    socket: Path,
) -> None:
    with client(socket) as waits, client(socket) as ends:
        task = start_task(ends)
        until(lambda: bool(waits.ask(ReadFeed(), FeedRows).entries), "the agent's activation was looked at")
        until(lambda: quiet(waits), "all that was recorded was looked at")
        page = waits.ask(ReadFeed(), FeedRows)
        assert page.entries[0].about == "agent"
        assert task not in {one.id for one in page.entries}
        number = waits.begin(ReadFeed(after=page.through, mark=page.mark, wait=2_000))
        ended(ends, task)
        found = next(one.answer for one in waits.replies() if one.id == number)
        assert isinstance(found, FeedRows)
        for _ in range(15):  # on a slow machine it is looked at later than anybody may wait
            if found.entries:
                break
            found = waits.ask(ReadFeed(after=found.through, mark=found.mark, wait=2_000), FeedRows)
        assert [(one.about, one.id, one.turn) for one in found.entries] == [("task", task, "over")]


def test_who_begins_is_told_of_what_they_ended_a_moment_ago(socket: Path) -> None:
    with client(socket) as one:
        tasks = [start_task(one) for _ in range(5)]
        for number, task in enumerate(tasks, 1):
            ended(one, task)
            told = [entry.id for entry in one.ask(ReadFeed(), FeedRows).entries if entry.id in tasks]
            assert told == tasks[:number]


def quiet(one: Client) -> bool:
    """Whether the log stands still, and who asks is told so with its mark."""
    first = one.ask(ReadFeed(), FeedRows)
    again = one.ask(ReadFeed(after=first.through, mark=first.mark, wait=50), FeedRows)
    return (again.entries, again.through, again.mark) == ((), first.through, first.mark)


@pytest.mark.parametrize("mark", ["ab", "zz" * 32, "é" * 64], ids=["short", "no-hex", "no-ascii"])
def test_what_is_no_mark_is_malformed_and_another_record_s_is_another_log(socket: Path, mark: str) -> None:
    with client(socket) as one:
        with pytest.raises(RefusedByDaemonError) as malformed:
            one.ask(ReadFeed(after=0, mark=mark), FeedRows)
        assert malformed.value.fault.family == "malformed"
        with pytest.raises(RefusedByDaemonError) as other:
            one.ask(ReadFeed(after=0, mark="ab" * 32), FeedRows)
        assert other.value.fault.code == "other-log"


def test_f24_a_place_beyond_the_log_is_waited_for_and_then_of_another_log(socket: Path) -> None:
    with client(socket) as one:
        page = one.ask(ReadFeed(), FeedRows)
        for wait in (0, 2_000):
            with pytest.raises(RefusedByDaemonError) as other:
                one.ask(ReadFeed(after=page.through + 1_000, mark=page.mark, wait=wait), FeedRows)
            assert other.value.fault.code == "other-log"


def test_a_paused_task_is_stopped_and_back_once_it_goes_on(socket: Path) -> None:
    following = Following(socket)
    with following as reader, client(socket) as person:
        task = start_task(person)
        person.ask(PauseTask(task=task, reason="lunch"), Done)
        hears(reader, task)
        person.ask(ResumeTask(task=task), Done)
        until(lambda: following.is_clear(task_of(task)), "it is back")


def test_a_signer_that_hangs_keeps_nothing_from_being_heard(home: Path, tmp_path: Path) -> None:
    keys, place = tmp_path / "apart" / "keys", tmp_path / "apart" / "signer.sock"
    keys.parent.mkdir(mode=0o700)
    with signer(keys, place, "--create") as hung, daemon(home, "--signer", str(place), "--origin", ORIGIN):
        socket = find_socket(home)
        task = settle_in(socket, tmp_path)
        with Following(socket) as reader, client(socket) as person:
            hung.process.send_signal(signal.SIGSTOP)
            try:
                ended(person, task)
                hears(reader, task)
                later = start_task(person)
                ended(person, later)
                hears(reader, later)
            finally:
                hung.process.send_signal(signal.SIGCONT)


def test_f24_a_daemon_that_is_killed_and_started_again_is_followed_on(home: Path, tmp_path: Path) -> None:
    socket = find_socket(home)
    with daemon(home) as first:
        task, following = settle_in(socket, tmp_path), Following(socket)
        with following as reader:
            first.end(signal.SIGKILL)
            until(lambda: "daemon-lost" in following.told, "it was missed")
            with daemon(home), client(socket) as person:
                ended(person, task)
                hears(reader, task)
                until(lambda: following.is_clear(task_of("none")), "fresh again")
    assert "other-log" not in following.told


def test_a_daemon_that_hangs_keeps_nothing_from_those_who_follow_another(
    server: Server, home: Path, tmp_path: Path
) -> None:
    name, other = server.database(), tmp_path / "two"
    make_home(other)
    keys, place = tmp_path / "apart" / "keys", tmp_path / "apart" / "signer.sock"
    keys.parent.mkdir(mode=0o700)
    flags = ("--store", server.url(name), "--signer", str(place), "--origin", ORIGIN)
    with signer(keys, place, "--create"), daemon(home, *flags) as first, daemon(other, *flags):
        task = settle_in(find_socket(home), tmp_path)
        sockets = [find_socket(home), find_socket(other)]
        one_after_the_other(sockets)
        with Following(sockets[1]) as reader:
            ended_in(sockets[0], task)
            hears(reader, task)
            hangs(first)
            try:
                with client(sockets[1]) as person:
                    later = start_task(person)
                    ended(person, later)
                hears(reader, later)
            finally:
                os.kill(first.process.pid, signal.SIGCONT)
            with client(sockets[0]) as person:
                last = start_task(person)
                ended(person, last)
            hears(reader, last)
    server.drop(name)


def one_after_the_other(sockets: list[Path]) -> None:
    """What the one told is gone on from at the other at once, though that has perhaps not looked since."""
    with client(sockets[0]) as first, client(sockets[1]) as second:
        page = first.ask(ReadFeed(), FeedRows)
        for number in range(6):
            ended(second, start_task(second))
            beside = (first, second)[number % 2]
            page = beside.ask(ReadFeed(after=page.through, mark=page.mark, wait=2_000), FeedRows)


def ended_in(socket: Path, task: str) -> None:
    with client(socket) as one:
        ended(one, task)


def hangs(one: Running) -> None:
    """Stop the daemon that gives records their places, where it holds no transaction."""
    one.process.send_signal(signal.SIGSTOP)
