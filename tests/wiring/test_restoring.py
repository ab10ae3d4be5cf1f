"""Copies of a store that is written to, and what counts after one was put back (I-15, F45)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from taskbound.core.audit import (
    EMPTY_FRONTIER,
    RootMismatchError,
    SignatureMissingError,
    TamperedError,
    grow,
    leaf_hash,
)
from taskbound.core.errors import TaskboundError
from taskbound.core.task import TaskState
from taskbound.ports.store import NewerDatabaseError, StoreBehindError
from taskbound.surfaces.cli.app import run
from taskbound.wire.action import Decide, Permitted
from taskbound.wire.connection import Done
from taskbound.wire.task import EndTask, ShowTask, TaskDetail
from taskbound.wire.token import Stop
from taskbound.wiring.cli import make_plugs
from taskbound.wiring.copies import CopyBrokenError, digest_of, manifest_of, read_manifest
from taskbound.wiring.home import find_socket, make_home
from taskbound.wiring.restoring import UnknownLogKeyError, restore_sqlite
from taskbound.wiring.seen import RestoreUnfinishedError, open_believed, require_no_restore
from taskbound.wiring.store import DATABASE
from tests.wiring.running import (
    AGENT,
    client,
    covered,
    daemon,
    decide,
    placed,
    settle_in,
    start_task,
    status,
    until,
)

CALL = msgspec.Raw(b'{"text":"a"}')

# Puts a copy back in a home of its own for each step there is, and is killed there after as many; says how
# many there were. A process that only forks, so that everything is loaded once.
KILLED = """
import os, shutil, signal, sys
from pathlib import Path
import taskbound.adapters.store.sql
from taskbound.wiring.restoring import restore_sqlite

home, copy, folder = map(Path, sys.argv[1:4])
first, last = map(int, sys.argv[4:])

def put_back(there, left):
    def at(point):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    restore_sqlite(there, there / "taskbound.db", copy, at=at)

for number in range(first, last + 1):
    there = folder / f"home-{number}"
    shutil.copytree(home, there, ignore=shutil.ignore_patterns("run"))
    child = os.fork()
    if child == 0:
        put_back(there, number)
        os._exit(0)
    if os.waitpid(child, 0)[1] != signal.SIGKILL:
        print(number)
        break
"""
# Makes a copy, and is killed while it does.
KILLED_COPYING = """
import os, signal, sys
from pathlib import Path
from taskbound.wiring.copies import back_up_sqlite

back_up_sqlite(Path(sys.argv[1]), Path(sys.argv[2]), 1, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    make_home(path)
    return path


def typed(home: Path, *words: str) -> int:
    return run((*words, "--home", str(home)), make_plugs(os.environ))


def written(home: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The document of a command that is done."""
    capsys.readouterr()
    assert typed(home, *words, "--json") == 0, capsys.readouterr().err
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def lived(home: Path, copy: Path) -> str:
    """A signed log with a running task, of which this copy was made; the task."""
    socket = find_socket(home)
    with daemon(home):
        task = settle_in(socket, home)
        decide(socket)
        until(lambda: covered(socket), "the log is signed")
        assert typed(home, "db", "backup", str(copy)) == 0
    return task


def later(home: Path) -> None:
    """What happens after the copy, signed."""
    with daemon(home):
        with client(find_socket(home)) as one:
            start_task(one)
        until(lambda: covered(find_socket(home)), "the newer log is signed")


def state_of(socket: Path, task: str) -> str:
    with client(socket) as one:
        return one.ask(ShowTask(task=task), TaskDetail).row.state


def test_a_copy_is_made_while_eight_gateways_ask_and_holds_all_up_to_one_place(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    socket = find_socket(home)
    permitted: list[int] = []
    ending = threading.Event()

    def ask() -> None:
        with client(socket, "gateway", AGENT) as one:
            number = 0
            while not ending.is_set():
                number += 1
                one.ask(Decide(tool="echo__say", arguments=CALL, request=str(number)), Permitted)
                permitted.append(number)

    with daemon(home):
        settle_in(socket, home)
        until(lambda: covered(socket), "the log is signed")
        askers = [threading.Thread(target=ask) for _ in range(8)]
        for one in askers:
            one.start()
        until(lambda: len(permitted) > 200, "they ask")
        found = []
        for number in range(3):
            before = len(permitted)
            found.append(written(home, capsys, "db", "backup", str(tmp_path / f"{number}.db")))
            until(lambda: len(permitted) > before, "they are answered meanwhile and after")  # noqa: B023 - asked at once
        ending.set()
        for one in askers:
            one.join()
        until(lambda: placed(socket), "every record has its place")
        last = status(socket).records
    sizes = [one["records"] for one in found]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] < last
    for number, made in enumerate(found):
        copy = tmp_path / f"{number}.db"
        assert (copy.stat().st_mode & 0o777, manifest_of(copy).stat().st_mode & 0o777) == (0o600, 0o600)
        assert made["sha256"] == digest_of(copy)[1]
        lying = {each.name for each in tmp_path.glob(f"{number}.db*")}
        assert lying == {copy.name, manifest_of(copy).name}
        with closing(sqlite3.connect(copy)) as inside:
            assert inside.execute("SELECT count(*) FROM records").fetchone() == (made["records"],)
            decided = inside.execute("SELECT count(*) FROM actions").fetchone()[0]
            told = 'SELECT count(*) FROM records WHERE instr(body, \'"kind":"action-decided"\')'
            assert inside.execute(told).fetchone() == (decided,)


def test_no_copy_is_written_over_a_file_and_none_that_was_killed_has_the_name(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copies" / "one.db"
    copy.parent.mkdir()
    with daemon(home):
        settle_in(find_socket(home), home)
        until(lambda: placed(find_socket(home)), "there are records")
        words = [sys.executable, "-c", KILLED_COPYING, str(home / DATABASE), str(copy)]
        assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
        assert [one.name for one in copy.parent.iterdir()] == [".one.db.part"]
        assert typed(home, "db", "backup", str(copy)) == 0
        assert sorted(one.name for one in copy.parent.iterdir()) == ["one.db", "one.db.manifest.json"]
        before = copy.read_bytes()
        assert typed(home, "db", "backup", str(copy)) == 2
        assert "[copy-exists]" in capsys.readouterr().err
        assert copy.read_bytes() == before


def test_i15_f45_after_a_copy_was_put_back_all_of_before_is_over_and_a_person_goes_on(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, log, socket = tmp_path / "one.db", tmp_path / "log.jsonl", find_socket(home)
    task = lived(home, copy)
    with daemon(home):
        assert typed(home, "db", "restore", str(copy), "--yes") == 4
        assert "[home-in-use]" in capsys.readouterr().err
        with client(socket) as one:
            one.ask(EndTask(task=task, how="cancelled", reason="enough"), Done)
            other = start_task(one)
        until(lambda: covered(socket), "the newer log is signed")
        assert typed(home, "audit", "export", "-o", str(log)) == 0
    newer, named = (home / DATABASE).read_bytes(), (home / "log-origin").read_text()
    done = written(home, capsys, "db", "restore", str(copy), "--later", str(log), "--yes")
    assert (done["stopped"], done["tasks"], done["finished"]) == (["default"], 1, False)
    between = [(one["kind"], one["of"].split()[0]) for one in done["later"]]
    assert ("task-changed", task) in between
    assert ("task-started", other) in between
    assert Path(done["aside"], DATABASE).read_bytes() == newer
    assert (home / "log-origin").read_text().strip() == done["origin"] != named.strip()
    with daemon(home):
        assert status(socket).stopped
        assert state_of(socket, task) == "revoked"
        with client(socket) as one:
            with pytest.raises(TaskboundError, match="stopped"):
                start_task(one)
            one.ask(Stop(stopped=False, reason=""), Done)
            fresh = start_task(one)
        assert decide(socket, request="3").task == fresh
        until(lambda: covered(socket), "the log is signed under its new name")
    assert typed(home, "db", "reconcile", "--yes") == 3
    assert "[not-behind]" in capsys.readouterr().err


def test_a_killed_restore_leaves_one_of_the_two_whole_and_is_finished_by_the_next(
    home: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "one.db"
    lived(home, copy)
    later(home)
    newer = digest_of(home / DATABASE)
    whole = killed(home, copy, tmp_path, 1, 99)
    survived = 0
    for number in range(1, whole):
        there = tmp_path / f"home-{number}"
        with suppress(RestoreUnfinishedError):
            require_no_restore(there / DATABASE)
            assert digest_of(there / DATABASE) == newer  # nothing was begun that anybody sees
            survived += 1
        done = restore_sqlite(there, there / DATABASE, copy)
        require_no_restore(there / DATABASE)
        assert digest_of(Path(done.aside, DATABASE)) == newer
        store, seen = open_believed(there, there / DATABASE, "", failed=lambda: None)
        with store.read() as snapshot:
            assert snapshot.revocation.kill_switch("default").stopped
            states = {one.state for one in snapshot.tasks.tasks("default")}
        store.close()
        assert states == {TaskState.REVOKED}
        assert seen.newest is not None
        assert seen.newest.origin == (there / "log-origin").read_text().strip()
        assert not list(there.glob("taskbound.db-rest*"))
    assert survived == 3  # until it was written down
    assert whole > 12


def killed(home: Path, copy: Path, folder: Path, first: int, last: int) -> int:
    """Restores that were killed after so many steps, each in a home of its own; how many steps there are."""
    words = [sys.executable, "-c", KILLED, str(home), str(copy), str(folder), str(first), str(last)]
    said = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    return int(said or 0)


def test_while_a_restore_is_not_over_no_daemon_starts_and_it_says_how_to_go_on(
    home: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "one.db"
    lived(home, copy)
    for steps in (4, 6):  # nothing is moved yet; the database is aside
        killed(home, copy, tmp_path, steps, steps)
        there = tmp_path / f"home-{steps}"
        refused = daemon(there)
        assert refused.wait() == 4
        assert "[restore-unfinished]" in refused.words
        assert "taskbound db restore" in refused.words
        assert typed(there, "db", "restore", str(copy), "--yes") == 0
        with daemon(there):
            assert status(find_socket(there)).stopped


def changed(copy: Path, to: Path, *statements: str, **told: object) -> Path:
    """A copy in which somebody changed something, with a manifest that says that this is as it was made."""
    shutil.copy(copy, to)
    with closing(sqlite3.connect(to)) as inside, inside:
        for one in statements:
            inside.execute(one)
    size, digest = digest_of(to)
    manifest = msgspec.structs.replace(read_manifest(copy), bytes=size, sha256=digest, **told)
    manifest_of(to).write_bytes(msgspec.json.encode(manifest))
    return to


def rewritten(copy: Path, to: Path, record: str) -> Path:
    """A copy in which a record was changed, with the tree and the manifest that go with that."""
    changed(copy, to, record)
    with closing(sqlite3.connect(to)) as inside, inside:
        told = "SELECT r.body FROM places p JOIN records r ON r.number = p.number ORDER BY p.place"
        growth = grow(EMPTY_FRONTIER, [leaf_hash(body) for (body,) in inside.execute(told)])
        for one in growth.tiles:
            values = (one.hashes, one.level, one.index)
            inside.execute("UPDATE tiles SET hashes = ? WHERE level = ? AND position = ?", values)
    size, digest = digest_of(to)
    root = growth.frontier.root.hex()
    manifest = msgspec.structs.replace(read_manifest(copy), bytes=size, sha256=digest, root=root)
    manifest_of(to).write_bytes(msgspec.json.encode(manifest))
    return to


def test_what_is_not_a_whole_copy_of_this_log_is_not_put_back(home: Path, tmp_path: Path) -> None:
    copy = tmp_path / "one.db"
    lived(home, copy)
    before = digest_of(home / DATABASE)
    cut = changed(copy, tmp_path / "cut.db")
    cut.write_bytes(copy.read_bytes()[:-4096])
    flipped = changed(copy, tmp_path / "flipped.db")
    data = bytearray(copy.read_bytes())
    data[len(data) // 2] ^= 1
    flipped.write_bytes(data)
    bare = tmp_path / "bare.db"
    shutil.copy(copy, bare)
    other = "CAST(replace(CAST(body AS TEXT), 'echo__say', 'echo__pay') AS BLOB)"
    record = f"UPDATE records SET body = {other} WHERE instr(CAST(body AS TEXT), 'echo__say')"  # noqa: S608 - our own words
    gone = "DELETE FROM checkpoints"
    kinds: list[tuple[Path, type[TaskboundError]]] = [
        (cut, CopyBrokenError),
        (flipped, CopyBrokenError),
        (bare, CopyBrokenError),
        (changed(copy, tmp_path / "a.db", record), RootMismatchError),
        (rewritten(copy, tmp_path / "r.db", record), RootMismatchError),
        (changed(copy, tmp_path / "b.db", gone), TamperedError),
        (changed(copy, tmp_path / "c.db", size=1), CopyBrokenError),
        (
            changed(copy, tmp_path / "d.db", "UPDATE schema_revision SET revision = 9999"),
            NewerDatabaseError,
        ),
        (changed(copy, tmp_path / "e.db", engine="postgresql"), CopyBrokenError),
    ]
    for one, kind in kinds:
        with pytest.raises(kind):
            restore_sqlite(home, home / DATABASE, one)
        require_no_restore(home / DATABASE)
        assert digest_of(home / DATABASE) == before
    store, _ = open_believed(home, home / DATABASE, "", failed=lambda: None)
    store.close()


def test_a_copy_of_another_log_is_put_back_with_that_log_s_key_alone(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, other = tmp_path / "one.db", tmp_path / "other"
    lived(home, copy)
    make_home(other)
    with pytest.raises(UnknownLogKeyError):
        restore_sqlite(other, other / DATABASE, copy)
    with daemon(other):
        until(lambda: covered(find_socket(other)), "it has a log of its own")
    with pytest.raises(SignatureMissingError):
        restore_sqlite(other, other / DATABASE, copy)
    with daemon(home):
        until(lambda: covered(find_socket(home)), "its signer is there")
        assert typed(home, "audit", "export", "-o", str(tmp_path / "log.jsonl")) == 0
        key = capsys.readouterr().out.splitlines()[-1]
    shutil.rmtree(other)
    done = written(other, capsys, "db", "restore", str(copy), "--key", key, "--yes")
    assert (done["aside"], done["origin"], done["tasks"]) == ("", "", 1)
    one = daemon(other)
    with one:
        until(lambda: "key-missing" in status(find_socket(other)).signer, "there is no key for the log yet")
    shutil.rmtree(other)
    make_home(other)
    shutil.copytree(home / "signer", other / "signer")
    done = written(other, capsys, "db", "restore", str(copy), "--yes")
    assert done["tasks"] == 1
    with daemon(other):
        until(lambda: covered(find_socket(other)), "the log goes on there, by the key that was kept")
        assert status(find_socket(other)).stopped


def test_a_database_that_somebody_put_there_by_hand_is_gone_on_with_once_a_person_says_so(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older, socket = tmp_path / "older", find_socket(home)
    with daemon(home):
        task = settle_in(socket, home)
        until(lambda: covered(socket), "the older log is signed")
    older.mkdir()
    for one in home.glob("taskbound.db*"):
        shutil.copy2(one, older)
    later(home)
    for one in older.iterdir():
        shutil.copy2(one, home)
    with pytest.raises(StoreBehindError):
        open_believed(home, home / DATABASE, "", failed=lambda: None)
    done = written(home, capsys, "db", "reconcile", "--yes")
    assert (done["tasks"], done["stopped"], done["finished"]) == (1, ["default"], False)
    assert done["seen"] > done["held"] > 0
    with daemon(home):
        assert status(socket).stopped
        assert state_of(socket, task) == "revoked"
        until(lambda: covered(socket), "the log is signed under another name")
