from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WRITES = """
import logging
from taskbound.wiring.log import open_log
open_log("daemon", "info", trace=lambda: trace)
trace = ""
logging.getLogger("a.b").debug("never said")
logging.getLogger("a.b").info("said of %s", "caf\\u00e9 \\udcff\\nnext")
trace = "ab" * 16
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("c").exception("failed")
"""


def test_what_is_logged_is_one_object_a_line_whatever_is_said() -> None:
    done = subprocess.run([sys.executable, "-c", WRITES], capture_output=True, text=True, check=True)
    said, failed = map(json.loads, done.stderr.splitlines())
    assert said.pop("timestamp").endswith("Z")
    assert said == {
        "process": "daemon",
        "event": "said of caf\u00e9 \udcff\nnext",
        "level": "info",
        "logger": "a.b",
    }
    assert failed["trace"] == "ab" * 16
    assert failed["level"] == "error"
    assert failed["exception"].startswith("Traceback")
    assert failed["exception"].endswith("ZeroDivisionError: division by zero")


def test_log_on_a_terminal_is_readable_lines_with_everything_visible() -> None:
    ours, terminal = os.openpty()
    try:
        subprocess.run([sys.executable, "-c", WRITES], stderr=terminal, check=True)
        lines = os.read(ours, 65536).decode().splitlines()
    finally:
        os.close(ours)
        os.close(terminal)
    assert lines[0] == "taskbound daemon: info: said of café \\u{DCFF}\\nnext"
    assert (lines[1], lines[-1]) == ("taskbound daemon: error: failed", "ZeroDivisionError: division by zero")


GATEWAY = """
import logging, os, sys
from taskbound.wiring import gateway
gateway.main(["--home", sys.argv[1]])  # names no agent, so it opens its log and ends
print(logging.getLevelName(logging.getLogger().level))
"""


@pytest.mark.parametrize(
    ("variables", "level"),
    [({}, "INFO"), ({"TASKBOUND_TASK": "tsk_1"}, "WARNING")],
)
def test_gateway_beneath_a_run_logs_warnings_only(
    variables: dict[str, str], level: str, tmp_path: Path
) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **variables}
    words = [sys.executable, "-c", GATEWAY, str(tmp_path)]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [level]
