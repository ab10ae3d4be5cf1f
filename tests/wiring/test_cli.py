from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from taskbound import __version__
from taskbound.surfaces.cli.extras import how_to_install
from taskbound.wiring.cli import own_command

LOADED = """
import json, sys
sys.argv = ["taskbound", "gateway", *sys.argv[1:]]
from taskbound.wiring.cli import main
try:
    main()
except SystemExit:
    pass
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules} | set(sys.modules))), file=sys.stderr)
"""
INTERRUPTED = """
import os, signal, sys
from importlib.abc import MetaPathFinder
loading = sys.argv.pop(1)
class Impatient(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == loading:
            os.kill(os.getpid(), signal.SIGINT)
from taskbound.wiring.cli import main
sys.meta_path.insert(0, Impatient())
sys.exit(main())
"""
WITHOUT = """
import sys
from importlib.abc import MetaPathFinder
missing = sys.argv.pop(1)
class Without(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Without())
from taskbound.wiring.cli import main
sys.exit(main())
"""
FORBIDDEN = {
    "cedarpy", "cryptography", "pysqlite3", "rich", "sqlalchemy", "sqlite3", "typer",
    "taskbound.surfaces.cli", "taskbound.adapters.keys", "taskbound.adapters.store", "taskbound.flows",
}  # fmt: skip  # a list of words reads better as words


def test_a_gateway_started_by_its_word_loads_nothing_of_the_command_line(tmp_path: Path) -> None:
    words = [sys.executable, "-c", LOADED, "--agent", "a", "--home", str(tmp_path / "none")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, input="")
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert "taskbound.wiring.gateway" in loaded
    assert loaded & FORBIDDEN == set()


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize(
    ("loading", "words"),
    [("taskbound.surfaces.cli.app", ["doctor"]), ("taskbound.wiring.gateway", ["gateway", "--agent", "a"])],
)
def test_who_interrupts_a_program_that_is_still_loaded_is_shown_nothing(
    loading: str, words: list[str], tmp_path: Path
) -> None:
    program = [sys.executable, "-c", INTERRUPTED, loading, *words, "--home", str(tmp_path / "none")]
    done = subprocess.run(program, capture_output=True, text=True, check=False, input="")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("missing", ["typer", "yaml"])
def test_a_package_that_is_missing_is_named_with_what_brings_it(missing: str, tmp_path: Path) -> None:
    words = [sys.executable, "-c", WITHOUT, missing, "task", "start", "--home", str(tmp_path / "none")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, input="")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == (
        f"error: this program needs `{missing}`, which is not installed [server-missing]\n"
        f"what to do: `{how_to_install('server')}`\n"
    )


def test_a_module_of_our_own_that_is_missing_is_no_matter_of_an_extra(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WITHOUT, "taskbound.surfaces.cli.app", "task", "list"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, input="", cwd=tmp_path)
    assert "No module named 'taskbound.surfaces.cli.app'" in done.stderr
    assert "server-missing" not in done.stderr


def test_the_help_of_the_gateway_is_the_programs(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "taskbound.wiring.cli", "gateway", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "clients start it as" in done.stdout


@pytest.mark.parametrize("name", ["typer.py", "json.py", "taskbound.py"])
def test_a251_a_file_in_the_working_directory_shadows_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')\n", encoding="utf-8")
    done = subprocess.run(
        [*own_command(), "--version"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == f"{__version__}\n"
    assert not (tmp_path / "pwned").exists()


def test_a251_the_program_works_without_assertions(tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-O",
        "-m",
        "taskbound.wiring.cli",
        "doctor",
        "--json",
        "--home",
        str(tmp_path / "none"),
    ]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, "HOME": str(tmp_path)}
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["healthy"] is False


def test_completion_is_offered_for_the_shells_that_people_use(tmp_path: Path) -> None:
    for shell in ("bash", "zsh", "fish"):
        environ = {**os.environ, "_TASKBOUND_COMPLETE": f"source_{shell}", "HOME": str(tmp_path)}
        done = subprocess.run([*own_command()], capture_output=True, text=True, check=False, env=environ)
        assert "_TASKBOUND_COMPLETE" in done.stdout


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    script = '"$@" --help | head -n 1 >/dev/null; exit 0'
    words = ["/bin/sh", "-c", script, "sh", *own_command()]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stderr == ""
