"""Who has many connections and processes on an OpenSSH host: their end takes no longer (I-04)."""

from __future__ import annotations

import json
import os
import platform
import runpy
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.targets.openssh import host
from tests.peers.sshd import Sshd, running, until

if TYPE_CHECKING:
    from collections.abc import Iterator

_MANY = 5
_WATCHED = """
import sys
names = {"__name__": "helper"}
exec(compile(open(sys.argv[1]).read(), "helper", "exec"), names)
kill, looks = names["_kill_group"], []
def watch(group, spared):
    if not looks:
        looks.append("".join(names["_process"](int(one)).state for one in sys.argv[3].split(",")))
        open(sys.argv[2], "w").write(looks[0])
    kill(group, spared)
names["_kill_group"] = watch
sys.exit(names["main"](sys.argv[4:]))
"""
_HEADLESS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
print("begun", flush=True)
ctypes.CDLL(None).syscall(%d, 0)
"""
_EXIT = {"x86_64": 60, "aarch64": 93}
"""The number by which one thread ends."""


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with running() as one:
        yield one


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes control groups")
def test_all_connections_of_a_name_are_stopped_before_the_first_is_killed_i_04(
    sshd: Sshd, tmp_path: Path
) -> None:
    holder, told, script = sshd.holder(), tmp_path / "told", tmp_path / "script"
    script.write_text(_WATCHED, encoding="ascii")
    line = {"do": "revoke", "name": holder.name, "ends": int(time.time()) + 60}
    with ExitStack() as stack:
        clients = [stack.enter_context(sshd.session(holder)) for _ in range(_MANY)]
        pids = ",".join(one.split(".")[0] for one in sshd.records(holder.name))
        words = [sshd.python, str(script), str(sshd.program), str(told), pids, *sshd.command("serve")[3:]]
        done = subprocess.run(
            words, input=json.dumps(line).encode() + b"\n", check=True, capture_output=True, timeout=30
        )
        assert json.loads(done.stdout) == {"ok": {"cut": _MANY}}
        assert [one.wait(10) for one in clients] == [255] * _MANY
    assert told.read_text(encoding="ascii") == "T" * _MANY


@pytest.mark.skipif(platform.machine() not in _EXIT, reason="a thread's end has a number by machine")
def test_who_goes_on_without_its_first_thread_is_seen_to_be_stopped() -> None:
    names = runpy.run_path(str(host.__file__))
    script = _HEADLESS % _EXIT[platform.machine()]
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == b"begun\n"
        until(lambda: names["_process"](one.pid).state == "Z")
        assert not names["_is_stopped"](names["_process"](one.pid))
        one.send_signal(signal.SIGSTOP)
        until(lambda: names["_is_stopped"](names["_process"](one.pid)))
        one.kill()
