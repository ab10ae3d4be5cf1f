from __future__ import annotations

import asyncio
import os
import pty
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from taskbound.wire.action import Decide
from tests.peers.daemon import ScriptedDaemon

if TYPE_CHECKING:
    from pathlib import Path

PING = (
    b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
    b'"capabilities":{},"clientInfo":{"name":"t","version":"1"}}}\n'
)


CALL = (
    b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'
    b'{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"bank__pay","arguments":{}}}\n'
)


def gateway(home: Path, stdin: int, **more: str) -> subprocess.Popen[bytes]:
    words = [
        sys.executable,
        "-m",
        "taskbound.wiring.gateway",
        "--agent",
        "coder",
        "--home",
        str(home / "none"),
    ]
    told = os.environ | more
    return subprocess.Popen(words, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=told)


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


@pytest.mark.parametrize("seconds", [0, 7, 600])
def test_a_gateway_says_to_the_daemon_how_long_it_will_wait_for_people(seconds: int, tmp_path: Path) -> None:
    async def story() -> None:
        async with ScriptedDaemon(tmp_path / "d.sock") as daemon:
            told = {"TASKBOUND_SOCKET": str(daemon.path), "TASKBOUND_HOLD_SECONDS": str(seconds)}
            ours, theirs = os.pipe()[::-1]
            process = gateway(tmp_path, theirs, **told)
            os.close(theirs)
            os.write(ours, PING + CALL)
            assert (await daemon.asked(Decide)).wait == seconds
            os.close(ours)
            await asyncio.to_thread(process.communicate, timeout=60)
            assert process.returncode == 0

    asyncio.run(story())
