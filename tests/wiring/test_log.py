from __future__ import annotations

import json
import subprocess
import sys

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
