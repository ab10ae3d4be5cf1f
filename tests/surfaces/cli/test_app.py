from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest

from dev.commands import commands
from taskbound import __version__
from taskbound.core.audit import TamperedError
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError, UnavailableError, error_classes
from taskbound.ports.store import StoreBehindError
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.cli.app import run
from taskbound.surfaces.cli.errors import status_of
from taskbound.surfaces.cli.plugs import CommandPlace
from taskbound.wire.connection import Fault
from taskbound.wiring.cli import make_plugs, own_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Ended(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def taskbound(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ended]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    environ = {"HOME": str(tmp_path), "TASKBOUND_HOME": str(tmp_path / "none")}

    def call(*words: str, **more: str) -> Ended:
        status = run(words, make_plugs({**environ, **more}))
        said = capfd.readouterr()
        return Ended(status, said.out, said.err)

    return call


def test_the_version_is_printed_and_nothing_else(taskbound: Callable[..., Ended]) -> None:
    assert taskbound("--version") == Ended(0, f"{__version__}\n", "")


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_command_has_help_that_needs_no_installation(
    name: str, taskbound: Callable[..., Ended]
) -> None:
    ended = taskbound(*name.split()[1:], "--help")
    assert ended.status == 0
    assert "Usage: taskbound" in ended.out


ALONE = """
import json, os, sys
from dev.commands import commands
for words in json.load(sys.stdin):
    if not os.fork():
        for name, one in commands(*words):
            print(json.dumps([words, name, one.help, one.epilog, [[each.name, each.opts] for each in one.params]]))
        sys.stdout.flush()
        os._exit(0)
    os.wait()
"""  # noqa: E501  # of the script
"""Each from its own fork of a process that has loaded no command."""


def test_a_command_that_is_loaded_alone_is_what_it_is_beside_all_others() -> None:
    firsts = dict.fromkeys(name.split()[1] for name, _ in commands())
    typed = [[one] for one in firsts] + [["task", "list"], ["task", "amend"]]
    told = (sys.executable, "-c", ALONE)
    alone = subprocess.run(told, input=json.dumps(typed), capture_output=True, text=True, check=False)
    assert [json.loads(one) for one in alone.stdout.splitlines()] == [
        [words, name, one.help, one.epilog, [[each.name, each.opts] for each in one.params]]
        for words in typed
        for name, one in commands()
        if name.split()[1] == words[0]
        if (words, name) != (["task", "list"], "taskbound task amend")
    ], alone.stderr


@pytest.mark.parametrize(
    "before", [(), ("--json",), ("--home", "audit"), ("--home=audit", "--namespace", "audit")]
)
def test_what_was_typed_loads_no_other_command(before: tuple[str, ...], tmp_path: Path) -> None:
    run_it = "import sys; from taskbound.wiring.cli import main; main(); print(*sys.modules)"
    told = (sys.executable, "-c", run_it, *before, "task", "list")
    environ = {"HOME": str(tmp_path)}
    done = subprocess.run(told, capture_output=True, text=True, check=False, cwd=tmp_path, env=environ)
    assert "no-data-directory" in done.stderr
    loaded = {one for one in done.stdout.split() if one.startswith("taskbound.")}
    assert "taskbound.surfaces.cli.task" in loaded
    others = (
        "surfaces.cli.audit",
        "surfaces.cli.approval.amendment",
        "surfaces.cli.doctor.command",
        "core.audit.events",
    )
    assert loaded.isdisjoint({f"taskbound.{one}" for one in others})


def test_without_a_command_the_help_is_shown_and_the_status_says_so(taskbound: Callable[..., Ended]) -> None:
    assert taskbound().status == 2
    assert taskbound("task").status == 2


@pytest.mark.parametrize(
    "words",
    [
        ("tusk",),
        ("task", "strat"),
        ("task", "list", "--nope"),
        ("task", "show"),
        ("task", "list", "--limit", "0"),
    ],
)
def test_what_can_not_be_typed_is_malformed_with_one_word_of_advice(
    words: tuple[str, ...], taskbound: Callable[..., Ended]
) -> None:
    ended = taskbound(*words)
    assert ended.status == 2
    assert ended.out == ""
    assert ended.err.startswith("error: ")
    assert "what to do: " in ended.err


@pytest.mark.parametrize(
    ("words", "whose"),
    [
        (("tusk",), "taskbound"),
        (("task", "strat"), "taskbound task"),
        (("task", "list", "--nope"), "taskbound task list"),
        (("task", "show"), "taskbound task show"),
    ],
)
def test_what_can_not_be_typed_leads_to_the_help_of_its_own_command(
    words: tuple[str, ...], whose: str, taskbound: Callable[..., Ended]
) -> None:
    assert f"see `{whose} --help`" in taskbound(*words).err


@pytest.mark.parametrize(("typed", "near"), [(("tsk",), "task"), (("task", "strat"), "start")])
def test_a_misspelled_command_is_answered_with_the_near_one(
    typed: tuple[str, ...], near: str, taskbound: Callable[..., Ended]
) -> None:
    assert f"Did you mean '{near}'?" in taskbound(*typed).err


@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_every_command_takes_may_stand_before_it_within_it_and_after_it(
    place: int, taskbound: Callable[..., Ended], tmp_path: Path
) -> None:
    for option, value in (("--home", str(tmp_path / "elsewhere")), ("--json", "")):
        words = ["task", "list"]
        words[place:place] = [one for one in (option, value) if one]
        ended = taskbound(*words)
        assert ended.status == 4
        assert ("elsewhere" in ended.err) == (option == "--home")
        assert ended.err.startswith("{") == (option == "--json")


def test_of_two_data_directories_the_last_one_counts(taskbound: Callable[..., Ended], tmp_path: Path) -> None:
    words = ("--home", str(tmp_path / "a"), "task", "--home", str(tmp_path / "b"), "list")
    assert f"`{tmp_path / 'b'}`" in taskbound(*words).err
    assert f"`{tmp_path / 'c'}`" in taskbound(*words, "--home", str(tmp_path / "c")).err


@pytest.mark.parametrize("word", ["gateway", "guard", "demo"])
def test_a_command_that_reads_its_own_options_takes_none_from_before_it(
    word: str, taskbound: Callable[..., Ended]
) -> None:
    ended = taskbound("--home", "x", word)
    assert (ended.status, "[bad-input]" in ended.err, "what to do: " in ended.err) == (2, True, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_words_are_completed_in_each_shell(shell: str, tmp_path: Path) -> None:
    told = {
        "_TASKBOUND_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "taskbound task list --state pa",
        "COMP_CWORD": "4",
        "_TYPER_COMPLETE_ARGS": "taskbound task list --state pa",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "HOME": str(tmp_path),
    }
    done = subprocess.run(own_command(), env=told, capture_output=True, text=True, check=False)
    assert "paused" in done.stdout, done
    assert "running" not in done.stdout


def test_an_error_with_json_is_one_document_on_standard_error_only(taskbound: Callable[..., Ended]) -> None:
    for words, code in (
        (("task", "list", "--json"), "no-data-directory"),
        (("task", "strat", "--json"), "malformed"),
    ):
        ended = taskbound(*words)
        assert ended.out == ""
        assert json.loads(ended.err)["code"] == code


def test_a_command_without_an_installation_says_how_to_make_one(taskbound: Callable[..., Ended]) -> None:
    ended = taskbound("task", "list")
    assert ended.status == 4
    assert "there is no data directory" in ended.err
    assert "taskbound init" in ended.err


def test_a_command_makes_no_data_directory_by_itself(taskbound: Callable[..., Ended], tmp_path: Path) -> None:
    for words in (("task", "list"), ("doctor",), ("stop",), ("init", "--undo"), ("audit", "tail")):
        taskbound(*words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ("task", "end", "tsk_1"),
        ("agent", "suspend", "a"),
        ("template", "remove", "a"),
        ("upstream", "remove", "a"),
        ("stop", "--lift"),
    ],
)
def test_what_destroys_refuses_without_a_terminal_and_without_yes(
    words: tuple[str, ...], taskbound: Callable[..., Ended]
) -> None:
    ended = taskbound(*words)
    assert ended.status == 2
    assert "[needs-answer]" in ended.err
    assert "--yes" in ended.err


def test_a252_a_bad_settings_file_stops_every_command(
    taskbound: Callable[..., Ended], tmp_path: Path
) -> None:
    home = tmp_path / "none"
    home.mkdir(mode=0o700)
    (home / "taskbound.toml").write_text("agnet = 1\n", encoding="utf-8")
    ended = taskbound("task", "list")
    assert ended.status == 2
    assert "[bad-setting]" in ended.err


def test_a_daemon_is_not_started_when_the_settings_say_so(
    taskbound: Callable[..., Ended], tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir(mode=0o700)
    ended = taskbound("task", "list", TASKBOUND_AUTOSTART="false")
    assert ended.status == 4
    assert f"taskbound serve --home {tmp_path / 'none'}" in ended.err


def test_doctor_without_an_installation_is_not_healthy(taskbound: Callable[..., Ended]) -> None:
    ended = taskbound("doctor", "--json", TASKBOUND_TYPO="x")
    assert ended.status == 1
    report = json.loads(ended.out)
    assert report["healthy"] is False
    levels = {one["name"]: one["level"] for one in report["findings"]}
    assert levels["home"] == "bad"
    assert levels["variable"] == "warn"
    assert levels["agent-tools"] == "warn"


def test_doctor_lists_what_bypasses_the_gateway(taskbound: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / ".cursor").mkdir()
    remote = {"url": "https://example.com/mcp", "auth": {"CLIENT_ID": "x"}}
    document = {"mcpServers": {"a": {"command": "x"}, "w\u202e": remote}}
    (tmp_path / ".cursor/mcp.json").write_text(json.dumps(document), encoding="utf-8")
    ended = taskbound("doctor")
    bypassing = [line for line in ended.out.splitlines() if "bypasses the gateway" in line]
    assert len(bypassing) == 2
    assert "\\u{202E}" in bypassing[1]
    assert "its client signs in for it" in bypassing[1]


def test_init_with_nothing_to_gate_changes_nothing(taskbound: Callable[..., Ended], tmp_path: Path) -> None:
    ended = taskbound("init", "--yes")
    assert ended.status == 0
    assert "Nothing was set up: no client configuration names a server" in ended.out
    for name in (
        ".claude.json",
        ".cursor/mcp.json",
        ".vscode/mcp.json",
        "taskbound upstream add",
        "--config FILE",
    ):
        assert name in ended.out
    assert list(tmp_path.iterdir()) == []


def test_every_error_of_the_command_line_says_what_to_do() -> None:
    ours = [one for one in error_classes() if one.__module__.startswith("taskbound.surfaces.cli.")]
    assert len(ours) > 10
    assert [one.code for one in ours if not one.remedy] == ["declined"], "a no needs no advice"


@pytest.mark.parametrize(
    ("family", "status"),
    [
        (TaskboundError, 1),
        (MalformedError, 2),
        (DeniedError, 3),
        (UnavailableError, 4),
        (TamperedError, 5),
    ],
)
def test_error_ends_a_command_with_the_exit_status_of_its_family(
    family: type[TaskboundError], status: int
) -> None:
    assert status_of(type("OddError", (family,), {"code": "odd"})("no")) == status


def test_store_that_lacks_what_was_seen_of_it_ends_a_command_as_tampered() -> None:
    fault = Fault(code="store-behind", message="no", family="unavailable")
    assert status_of(RefusedByDaemonError(fault)) == status_of(StoreBehindError("no")) == 5


@pytest.mark.parametrize(
    ("family", "status"),
    [
        ("malformed", 2),
        ("denied", 3),
        ("unproven", 3),
        ("unavailable", 4),
        ("tampered", 5),
        ("", 3),
        ("new", 3),
    ],
)
def test_daemons_fault_ends_a_command_with_the_exit_status_of_its_family(family: str, status: int) -> None:
    fault = Fault(code="from-the-future", message="no", family=family)
    assert status_of(RefusedByDaemonError(fault)) == status


@pytest.mark.parametrize(("level", "whole"), [("debug", True), ("info", False)])
def test_a_surprise_is_told_without_a_stack_unless_asked(
    level: str, *, whole: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    def surprise(_told: str) -> CommandPlace:
        raise RuntimeError("\x1b[2J")

    plugs = replace(make_plugs({"TASKBOUND_LOG_LEVEL": level}), place=surprise)
    assert run(["task", "list"], plugs) == 1
    said = capfd.readouterr().err
    assert "this should not have happened" in said
    assert "\x1b" not in said
    assert ("Traceback" in said) is whole


def test_the_command_that_clients_are_given_is_absolute_and_there() -> None:
    command = own_command()
    assert command[0].startswith("/")
