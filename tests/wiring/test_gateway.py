from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PING = (
    b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
    b'"capabilities":{},"clientInfo":{"name":"t","version":"1"}}}\n'
)


def gateway(home: Path, stdin: int) -> subprocess.Popen[bytes]:
    words = [
        sys.executable,
        "-m",
        "taskbound.wiring.gateway",
        "--agent",
        "coder",
        "--home",
        str(home / "none"),
    ]
    return subprocess.Popen(words, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_gateway_that_can_not_wait_for_its_input_ends_and_says_so(tmp_path: Path) -> None:
    process = gateway(tmp_path, subprocess.DEVNULL)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 2
    assert b"its input can't be waited for" in told


@pytest.mark.parametrize("kind", ["pipe", "socket", "terminal"])
def test_a_gateway_answers_and_ends_with_its_client(kind: str, tmp_path: Path) -> None:
    ours, theirs = {
        "pipe": lambda: os.pipe()[::-1],
        "socket": lambda: tuple(one.detach() for one in socket.socketpair()),
        "terminal": pty.openpty,
    }[kind]()
    process = gateway(tmp_path, theirs)
    os.close(theirs)
    os.write(ours, PING)
    assert process.stdout is not None
    assert b'"id":1' in process.stdout.readline()
    os.close(ours)
    process.communicate(timeout=60)
    assert process.returncode == 0
