from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import taskbound
from taskbound.ports.process import Process, beneath, send_group, send_signal, started_of

if TYPE_CHECKING:
    from collections.abc import Callable

WAITS = (sys.executable, "-S", "-c", "print(flush=True); input()")


@pytest.mark.parametrize("send", [send_signal, send_group])
def test_process_that_has_the_number_of_another_one_is_not_signalled(
    send: Callable[[Process, int], None],
) -> None:
    with subprocess.Popen(
        WAITS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as one:
        assert one.stdout is not None
        one.stdout.readline()
        started = started_of(one.pid)
        send((one.pid, started - 1), signal.SIGKILL)
        assert one.communicate(b"\n")[0] == b""
    assert one.returncode == 0


@pytest.mark.parametrize("send", [send_signal, send_group])
def test_process_of_the_same_start_time_is_signalled(send: Callable[[Process, int], None]) -> None:
    with subprocess.Popen(WAITS, stdin=subprocess.PIPE, start_new_session=True) as one:
        assert (one.pid, started_of(one.pid)) in beneath(os.getpid())
        send((one.pid, started_of(one.pid)), signal.SIGKILL)
        assert one.wait() == -signal.SIGKILL
    send((one.pid, 1), signal.SIGKILL)  # it is gone


def test_nothing_else_signals_a_process_by_its_number() -> None:
    root = Path(taskbound.__file__).parent
    found = {
        str(file.relative_to(root))
        for file in root.rglob("*.py")
        if re.search(r"os\.kill(pg)?\(", file.read_text(encoding="utf-8"))
    }
    # a child that is not reaped yet, and a program of its own
    apart = {"wiring/application.py", "adapters/targets/openssh/host.py"}
    assert found == {"ports/process.py", *apart}
