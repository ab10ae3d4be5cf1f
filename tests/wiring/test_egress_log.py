from __future__ import annotations

import subprocess
import sys

import pytest

WRITES = """
import logging
from taskbound.wiring.egress import _Held
from taskbound.wiring.log import open_log
open_log("egress", "info")
held = _Held()
held.keep("runs", frozenset({"hunter2-hunter2"}))
for number in range(1_000):
    held.keep(number, frozenset({f"of-start-{number:04}"}))
    held.keep(number, frozenset())
held.keep_token("a-token-of-ours")
logging.getLogger().handlers[0].addFilter(held)
try:
    raise ValueError("bad token " + {said})
except ValueError:
    logging.getLogger("c").exception("failed")
"""


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("'hunter2-hunter2'", "held back"),
        ("'a-token-of-ours'", "held back"),
        ("'of nobody'", "of nobody"),
        ("'of-start-0999'", "held back"),  # it has just ended, and may have last words
        ("'of-start-0000'", "of-start-0000"),  # it ended long ago: what is kept of those has a bound
    ],
)
def test_a_secret_in_a_traceback_is_held_back(said: str, word: str) -> None:
    code = WRITES.replace("{said}", said)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert word in done.stderr
    assert "hunter2-hunter2" not in done.stderr
    assert "a-token-of-ours" not in done.stderr
