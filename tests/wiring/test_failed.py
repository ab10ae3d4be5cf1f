"""What our processes say of why they end; see `wiring.failed`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from taskbound.core.errors import UnavailableError
from taskbound.wiring import failed
from taskbound.wiring.failed import tell_failure

HOSTILE = "no\x1b[2J\nerror: all is well \u202eback"


def test_a_failure_is_a_line_and_what_to_do_another_whatever_is_in_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = tell_failure(UnavailableError(HOSTILE, remedy=f"do {HOSTILE}"))
    assert words == f"{HOSTILE} [{UnavailableError.code}]"  # for a machine, which quotes it itself
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: no\\u{1B}[2J\\nerror: all is well ")
    assert second.startswith("what to do: do no\\u{1B}[2J")
    assert (first + second).isprintable()


def test_a_sentence_is_told_without_a_code_and_a_code_of_its_own_in_place_of_the_error_s(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert tell_failure("no agent is named") == "no agent is named"
    assert tell_failure(OSError(13, "Permission denied")) == "[Errno 13] Permission denied"
    assert tell_failure(UnavailableError("gone"), code="lost") == "gone [lost]"
    assert capsys.readouterr().err.splitlines() == [
        "error: no agent is named",
        "error: [Errno 13] Permission denied",
        "error: gone [lost]",
    ]


@pytest.mark.parametrize("process", ["signer", "broker", "egress", "daemon"])
def test_a_place_with_a_hostile_name_is_told_by_each_process_with_visible_escapes(
    tmp_path: Path, process: str
) -> None:
    place = tmp_path / "x\x1b[2Jy"
    words = {
        "signer": ["--keys", place, "--origin", "o"],
        "broker": ["--keys", place],
        "egress": ["--keys", place],
        "daemon": ["--home", place],
    }[process]
    done = subprocess.run(
        [sys.executable, "-m", f"taskbound.wiring.{process}", *map(str, words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "TASKBOUND_HOME": str(tmp_path / "home")},
    )
    assert done.returncode != 0
    assert "\x1b" not in done.stderr
    assert "\\u{1B}" in done.stderr


def test_no_other_module_of_the_processes_writes_an_error_s_words_to_standard_error() -> None:
    folder = Path(failed.__file__).parent
    raw = re.compile(r"stderr\.write\(.*(error|words)")
    assert [one.name for one in sorted(folder.glob("*.py")) if raw.search(one.read_text())] == ["failed.py"]
