from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from taskbound.surfaces.cli.session import Session
from taskbound.surfaces.cli.target.credential import _table
from taskbound.wire.target import CredentialRows, ListCredentials
from taskbound.wiring.cli import make_plugs
from tests.surfaces.cli.installation import Typing
from tests.surfaces.cli.minted import ACCESS, WORD, Setting, holding, setting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import Popen

COUNTING = str(Path(__file__).parents[2] / "peers" / "counting.py")
SLEEP = ("psql", "-Atc", "select 'up'", "-c", "select pg_sleep(60)")
SHOW = ("/bin/sh", "-c", 'printf %s "$PGPASSWORD"')


@pytest.fixture(scope="module")
def here() -> Iterator[Setting]:
    with setting() as one:
        one.ready()
        yield one


def up(process: Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"


def ended(process: Popen[str]) -> tuple[int, str]:
    _, err = process.communicate(timeout=50)
    return process.returncode, err


def states(here: Setting, task: str) -> list[tuple[Any, Any]]:
    return [(one["state"], one["acknowledged"]) for one in here.rows(task)]


def test_a_command_and_its_session_end_with_the_task(here: Setting) -> None:
    task = here.start()
    process = here.exec(task, *SLEEP)
    up(process)
    assert len(here.logins()) == 1
    assert here.place("task", "end", task, "--yes").status == 0
    status, err = ended(process)
    assert (status != 0, "taskbound: the command is ended: the task is" in err) == (True, True), err
    assert "is not gone yet" not in err
    assert (here.logins(), states(here, task)) == (set(), [("revoked", True)])


def test_of_two_tasks_of_an_agent_the_one_that_is_named_has_the_credential(here: Setting) -> None:
    first, second = here.start(), here.start()
    for task in (first, second):
        process = here.exec(task, "psql", "-Atc", "select count(*) from orders")
        out, err = process.communicate(timeout=50)
        assert (process.returncode, out, err) == (0, "3\n", "")
        assert states(here, task) == [("revoked", True)]
        assert "orders-db/reader is revoked\n" in here.place("task", "show", task).out
    for task in (first, second):
        assert here.place("task", "end", task, "--yes").status == 0


def test_what_the_scope_does_not_cover_is_refused_and_nothing_runs(here: Setting) -> None:
    task = here.start()
    asked = ("exec", "--task", task, "--credential", "orders-db", "--seconds", "61")
    found = here.place.ended(*asked, "--", "/usr/bin/touch", str(here.place.root / "ran"))
    assert (found.status, "[credential-denied]" in found.err) == (3, True), found
    assert not (here.place.root / "ran").exists()
    assert here.rows(task) == []
    assert here.place("task", "end", task, "--yes").status == 0


def test_i11_neither_what_was_minted_nor_the_admin_access_stands_anywhere(here: Setting) -> None:
    task = here.start()
    process = here.exec(task, *SHOW)
    secret, err = process.communicate(timeout=50)
    assert (process.returncode, len(secret) > 20, err) == (0, True, "")
    name = str(here.rows(task)[0]["id"])
    said = [
        here.place(*words).out
        for words in (
            ("credential", "show", name),
            ("credential", "show", name, "--json"),
            ("credential", "list", "--json"),
            ("target", "show", "orders-db", "--json"),
            ("action", "list", "--json"),
            ("audit", "tail", "--json"),
            ("doctor", "--json"),
        )
    ]
    assert all(said)
    assert not [one for one in said if secret in one or WORD in one]
    export = here.place.root / "export"
    assert here.place("audit", "export", "--output", str(export)).status == 0
    assert not holding(here.place.home, secret, WORD)
    assert not holding(here.place.root, secret)
    assert not holding(here.server.folder, secret)
    assert here.place("task", "end", task, "--yes").status == 0


def test_the_doctor_says_whose_account_has_the_admin_access_and_who_revokes(here: Setting) -> None:
    found = {one["name"]: one for one in here.place("doctor", "--json").document["findings"]}
    assert (found["broker-account"]["level"], found["broker-account"]["about"]) == ("warn", "targets")
    assert "under your own account" in found["broker-account"]["text"]
    assert (found["broker-key"]["level"], found["broker-connected"]["level"]) == ("ok", "ok")


def test_one_that_is_asked_to_be_shown_is_shown_and_revoked_by_hand(here: Setting) -> None:
    task = here.start()
    asked = ("credential", "request", "orders-db", "--task", task, "--seconds", "60")
    refused = here.place.ended(*asked)
    assert (refused.status, "[not-shown]" in refused.err, here.rows(task)) == (3, True, []), refused
    found = json.loads(here.place.ended(*asked, "--show-secret", "--json").out)
    assert found["open"]["PGDATABASE"] == "orders"
    with here.server.connect("orders", role="owner") as owner:
        known = owner.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (found["open"]["PGUSER"],))
        assert known.fetchone() == (1,)
    lines = here.place.ended(*asked, "--show-secret").out.splitlines()
    assert {one.partition("=")[0] for one in lines} == {*found["open"], "PGPASSWORD"}
    revoked = here.place("credential", "revoke", "--task", task, "--why", "by hand", "--yes")
    assert (revoked.status, revoked.out.count("is being revoked")) == (0, 2), revoked
    assert here.place("credential", "sweep", "--target", "orders-db").status == 0
    until_gone(here)
    assert here.place("credential", "overdue").out == "nothing is overdue\n"
    assert here.place("task", "end", task, "--yes").status == 0


def test_a_command_that_was_cut_off_is_told_who_revoked_what_it_had(here: Setting) -> None:
    task = here.start()
    process = here.exec(task, *SLEEP)
    up(process)
    name = str(here.rows(task)[0]["id"])
    assert here.place("credential", "revoke", name, "--why", "it was in a log", "--yes").status == 0
    status, err = ended(process)
    said = f"taskbound: {name} had ended before the command did: alice revoked it: it was in a log\n"
    assert (status, err.count(said)) == (2, 1), err
    assert here.place("task", "end", task, "--yes").status == 0


def until_gone(here: Setting) -> None:
    """Wait until the database has nothing of ours; a look each time that a command was over."""
    end = time.monotonic() + 40
    while here.logins():
        if time.monotonic() > end:
            raise TimeoutError(here.logins())
        here.place("target", "list")


def test_a_program_has_one_for_the_length_of_a_context(here: Setting) -> None:
    task = here.start()
    done = subprocess.run(
        [sys.executable, COUNTING, task],
        env=here.place.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "3\n"), done
    until_gone(here)
    assert states(here, task) == [("revoked", True)]
    assert here.place("task", "end", task, "--yes").status == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_exec_that_is_killed_leaves_no_command_and_no_session(here: Setting) -> None:
    task = here.start()
    process = here.exec(task, *SLEEP)
    up(process)
    process.send_signal(signal.SIGKILL)
    ended(process)
    until_gone(here)
    assert states(here, task) == [("revoked", True)]
    assert here.place("task", "end", task, "--yes").status == 0


def test_a_target_whose_preflight_fails_says_why_gives_nothing_and_can_be_mended(here: Setting) -> None:
    text = (here.place.project / "orders-db.yaml").read_text(encoding="utf-8")
    name = here.write("other.yaml", text.replace("target: orders-db", "target: other"))
    wrong = json.dumps({"user": "minter", "password": "another-word"})
    found = here.piped(wrong, "target", "add", name, "--admin-stdin")
    assert (found.status, "[preflight-failed]" in found.err, "another-word" in found.err) == (3, True, False)
    assert "reader" in found.err
    row = here.place("target", "show", "other", "--json").document
    assert (row["is"], row["state"], bool(row["trouble"])) == ("target", "refused", True)
    task = here.start()
    asked = ("exec", "--task", task, "--credential", "other", "--seconds", "9")
    refused = here.place.ended(*asked, "--", "true")
    assert (refused.status, "credential-denied" in refused.err) == (3, True), refused
    word = here.piped(
        f"{WORD}\n", "target", "admin", name, "--admin-user", "minter", "--admin-stdin", "--yes"
    )
    assert (word.status, "target other is ready" in word.out) == (0, True), word
    tested = here.place("target", "test", "other", "--json")
    assert (tested.document["is"], tested.document["state"]) == ("target", "ready")
    assert here.place("task", "end", task, "--yes").status == 0


def test_a_target_whose_host_is_nowhere_is_not_declared(here: Setting) -> None:
    text = (here.place.project / "orders-db.yaml").read_text(encoding="utf-8")
    wrong = text.replace("target: orders-db", "target: nowhere").replace(str(here.server.folder), "/no/where")
    found = here.piped(ACCESS, "target", "add", here.write("nowhere.yaml", wrong), "--admin-stdin")
    assert (found.status, "[bad-input]" in found.err, "nothing was declared" in found.err) == (2, True, True)
    assert "nowhere" not in here.place("target", "list").out


def test_an_admin_access_that_is_typed_is_not_shown(here: Setting) -> None:
    text = (here.place.project / "orders-db.yaml").read_text(encoding="utf-8")
    name = here.write("typed.yaml", text.replace("target: orders-db", "target: typed"))
    terminal = Typing(here.place, "target", "add", name, "--admin-user", "minter")
    terminal.until("password of minter: ")
    terminal.answer(WORD)
    terminal.until("target typed is ready")
    assert terminal.end() == 0, terminal.seen
    assert WORD not in terminal.seen
    assert here.place("target", "remove", "typed", "--yes").status == 0


@pytest.mark.parametrize(
    ("piped", "more", "code"),
    [
        ("", (), "bad-input"),
        ("x", ("--admin-user", "minter"), "bad-input"),
        ("{}", ("--admin-stdin",), "bad-admin-access"),
        (
            '{"user": "minter", "user": "x", "password": "another-word"}',
            ("--admin-stdin",),
            "bad-admin-access",
        ),
        ("another-word\nmore", ("--admin-stdin", "--admin-user", "minter"), "bad-input"),
    ],
)
def test_an_admin_access_that_can_not_be_is_refused_and_not_repeated(
    here: Setting, piped: str, more: tuple[str, ...], code: str
) -> None:
    found = here.piped(piped, "target", "add", "orders-db.yaml", *more)
    assert (found.status, f"[{code}]" in found.err, "another-word" in found.err) == (2, True, False), found


def test_no_admin_access_is_given_for_another_target_than_the_file_describes(here: Setting) -> None:
    text = (here.place.project / "orders-db.yaml").read_text(encoding="utf-8")
    name = here.write("elsewhere.yaml", text.replace("database: orders", "database: others"))
    found = here.piped(ACCESS, "target", "admin", name, "--admin-stdin", "--yes")
    assert (found.status, "[other-target]" in found.err) == (3, True), found


def test_targets_are_listed_with_what_lives_there(here: Setting) -> None:
    rows = here.place("target", "list", "--json").document["rows"]
    row = next(one for one in rows if one["name"] == "orders-db")
    assert (row["name"], row["state"], row["owner"], row.get("living", 0)) == (
        "orders-db",
        "ready",
        "alice",
        0,
    )
    listed = here.place("target", "list").out
    assert "orders-db__credential/reader" in listed
    shown = here.place("target", "show", "orders-db").out
    assert "connected" in shown
    missing = here.place("target", "show", "nothing")
    assert missing.status != 0


@pytest.mark.parametrize(
    ("why", "trouble", "said"),
    [
        ("alice revoked it", "no server is there", "alice revoked it; no server is there"),
        ("not minted: no server is there", "no server is there", "not minted: no server is there"),
        ("", "no server is there", "no server is there"),
        ("it was a canary", "", "it was a canary"),
    ],
)
def test_why_it_ended_and_why_it_is_not_gone_are_two_things(
    here: Setting, why: str, trouble: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with here.place.client() as client:
        (row,) = client.ask(ListCredentials(limit=1), CredentialRows).rows
    session = Session(make_plugs(here.place.environ), home="", namespace="", json=False, yes=False)
    _table(session, CredentialRows(rows=(msgspec.structs.replace(row, why=why, trouble=trouble),)), "-")
    assert capsys.readouterr().out.splitlines()[1].endswith(f"  {said}")


def test_what_is_no_state_no_choice_and_no_target_is_refused(here: Setting) -> None:
    for words in (
        ("credential", "list", "--state", "lost"),
        ("credential", "revoke", "--yes"),
        ("credential", "revoke", "crd_1", "--task", "tsk_1", "--yes"),
    ):
        found = here.place(*words)
        assert (found.status, "[bad-input]" in found.err) == (2, True), found
