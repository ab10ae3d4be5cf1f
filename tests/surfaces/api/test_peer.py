from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from taskbound.core.identity import UnprovenError
from taskbound.surfaces.api.server.peer import ancestry_of, hold_peer, is_alive, read_peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A process connects and ends, and its number goes to a process that has nothing to do with it before the
# connection is accepted. In a pid namespace of its own nothing else takes numbers.
REUSE = """
import os, pathlib, signal, socket, sys
from contextlib import closing
from taskbound.core.identity import UnprovenError
from taskbound.surfaces.api.server.peer import hold_peer, read_peer
path = sys.argv[1]
with closing(socket.socket(socket.AF_UNIX)) as listening:
    listening.bind(path)
    listening.listen()
    asker = os.fork()
    if asker == 0:
        socket.socket(socket.AF_UNIX).connect(path)
        os._exit(0)
    os.waitpid(asker, 0)
    pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(asker - 1))
    other = os.fork()
    if other == 0:
        signal.pause()
    try:
        connection, _ = listening.accept()
        seen = read_peer(connection, hold_peer(connection)).proof.pid
    except UnprovenError as error:
        seen = error.code
    finally:
        os.kill(other, signal.SIGKILL)
    print(other == asker, seen)
"""
APART = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc")


def tell(proc: Path, pid: int, parent: int, started: int, *, name: str = "sh") -> None:
    fields = " ".join(["0"] * 17)
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "stat").write_text(f"{pid} ({name}) S {parent} {fields} {started} 0 0\n", encoding="ascii")


def test_the_ancestry_goes_up_to_the_first_process(tmp_path: Path) -> None:
    tell(tmp_path, 30, 20, 300)
    tell(tmp_path, 20, 1, 200)
    assert ancestry_of(30, proc=tmp_path) == ((30, 300), (20, 200))
    assert ancestry_of(os.getpid())[1][0] == os.getppid()


def test_a_name_that_looks_like_fields_does_not_move_them(tmp_path: Path) -> None:
    tell(tmp_path, 30, 20, 300, name="x) S 1 (y) S 7")
    tell(tmp_path, 20, 1, 200)
    assert ancestry_of(30, proc=tmp_path) == ((30, 300), (20, 200))


def test_a_parent_that_is_gone_hides_nobody_who_stands_above_it(tmp_path: Path) -> None:
    tell(tmp_path, 30, 20, 300)
    assert ancestry_of(30, proc=tmp_path) == ()


def test_a_parent_whose_number_went_to_a_younger_process_is_not_believed(tmp_path: Path) -> None:
    tell(tmp_path, 30, 20, 300)
    tell(tmp_path, 20, 1, 301)
    assert ancestry_of(30, proc=tmp_path) == ()


@pytest.mark.parametrize(("count", "known"), [(256, 256), (257, 0)])
def test_a_line_of_processes_too_long_to_be_walked_is_known_not_at_all(
    tmp_path: Path, count: int, known: int
) -> None:
    for number in range(count):
        tell(tmp_path, 10 + number, 9 + number if number else 1, 100 + number)
    assert len(ancestry_of(9 + count, proc=tmp_path)) == known


def test_a_process_is_alive_only_under_its_own_start_time_and_while_it_can_do_something(
    tmp_path: Path,
) -> None:
    tell(tmp_path, 30, 20, 300)
    assert is_alive(30, 300, proc=tmp_path)
    assert not is_alive(30, 301, proc=tmp_path)
    assert not is_alive(31, 300, proc=tmp_path)
    (tmp_path / "30" / "stat").write_text("30 (sh) Z 20" + " 0" * 17 + " 300 0\n", encoding="ascii")
    assert not is_alive(30, 300, proc=tmp_path)


@contextmanager
def connected(folder: Path) -> Iterator[tuple[socket.socket, int]]:
    """The accepted side of a connection, and the process that made it and lives until it is killed."""
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(folder / "s"))
        listening.listen()
        pid = os.fork()
        if pid == 0:
            socket.socket(socket.AF_UNIX).connect(str(folder / "s"))
            signal.pause()
        connection, _ = listening.accept()
        with closing(connection):
            try:
                yield connection, pid
            finally:
                end(pid)


def end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ChildProcessError, ProcessLookupError):
        pass  # the test has ended it


def test_number_reused_before_accept_is_refused(tmp_path: Path) -> None:
    words = [*APART, sys.executable, "-c", REUSE, str(tmp_path / "s")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True unproven\n", "")


def test_process_that_ended_before_it_is_held_is_refused(tmp_path: Path) -> None:
    with connected(tmp_path) as (connection, pid):
        end(pid)
        tell(tmp_path, pid, 1, 300)  # as if another process had the number by now
        with pytest.raises(UnprovenError):
            read_peer(connection, hold_peer(connection), proc=tmp_path)


def test_process_that_ends_during_the_walk_is_refused(tmp_path: Path) -> None:
    with connected(tmp_path) as (connection, pid):
        (tmp_path / str(pid)).mkdir()
        stat = tmp_path / str(pid) / "stat"
        os.mkfifo(stat)

        def end_and_tell() -> None:
            with stat.open("w", encoding="ascii") as file:  # waits for who reads it
                end(pid)
                file.write(f"{pid} (sh) S 1 {'0 ' * 17}300 0 0\n")

        held = hold_peer(connection)
        teller = threading.Thread(target=end_and_tell)
        teller.start()
        try:
            with pytest.raises(UnprovenError):
                read_peer(connection, held, proc=tmp_path)
        finally:
            teller.join()
            os.close(held)


def test_living_process_is_read_with_its_ancestry(tmp_path: Path) -> None:
    with connected(tmp_path) as (connection, pid):
        held = hold_peer(connection)
        peer = read_peer(connection, held)
        os.close(held)
        assert (peer.proof.uid, peer.proof.pid, peer.ancestry) == (os.geteuid(), pid, ancestry_of(pid))
