from __future__ import annotations

import os
import select
import sys
from pathlib import Path

import pytest

from taskbound.sdk.tool.coverage.found import ApplicationLostError, BadApplicationError
from taskbound.wiring.application import ask_coverage
from tests.house.tree import ROOT

GOOD = """
from taskbound import guard

@guard(server="notes")
def note(text: str) -> str:
    return text

def plain() -> None: ...

class Box:
    tools = [note]

tools = [note, plain]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where an application is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    return tmp_path


def written(folder: Path, text: str, name: str = "desk") -> str:
    (folder / f"{name}.py").write_text(text)
    return name


def ends(process: int) -> bool:
    """Whether a process is over, or is before long."""
    try:
        watched = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        ready, _, _ = select.select([watched], [], [], 20)
    finally:
        os.close(watched)
    return bool(ready)


def test_an_application_is_loaded_from_this_folder_and_told_tool_by_tool(folder: Path) -> None:
    name = written(folder, GOOD)
    found = ask_coverage(f"{name}:tools")
    assert found.application == "desk:tools"
    assert [(one.name, one.state) for one in found.tools] == [
        ("notes__note", "guarded"),
        ("plain", "unguarded"),
    ]
    assert [one.name for one in ask_coverage("desk:Box.tools").tools] == ["notes__note"]
    assert len(ask_coverage("desk").tools) == 2  # `guard` is no tool of the application's


def test_what_an_application_prints_and_leaves_behind_is_no_part_of_the_report(folder: Path) -> None:
    noise = (
        "import atexit, os, subprocess, sys, threading\n"
        'print(\'{"is": "found"}\', flush=True)\n'
        "os.write(1, b'raw')\n"
        "subprocess.run(['/bin/echo', 'child'])\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "atexit.register(print, 'over')\n"
        "held = subprocess.Popen(['/bin/sleep', '1000'])\n"
        "open('pid', 'w').write(str(held.pid))\n"
    )
    found = ask_coverage(f"{written(folder, noise + GOOD)}:tools")
    assert len(found.tools) == 2
    assert ends(int((folder / "pid").read_text()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nothing_there", "ModuleNotFoundError: No module named 'nothing_there'"),
        ("raise SystemExit('no')", "SystemExit: no"),
        ("raise ValueError('\\x1b[2J\\ud800')", "ValueError: \x1b[2J\\ud800"),
        ("1 +", "SyntaxError"),
        ("class Bad(Exception):\n    def __str__(self): raise OSError\nraise Bad", "Bad: (no words)"),
        ("tool = 1", "has no attribute 'tools'"),
    ],
    ids=["import", "exit", "hostile", "syntax", "words", "attribute"],
)
def test_an_application_that_is_not_loaded_is_one_error(folder: Path, text: str, words: str) -> None:
    name = written(folder, text)
    with pytest.raises(BadApplicationError) as told:
        ask_coverage(f"{name}:tools")
    assert words in told.value.message


@pytest.mark.parametrize(
    "name", ["", ":", "a b", "desk:", "-c", "desk:tools()", "desk:a.", "../desk", "desk\n"]
)
def test_a_name_that_names_nothing_is_one_error(folder: Path, name: str) -> None:
    written(folder, GOOD)
    if name == "desk:":
        assert len(ask_coverage(name).tools) == 2
        return
    with pytest.raises(BadApplicationError):
        ask_coverage(name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import os; os._exit(0)", "ended without a report (0); and says nothing"),
        ("import os; os.kill(os.getpid(), 9)", "ended without a report (-9)"),
        (
            "import os, sys; print('why\\x1b', file=sys.stderr, flush=True); os._exit(3)",
            "(3); it says `why\x1b`",
        ),
        (
            "import os\nfor n in range(3, 20):\n    try: os.write(n, b'{}')\n    except OSError: pass\n",
            "without a report",
        ),
        (
            "import os\nwhile True:\n    try: os.write(3, b'x' * 65536)\n    except OSError: pass\n",
            "more than a report",
        ),
    ],
    ids=["silent", "killed", "words", "garbled", "flood"],
)
def test_a_process_that_gives_no_report_or_more_than_one_is_one_error(
    folder: Path, text: str, words: str
) -> None:
    with pytest.raises(ApplicationLostError) as told:
        ask_coverage(f"{written(folder, text + chr(10) + GOOD)}:tools")
    assert words in told.value.message


def test_an_application_that_never_ends_loading_is_ended_with_all_that_it_has_started(folder: Path) -> None:
    text = (
        "import subprocess, threading\n"
        "held = subprocess.Popen(['/bin/sleep', '1000'])\n"
        "open('pid', 'w').write(str(held.pid))\n"
        "threading.Event().wait()\n"
    )
    with pytest.raises(ApplicationLostError) as told:
        ask_coverage(written(folder, text), seconds=6)
    assert "took too long" in told.value.message
    assert ends(int((folder / "pid").read_text()))


def test_another_python_is_used_and_one_that_is_none_or_lacks_the_sdk_is_one_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{written(folder, GOOD)}:tools"
    assert len(ask_coverage(name, python=sys.executable).tools) == 2
    for python in (str(folder / "missing"), "/bin/true", "a\0b"):
        with pytest.raises(ApplicationLostError):
            ask_coverage(name, python=python)
    (folder / "empty").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder / "empty"))
    with pytest.raises(ApplicationLostError) as told:
        ask_coverage(name, python=os.path.realpath(sys.executable))
    assert "taskbound" in told.value.message
