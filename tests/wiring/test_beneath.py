from __future__ import annotations

import inspect
import json
import os
import socket
import subprocess
import sys
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest

from taskbound.adapters.store.sql import SqlStore
from taskbound.ports.task import Run
from taskbound.surfaces.api.server.peer import ancestry_of, boot_id
from taskbound.surfaces.api.server.place import NotOutsideError
from taskbound.surfaces.cli.app import build, run
from taskbound.surfaces.cli.clients.undo import Change, apply, kept, plan
from taskbound.surfaces.cli.doctor.processes import verb_of
from taskbound.wiring.beneath import require_outside
from taskbound.wiring.cli import make_plugs
from taskbound.wiring.home import make_home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import typer

    from taskbound.ports.store import Transaction

ACTS: Final = {
    "db backup": ("COPY",),
    "db restore": ("COPY", "--yes"),
    "db reconcile": ("--yes",),
    "db upgrade": ("--store", "postgresql:///nowhere?host=/nowhere"),
    "init": ("--yes", "--monitor", "file:/nowhere"),
    "serve": ("--port", "PORT"),
}
"""Commands that act on files of the data directory or on client configurations without a daemon's word."""
COMMANDS: Final = {
    **ACTS,
    "init --undo": ("--yes",),
    "init --forget": ("--yes",),
    "serve --end": (),
}
"""These, with the forms of a command that ask apart."""
LOCAL: Final = {
    *("gateway", "guard", "demo", "try"),  # processes of their own; the last two in folders of their own
    *("scope check", "scope diff", "scope covers", "scope intersect", "scope convert", "scope digest"),
    "scope schema",
    *("policy validate", "policy test", "policy coverage", "policy fmt", "policy schema", "policy new"),
    *("tool schema", "target host-helper", "agent assertion", "audit coverage", "db check"),
}
"""Commands that read, or write a file that the caller names, and ask no daemon."""
ASKING: Final = (
    "session.ask(",
    "session.show(",
    "session.act(",
    "session.client(",
    "session.connect_anew(",
    ".join(",
    "pin_listed(",
)

ALL: Final = """
import io, sys
from contextlib import redirect_stderr
from pathlib import Path
from tests.wiring.test_beneath import typed
for words in sys.argv[2:]:
    with redirect_stderr(io.StringIO()) as said:
        status = typed(Path(sys.argv[1]), words, {})
    print(f"{words}: {status}", *[one for one in ["[not-outside]"] if one in said.getvalue()])
"""


def commands(app: typer.Typer, *before: str) -> Iterator[tuple[str, Any]]:
    """Each command of the program by its words, and its function."""
    for one in app.registered_commands:
        function: Any = one.callback
        inner = inspect.getclosurevars(function).nonlocals.get("function", function)
        yield " ".join((*before, one.name or "")), inner
    for group in app.registered_groups:
        inside = group.typer_instance
        assert inside is not None
        yield from commands(inside, *before, str(inside.info.name))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make_home(tmp_path / "home")
    return tmp_path / "home"


def put(one: Run, tx: Transaction) -> None:
    tx.tasks.put_run(one)


def gate(home: Path) -> Path:
    """A configuration with a kept original, so that there is something to put back."""
    config = home.parent / "config.json"
    config.write_text('{"mcpServers": {"a": {"command": "x"}}}', encoding="utf-8")
    change = Change(keys=("mcpServers",), remove=("a",), name="taskbound", entry={"command": "t"})
    apply(home, [plan(config, [change])])
    return config


def register(home: Path, *processes: tuple[int, int]) -> None:
    with closing(SqlStore(home / "taskbound.db")) as store:
        for pid, started in processes:
            one = Run(namespace="default", task="tsk_1", boot=boot_id(), pid=pid, started=started)
            store.write(partial(put, one))


def typed(home: Path, words: str, environ: dict[str, str]) -> int:
    """The status of a command that could act here, were it not refused."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        told = {"COPY": str(home.parent / "copy.db"), "PORT": str(taken.getsockname()[1])}
        more = [told.get(one, one) for one in COMMANDS[words]]
        plain = {"HOME": str(home.parent), "PATH": os.environ["PATH"], "TASKBOUND_AUTOSTART": "false"}
        return run([*words.split()[:2], *more, "--home", str(home)], make_plugs(plain | environ))


def test_each_command_asks_the_daemon_or_is_local_or_is_refused_beneath_a_run() -> None:
    found = dict(commands(build()))
    assert {*ACTS, *LOCAL} <= set(found)
    guarded = {name for name, one in found.items() if "session.require_outside(" in inspect.getsource(one)}
    assert guarded == set(ACTS)
    rest = {name: sys.modules[found[name].__module__] for name in {*found} - LOCAL - guarded}
    silent = [name for name, one in rest.items() if not any(way in inspect.getsource(one) for way in ASKING)]
    assert silent == []


@pytest.mark.parametrize("words", COMMANDS)
def test_act_without_a_daemon_is_refused_beneath_a_run(
    home: Path, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gate(home)
    register(home, ancestry_of(os.getpid())[1])  # ended or not: the store does not hold its task
    assert typed(home, words, {}) == 3
    assert "[not-outside]" in capsys.readouterr().err


def test_act_without_a_daemon_is_refused_to_what_a_killed_run_left_behind(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, (pid, started) = ancestry_of(os.getpid())[:2]
    killed = (pid, started - 1)  # a process that is not there
    register(home, killed)
    kept = {"boot": boot_id(), "beneath": [(here, killed)]}
    (home / "beneath-runs").write_text(json.dumps(kept), encoding="ascii")
    assert typed(home, "db backup", {}) == 3
    assert "[not-outside]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("known", "environ", "refused"),
    [
        ("this process's parent, of another time", {"TASKBOUND_TASK": "tsk_1"}, False),
        ("no run", {"TASKBOUND_TASK": "tsk_1"}, False),
        ("no store", {"TASKBOUND_TASK": "tsk_1"}, True),
        ("no store", {}, False),
        ("a damaged store", {"TASKBOUND_TASK": "tsk_1"}, True),
        ("a damaged store", {}, False),
    ],
)
def test_known_runs_decide_and_the_mark_of_a_run_where_none_can_be_read(
    home: Path, known: str, environ: dict[str, str], *, refused: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if known.startswith("this"):
        pid, started = ancestry_of(os.getpid())[1]
        register(home, (pid, started - 1))
    elif known == "no run":
        register(home)
    elif known == "a damaged store":
        (home / "taskbound.db").write_bytes(b"no database")
    typed(home, "db backup", environ)
    assert ("[not-outside]" in capsys.readouterr().err) is refused


@pytest.mark.parametrize(("starter", "acts"), [("gateway", tuple(COMMANDS)), ("egress", ("db backup",))])
def test_act_without_a_daemon_is_refused_beneath_a_gateway_that_no_run_started(
    home: Path, tmp_path: Path, starter: str, acts: tuple[str, ...]
) -> None:
    config = gate(home)
    gated = config.read_bytes()
    script = tmp_path / "taskbound"
    script.write_text("import subprocess, sys\nsys.exit(subprocess.run(sys.argv[2:]).returncode)\n")
    ended = subprocess.run(
        [sys.executable, str(script), starter, sys.executable, "-c", ALL, str(home), *acts],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.splitlines() == [f"{words}: 3 [not-outside]" for words in acts], ended
    assert (config.read_bytes(), kept(home)) == (gated, (str(config),))
    assert not (home / "run" / "daemon.lock").exists()


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        (("python", "/bin/taskbound", "gateway", "--agent", "a"), "gateway"),
        (("python", "-P", "-X", "utf8", "-m", "taskbound.wiring.cli", "gateway"), "gateway"),
        (("python", "-P", "-E", "-m", "taskbound.wiring.egress"), "egress"),
        (("python", "/bin/taskbound", "db", "gateway"), "db"),
        (("python", "-m", "other", "gateway"), ""),
        (("client", "taskbound", "gateway"), "gateway"),
        (("client", "run", "taskbound", "gateway"), ""),
    ],
)
def test_command_line_says_which_command_of_ours_it_runs(words: tuple[str, ...], verb: str) -> None:
    assert verb_of(words) == verb


def test_process_whose_ancestry_cannot_be_read_whole_is_refused(home: Path, tmp_path: Path) -> None:
    require_outside(home, "", {})
    with pytest.raises(NotOutsideError, match="can't be looked at"):
        require_outside(home, "", {}, proc=tmp_path)
