from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.peers.hosting import Host, hosting
from tests.surfaces.cli.installation import Ended, Installation
from tests.wiring.broking import declared_host

OVER_SSH = 'ssh -F "$SSH_CONFIG" build-host'


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with hosting() as one:
        yield one


@pytest.fixture(scope="module")
def place(host: Host) -> Iterator[Installation]:
    """An installation whose agent may have credentials of the host."""
    one, declared = Installation(), declared_host(host)
    try:
        one.prepare()
        for name, value in (("host", declared.file), ("scope", declared.scope)):
            (one.project / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
        process = one.spawn("target", "add", "host.json", "--admin-stdin")
        out, err = process.communicate(declared.access.text, timeout=50)
        assert process.returncode == 0, (out, err)
        limited = one("agent", "ceiling", "helper", "scope.json", "--yes")
        assert limited.status == 0, limited
        yield one
    finally:
        one.end()


def task_of(place: Installation) -> str:
    return place.start_task(scope=str(place.project / "scope.json"))


def rows(place: Installation, task: str) -> list[dict[str, Any]]:
    """The credentials of a task."""
    found: list[dict[str, Any]] = place("credential", "list", "--task", task, "--json").document["rows"]
    return found


def test_a_command_reaches_the_host_and_leaves_nothing_there(place: Installation, host: Host) -> None:
    task = task_of(place)
    words = ("--", "/bin/sh", "-c", f"{OVER_SSH} echo in && ssh-add -l")
    done = place.ended("exec", "--task", task, "--credential", "build-host", *words)
    said, listed = done.out.splitlines()
    assert (done.status, said, done.err) == (0, "in", "")
    assert "build-host (ED25519-CERT)" in listed
    (row,) = rows(place, task)
    assert row["state"] == "revoked"
    assert host.sshd.ask("look", name=row["name"]) == {"ok": {"exists": False, "open": 0}}
    assert host.sshd.ask("sweep", prefix="tb_") == {"ok": {"names": []}}


def test_i04_the_end_of_its_task_ends_the_command_and_its_session_on_the_host(
    place: Installation, host: Host
) -> None:
    task = task_of(place)
    words = ("--", "/bin/sh", "-c", f"{OVER_SSH} 'echo begun; sleep 600'")
    process = place.spawn("exec", "--task", task, "--credential", "build-host", *words)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    (row,) = rows(place, task)
    assert host.sshd.ask("look", name=row["name"]) == {"ok": {"exists": True, "open": 1}}
    ended: Ended = place("task", "end", task, "--yes")
    assert ended.status == 0, ended
    _, err = process.communicate(timeout=50)
    # `exec` ends the command (143), or `ssh` sees the host close its session first (255).
    assert process.returncode in (143, 255), err
    assert "the command is ended: the task is" in err
    (row,) = rows(place, task)
    assert row["state"] == "revoked"
    assert host.sshd.ask("look", name=row["name"]) == {"ok": {"exists": False, "open": 0}}
