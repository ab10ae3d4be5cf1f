from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from taskbound.surfaces.cli.clients.undo import Change, apply, kept, plan
from taskbound.wire.audit import ExportAudit, ExportPage, TailAudit
from tests.surfaces.cli.installation import PROGRAM, Installation

CLIENT = str(Path(__file__).with_name("client.py"))
READ = ("fs__read", {"path": "/etc/hosts", "text": "x"})
DROP: tuple[str, dict[str, Any]] = ("fs__drop", {})


def words(place: Installation, *command: str) -> tuple[str, ...]:
    return ("run", "--agent", "helper", "--scope", place.scope(), "--", *command)


def asking(*calls: tuple[str, dict[str, Any]]) -> tuple[str, ...]:
    return (sys.executable, CLIENT, json.dumps(calls), "--", *PROGRAM, "gateway", "--agent", "helper")


def newest(place: Installation) -> dict[str, Any]:
    rows: list[dict[str, Any]] = place("task", "list", "--limit", "1", "--json").document["rows"]
    return rows[0]


@pytest.mark.parametrize(
    ("script", "status", "state"),
    [("exit 0", 0, "completed"), ("exit 3", 3, "failed"), ("kill -9 $$", 137, "failed")],
)
def test_the_task_ends_as_its_command_does(place: Installation, script: str, status: int, state: str) -> None:
    ended = place.ended(*words(place, "/bin/sh", "-c", script))
    assert ended.status == status
    task = newest(place)
    assert task["state"] == state
    assert task["purpose"] == f"run /bin/sh -c {script}"


def test_the_command_is_told_the_name_of_its_task(place: Installation) -> None:
    ended = place.ended(*words(place, "/bin/sh", "-c", 'echo "$TASKBOUND_TASK"'))
    assert (ended.status, ended.out.strip()) == (0, newest(place)["task"])


def test_a_secret_of_the_command_is_not_kept_as_the_purpose(place: Installation) -> None:
    assert (
        place.ended(*words(place, "/bin/sh", "-c", "exit 0", "sh", "--api-key", "hunter2-hunter2")).status
        == 0
    )
    assert newest(place)["purpose"] == "run /bin/sh -c exit 0 sh --api-key (not shown)"


def test_input_and_output_are_the_commands_own_with_json_too(place: Installation) -> None:
    process = place.spawn("run", "--json", "--agent", "helper", "--scope", place.scope(), "--", "cat")
    out, err = process.communicate('{"a": 1}\n', timeout=50)
    assert out == '{"a": 1}\n'
    report = json.loads(err)
    assert (report["is"], report["status"], report["how"], report["ended"]) == ("ran", 0, "completed", True)
    assert report["task"] == newest(place)["task"]


def test_what_stands_after_the_command_is_the_commands(place: Installation) -> None:
    ended = place.ended("run", "--agent", "helper", "--scope", place.scope(), "echo", "--json", "--home", "x")
    assert ended.out == "--json --home x\n"


def test_no_task_is_started_for_a_command_that_is_not_there(place: Installation) -> None:
    before = newest(place)["task"]
    ended = place.ended(*words(place, "no-such-command"))
    assert (ended.status, "[command-missing]" in ended.err) == (2, True)
    assert newest(place)["task"] == before


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_is_passed_on_and_cancels_the_task(place: Installation, number: int) -> None:
    script = f"import signal; print('up', flush=True); signal.sigwait([{int(number)}]); print('got it')"
    mask = f"import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [{int(number)}]); {script}"
    process = place.spawn(*words(place, sys.executable, "-c", mask))
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=50)
    assert (out, process.returncode) == ("got it\n", 0)
    assert newest(place)["state"] == "cancelled"


def test_a_gateway_beneath_belongs_to_the_runs_task_even_when_others_run(place: Installation) -> None:
    other = place.start_task("another")
    ended = place.ended(*words(place, *asking(READ, DROP)))
    assert ended.status == 0, ended
    listed, read, drop = map(json.loads, ended.out.splitlines())
    assert [one["name"] for one in listed["tools"]] == ["fs__read"]
    assert read["content"][0]["text"] == "x"
    assert drop["isError"] is True
    rows = place("action", "list", "--limit", "2", "--json").document["rows"]
    assert {one["task"] for one in rows} == {newest(place)["task"]} != {other}
    place("task", "end", other, "--yes")


def test_a_gateway_whose_parents_are_gone_still_belongs_to_the_run(place: Installation) -> None:
    other = place.start_task("another")
    out = place.root / "detached"
    script = asking(READ)
    detached = [*script[:2], "--detach", str(out), *script[2:]]
    waiting = f"while ! test -e {out}; do sleep 0.05; done; cat {out}"
    command = ("/bin/sh", "-c", f'"$@"; {waiting}', "sh", *detached)
    ended = place.ended(*words(place, *command))
    assert json.loads(ended.out.splitlines()[1])["content"][0]["text"] == "x"
    row = place("action", "list", "--limit", "1", "--json").document["rows"][0]
    assert row["task"] == newest(place)["task"] != other
    place("task", "end", other, "--yes")


def test_a_persons_act_is_refused_from_beneath_a_run(place: Installation) -> None:
    script = " ; ".join(f'"$@" {act}' for act in ("stop", "stop --lift --yes", "person add x"))
    ended = place.ended(*words(place, "/bin/sh", "-c", script, "sh", *PROGRAM))
    assert ended.err.count("[not-outside]") == 3
    assert place.status().stopped is False


TYPED = """
import os, sys
from taskbound.surfaces.cli.app import run
from taskbound.wiring.cli import make_plugs
for act in sys.argv[1:]:
    run(act.split(), make_plugs(os.environ))
"""  # one process for all of them: each start of the program takes seconds on a busy machine


def test_command_line_s_own_act_is_refused_and_recorded_from_beneath_a_run(place: Installation) -> None:
    config = place.root / "config.json"
    config.write_text('{"mcpServers": {"a": {"command": "x"}}}', encoding="utf-8")
    change = Change(keys=("mcpServers",), remove=("a",), name="taskbound", entry={"command": "t"})
    apply(place.home, [plan(config, [change])])
    gated, daemon = config.read_bytes(), place.status().pid
    acts = {
        "init --undo --yes": "init:undo",
        "init --forget --yes": "init:forget",
        "init --yes --monitor file:/nowhere": "init:begin",
        "serve": "daemon:start",
        "serve --end": "daemon:end",
        f"db backup {place.root}/copy": "db:backup",
        f"db restore {place.root}/copy --yes": "db:restore",
        "db reconcile --yes": "db:reconcile",
        "db upgrade --store postgresql:///nowhere": "db:upgrade",
    }
    recorded = list(acts.values())
    ended = place.ended(*words(place, sys.executable, "-P", "-c", TYPED, *acts))
    assert ended.err.count("[not-outside]") == len(acts), ended
    assert (config.read_bytes(), kept(place.home), place.status().pid) == (gated, (str(config),), daemon)
    refused: list[str] = []
    seen = 0
    with place.client() as client:
        while len(refused) < len(acts):
            page = client.ask(TailAudit(after=seen, limit=500, wait=30), ExportPage, patience=40)
            assert page.records, "a refusal was not recorded"
            seen = page.start + len(page.records) - 1
            events = [json.loads(record)["event"] for record in page.records]
            refused += [one["operation"] for one in events if one.get("operation") in recorded]
    assert refused == recorded


DEEP = """
import os, sys
for _ in range(int(sys.argv[1])):
    child = os.fork()
    if child:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_a_long_line_of_processes_does_not_hide_the_run_above_it(place: Installation) -> None:
    command = (sys.executable, "-c", DEEP, "70", *PROGRAM, "person", "add", "x")
    ended = place.ended(*words(place, *command))
    assert "[not-outside]" in ended.err, ended


def test_a_process_beneath_a_run_is_a_person_in_no_other_namespace_either(place: Installation) -> None:
    command = (*PROGRAM, "person", "add", "x", "--namespace", "other")
    ended = place.ended(*words(place, *command))
    assert "[not-outside]" in ended.err, ended


def test_a_process_beneath_a_run_does_not_become_a_person_when_its_task_ends(place: Installation) -> None:
    script = 'echo up; read line; "$@" person add x'
    process = place.spawn(*words(place, "/bin/sh", "-c", script, "sh", *PROGRAM))
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first == "up\n", process.communicate()
    assert place("task", "end", newest(place)["task"], "--how", "revoked", "--yes").status == 0
    _, err = process.communicate("\n", timeout=50)
    assert "[not-outside]" in err


LEAVER = """
import os, signal, sys
hear, say = os.pipe()
if os.fork():
    os.read(hear, 1)
    os.read(0, 1) if sys.argv[1] == "stays" else None
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
while os.getppid() == os.getpgid(0):
    os.sched_yield()
os.write(1, f"{os.getpid()} {os.getppid()}\\n".encode())
os.close(1)
os.write(say, b"!")
waiting = os.open(sys.argv[2], os.O_RDONLY)
os.read(waiting, 1)
os.execv(sys.argv[3], sys.argv[3:])
"""


def leaver(
    place: Installation, tmp_path: Path, how: str, *act: str
) -> tuple[subprocess.Popen[str], int, int]:
    """A run, its keeper, and a process two forks and a session away from the command of the run.

    That process does `act` once somebody writes to `go`, unless it was ended before.
    """
    os.mkfifo(tmp_path / "go")
    command = (sys.executable, "-c", LEAVER, how, str(tmp_path / "go"), *(act or ("/bin/true",)))
    run = place.spawn(*words(place, *command))
    assert run.stdout is not None
    far, keeper = map(int, run.stdout.readline().split())
    return run, keeper, os.pidfd_open(far)


def ended(process: int) -> bool:
    """Whether the process of this descriptor ends in time."""
    try:
        return bool(select.select([process], [], [], 30)[0])
    finally:
        os.close(process)


def test_what_a_command_leaves_behind_is_ended_before_the_run_is(place: Installation, tmp_path: Path) -> None:
    run, _, far = leaver(place, tmp_path, "leaves")
    run.communicate(timeout=50)
    assert run.returncode == 0
    assert select.select([far], [], [], 0)[0], "the run ended first"
    os.close(far)
    assert newest(place)["state"] == "completed"


PATIENT = """
import pathlib, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
up, out = map(pathlib.Path, sys.argv[1:])
up.write_text("up", encoding="ascii")
signal.sigwait([signal.SIGTERM])
out.write_text("asked", encoding="ascii")
"""


def test_what_a_command_leaves_behind_is_asked_to_end_before_it_is_killed(
    place: Installation, tmp_path: Path
) -> None:
    up, out = tmp_path / "up", tmp_path / "out"
    os.mkfifo(up)
    script = f'"$@" & read line < {up}; exit 0'
    command = ("/bin/sh", "-c", script, "sh", sys.executable, "-c", PATIENT, str(up), str(out))
    assert place.ended(*words(place, *command)).status == 0
    assert out.read_text(encoding="ascii") == "asked"


def test_a_run_that_is_killed_takes_everything_beneath_it_along(place: Installation, tmp_path: Path) -> None:
    run, keeper, far = leaver(place, tmp_path, "stays")
    keeping = os.pidfd_open(keeper)
    run.kill()
    assert ended(far)
    assert ended(keeping)
    run.communicate(timeout=50)


def test_a_keeper_that_is_killed_takes_everything_along_and_the_task_has_failed(
    place: Installation, tmp_path: Path
) -> None:
    run, keeper, far = leaver(place, tmp_path, "stays")
    assert keeper != run.pid
    os.kill(keeper, signal.SIGKILL)
    run.communicate(timeout=50)
    assert run.returncode == 137
    assert select.select([far], [], [], 0)[0], "the run ended first"
    os.close(far)
    assert newest(place)["state"] == "failed"


def test_whoever_was_seen_beneath_a_run_is_no_person_when_run_and_keeper_are_killed(
    place: Installation, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    script = f'"$@" > {out} 2>&1; echo done >> {out}'
    act = ("/bin/sh", "-c", script, "sh", *PROGRAM, "person", "add", "x")
    run, keeper, far = leaver(place, tmp_path, "stays", *act)
    assert place.ended(*words(place, "true")).status == 0  # its start is an occasion to look around
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for one in (keeper, run.pid):
            os.kill(one, number)
    run.wait(50)
    with (tmp_path / "go").open("w", encoding="ascii") as go:
        go.write("x")
    assert ended(far)
    run.communicate(timeout=50)
    assert "[not-outside]" in out.read_text(encoding="utf-8")


def test_the_task_is_ended_although_the_daemon_died_meanwhile(place: Installation) -> None:
    process = place.spawn(*words(place, "/bin/sh", "-c", "echo up; read line; exit 0"))
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    task = newest(place)["task"]
    daemon = os.pidfd_open(place.status().pid)
    signal.pidfd_send_signal(daemon, signal.SIGKILL)
    select.select([daemon], [], [], 30)
    os.close(daemon)
    _, err = process.communicate("\n", timeout=50)
    assert process.returncode == 0, err
    assert place("task", "show", task, "--json").document["row"]["state"] == "completed"


def test_a_command_goes_on_when_its_task_is_revoked(place: Installation) -> None:
    process = place.spawn(*words(place, "/bin/sh", "-c", "echo up; read line; exit 4"))
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first == "up\n", process.communicate()
    task = newest(place)["task"]
    assert place("task", "end", task, "--how", "revoked", "--yes").status == 0
    _, err = process.communicate("\n", timeout=50)
    assert process.returncode == 4
    assert "not-outside" not in err
    assert place("task", "show", task, "--json").document["row"]["state"] == "revoked"


def test_the_task_of_a_run_that_was_killed_ends_without_it(place: Installation) -> None:
    process = place.spawn(*words(place, "/bin/sh", "-c", "echo up; read line"))
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    task = newest(place)["task"]
    process.kill()
    process.communicate("\n", timeout=50)
    with place.client() as client:
        seen = client.ask(ExportAudit(start=0, limit=1), ExportPage).size - 1
        changes: list[dict[str, Any]] = []
        while not changes:
            page = client.ask(TailAudit(after=seen, limit=500, wait=30), ExportPage, patience=40)
            assert page.records, "the task of the killed run was not ended"
            seen = page.start + len(page.records) - 1
            events = [json.loads(record)["event"] for record in page.records]
            changes = [one for one in events if one["kind"] == "task-changed" and one["task"] == task]
    assert (changes[0]["after"], changes[0]["by"]) == ("cancelled", "daemon")
