"""A daemon, or a signer, as a process of this test's own: started with flags, asked, killed, waited for."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from taskbound import __version__
from taskbound.sdk.client import Client, DaemonLostError, RefusedByDaemonError
from taskbound.wire.action import Decide, Permitted, Refused
from taskbound.wire.audit import ExportAudit, ExportPage
from taskbound.wire.connection import Done, Open, Status, StatusReport
from taskbound.wire.frame import Message
from taskbound.wire.identity import (
    AcknowledgeMonitor,
    ActivateAgent,
    RegisterAgent,
    RegisterPerson,
    TestMonitor,
)
from taskbound.wire.task import StartTask, TaskDetail
from taskbound.wire.tool import AddUpstream, ServerSpec
from taskbound.wiring.home import find_socket
from taskbound.wiring.start import answers

DEADLINE = 60.0
AGENT = "helper"
SCOPE = {"grants": [{"tool": "echo__say", "arguments": {"text": {"any": True}}}]}
TOOL = {
    "name": "say",
    "description": "Says it.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}},
    "annotations": {"readOnlyHint": True},
}
SPEC = ServerSpec(name="echo", command="/opt/echo/bin/echo", sha256="0" * 64)


class Running:
    """One process of ours: what it was told, whether it was ready, and how it ended."""

    def __init__(
        self,
        module: str,
        *flags: str,
        python: Sequence[str] = (sys.executable,),
        environ: Mapping[str, str] | None = None,
        uid: int | None = None,
        groups: Sequence[int] = (),
    ) -> None:
        listening, speaking = os.pipe()
        reading, writing = os.pipe()
        self.log = bytearray()
        account: Mapping[str, Any] = (
            {} if uid is None else {"user": uid, "group": uid, "extra_groups": list(groups)}
        )
        self.process = subprocess.Popen(
            [*python, "-I", "-m", f"taskbound.wiring.{module}", *flags, "--ready-fd", str(speaking)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=writing,
            pass_fds=(speaking,),
            cwd="/",
            env=environ,
            **account,
        )
        os.close(speaking)
        os.close(writing)
        self._reader = threading.Thread(target=self._read, args=(reading,), daemon=True)
        self._reader.start()
        self.said = _line(listening)
        os.close(listening)

    def __enter__(self) -> Self:
        assert self.said == "ready", f"{self.said}\n{self.words}"
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.end()

    @property
    def words(self) -> str:
        """What it wrote to standard error until now, or until its end."""
        if self.process.poll() is not None:
            self._reader.join(DEADLINE)
        return self.log.decode("utf-8", "replace")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Its status after this signal."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Its status, once it has ended by itself; it is killed when it doesn't."""
        try:
            status = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        self._reader.join(DEADLINE)
        return status

    def _read(self, reading: int) -> None:
        while piece := os.read(reading, 65536):
            self.log += piece
        os.close(reading)


def daemon(home: Path, *flags: str) -> Running:
    return Running("daemon", "--home", str(home), *flags)


def signer(keys: Path, socket: Path, *flags: str, origin: str = "example.com/log") -> Running:
    return Running("signer", "--keys", str(keys), "--socket", str(socket), "--origin", origin, *flags)


def until(what: Callable[[], bool], sentence: str) -> None:
    """Ask again and again until it is so."""
    end = time.monotonic() + DEADLINE
    pause = threading.Event()
    while not what():
        assert time.monotonic() < end, f"not within {DEADLINE} s: {sentence}"
        pause.wait(0.02)


def client(socket: Path, role: str = "cli", agent: str = "") -> Client:
    return Client(socket, Open(role=role, version=__version__, agent=agent), patience=30.0)


def status(socket: Path) -> StatusReport:
    with client(socket) as one:
        return one.ask(Status(), StatusReport)


def end_daemon(home: Path, number: int = signal.SIGTERM) -> None:
    """End the daemon of a data directory that a client has started, and wait until it is gone."""
    if not answers(find_socket(home)):
        return
    process = os.pidfd_open(status(find_socket(home)).pid)
    try:
        signal.pidfd_send_signal(process, number)
        assert select.select([process], [], [], DEADLINE)[0], "the daemon goes on"
    finally:
        os.close(process)


def covered(socket: Path) -> bool:
    """Whether the signer is reached, and has vouched for every record."""
    seen = status(socket)
    return seen.signer == "reachable" and 0 < seen.records == seen.covered


def placed(socket: Path) -> bool:
    """Whether every record has its place in the log."""
    with client(socket) as one:
        records = one.ask(Status(), StatusReport).records
        return len(one.ask(ExportAudit(limit=5000), ExportPage).records) >= records > 0


def settle_in(socket: Path, folder: Path, *, known: bool = False) -> str:
    """A person, unless `known`, an active agent and a running task, whose id comes back."""
    monitor = folder / "monitor"
    with client(socket) as one:
        if not known:
            one.ask(RegisterPerson(name="alice", uid=os.geteuid()), Done)
        one.ask(AddUpstream(spec=SPEC, definitions=(_raw(TOOL),), agents=(AGENT,)), Done)
        one.ask(
            RegisterAgent(
                name=AGENT,
                owner="alice",
                approvers=("alice",),
                monitor=f"file:{monitor}",
                ceiling=_raw(SCOPE),
            ),
            Done,
        )
        one.ask(TestMonitor(name=AGENT), Done)
        code = json.loads(monitor.read_bytes().splitlines()[-1])["code"]
        one.ask(AcknowledgeMonitor(name=AGENT, code=code), Done)
        one.ask(ActivateAgent(name=AGENT), Done)
        return start_task(one)


def start_task(one: Client) -> str:
    order = StartTask(agent=AGENT, purpose="to see what happens", seconds=3600, scope=_raw(SCOPE))
    return one.ask(order, TaskDetail).row.task


def decide(socket: Path, *, request: str = "1") -> Permitted:
    """Leave for one action, asked for by a gateway of the agent."""
    with client(socket, "gateway", AGENT) as one:
        ask = Decide(tool="echo__say", arguments=msgspec.Raw(b'{"text":"a"}'), request=request)
        return one.ask(ask, Permitted)


def code_of(socket: Path, request: str) -> str:
    """`permitted`, or the code of the refusal of one call, whoever refuses it."""
    ask = Decide(tool="echo__say", arguments=msgspec.Raw(b'{"text":"a"}'), request=request)
    try:
        with client(socket, "gateway", AGENT) as one:
            answer = one.ask(ask, Message)
    except RefusedByDaemonError as error:
        return error.fault.code
    except DaemonLostError as error:
        return error.code
    assert isinstance(answer, Permitted | Refused), answer
    return answer.code if isinstance(answer, Refused) else "permitted"


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def _line(descriptor: int) -> str:
    said = b""
    end = time.monotonic() + DEADLINE
    while b"\n" not in said and select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
        piece = os.read(descriptor, 1024)
        if not piece:
            break
        said += piece
    return said.decode().strip()
