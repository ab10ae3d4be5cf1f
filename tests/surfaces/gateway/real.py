"""The gateway's real process before a real daemon: what a person sets up, and a raw client that is the agent.

async with real(tmp_path, echo(log=log)) as place:
    async with place.gateway() as client:
        await client.handshake()
        answer = await client.call("echo__echo", b'{"text":"a"}')
    place.end_task()
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from taskbound import __version__
from taskbound.core.scope import parse_scope
from taskbound.sdk.client import Client
from taskbound.wire.action import ActionDetail, ActionRow, ActionRows, ListActions, ShowAction
from taskbound.wire.audit import ExportAudit, ExportPage
from taskbound.wire.connection import Done, Open, Status, StatusReport
from taskbound.wire.identity import (
    AcknowledgeMonitor,
    ActivateAgent,
    RegisterAgent,
    RegisterPerson,
    TestMonitor,
)
from taskbound.wire.task import EndTask, PauseTask, ResumeTask, ShowTask, StartTask, TaskDetail
from taskbound.wire.token import Stop
from taskbound.wire.tool import AddUpstream
from taskbound.wiring.home import make_home
from taskbound.wiring.start import ensure_daemon
from tests.peers.rawclient import RawClient
from tests.surfaces.gateway.bench import probed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

    from tests.peers.rawclient import Era


DEADLINE = 50.0
POLL = 0.005
"""Seconds between two looks: the daemon that is asked has the processor meanwhile."""
MODULE = ("-m", "taskbound.wiring.gateway")
PATIENT = (
    "-c",
    (
        "import os\nimport sys\nfrom functools import partial\nfrom taskbound.wiring import gateway\n"
        "os.environ['TASKBOUND_HOLD_SECONDS'] = '0'\n"
        "gateway.Timings = partial(gateway.Timings, grace=60.0)\n"
        "sys.exit(gateway.main(sys.argv[1:]))\n"
    ),
)
"""The gateway with a longer grace, and no wait for people, where a test is not about their length."""


class Place:
    """One data directory with its daemon."""

    def __init__(self, home: Path, directory: Path, agents: Sequence[str] = ("coder",)) -> None:
        self.home = home
        self.agents = tuple(agents)
        self.directory = directory
        self.task = ""
        self.tools: list[str] = []
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """A person's connection, made anew when the daemon is another one."""
        if self._client is None:
            path = ensure_daemon(self.home)
            self._client = Client(path, Open(role="cli", version=__version__), patience=15.0)
        return self._client

    def status(self) -> StatusReport:
        return self.client.ask(Status(), StatusReport)

    def kill_daemon(self) -> None:
        """kill -9."""
        pid = self.status().pid
        os.kill(pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    async def pin(
        self, name: str, command: Sequence[str], *, era: str = "", asks: Iterable[str] = ()
    ) -> None:
        spec, found = await probed(name, command, self.directory, era=era)
        methods = (*found.methods, *sorted(asks))
        raws = tuple(map(msgspec.Raw, found.definitions))
        ask = AddUpstream(spec=spec, definitions=raws, agents=self.agents, methods=methods)
        self.client.ask(ask, Done)
        self.tools += [f"{name}__{json.loads(raw)['name']}" for raw in found.definitions]
        self.tools += [f"{name}__{method}" for method in methods]

    def anything(self) -> dict[str, Any]:
        """A scope of every pinned tool with any arguments."""
        return {"grants": [{"tool": name, "others": "any"} for name in self.tools]}

    def settle_in(self) -> None:
        """A person, who answers for the active agents."""
        self.client.ask(RegisterPerson(name="ann", uid=os.getuid()), Done)
        for name in self.agents:
            self._activate(name)

    def _activate(self, name: str) -> None:
        monitor = self.directory / f"monitor-{name}.jsonl"
        self.client.ask(
            RegisterAgent(
                name=name,
                owner="ann",
                approvers=("ann",),
                monitor=f"file:{monitor}",
                ceiling=_scope(self.anything()),
            ),
            Done,
        )
        self.client.ask(TestMonitor(name=name), Done)
        code = json.loads(monitor.read_text(encoding="utf-8").splitlines()[-1])["code"]
        self.client.ask(AcknowledgeMonitor(name=name, code=code), Done)
        self.client.ask(ActivateAgent(name=name), Done)

    def start_task(
        self,
        scope: dict[str, Any] | None = None,
        *,
        agent: str = "coder",
        seconds: int = 600,
        heartbeat: int = 0,
        grace: int = 0,
    ) -> str:
        given = _scope(scope or self.anything())
        ask = StartTask(
            agent=agent, purpose="test", seconds=seconds, scope=given, heartbeat=heartbeat, grace=grace
        )
        self.task = self.client.ask(ask, TaskDetail).row.task
        return self.task

    def end_task(self, how: str = "completed") -> None:
        self.client.ask(EndTask(task=self.task, how=how, reason="enough"), Done)

    def pause_task(self) -> None:
        self.client.ask(PauseTask(task=self.task), Done)

    def resume_task(self) -> None:
        self.client.ask(ResumeTask(task=self.task), Done)

    def stop(self, *, stopped: bool) -> None:
        self.client.ask(Stop(stopped=stopped, reason="test"), Done)

    def task_detail(self) -> TaskDetail:
        return self.client.ask(ShowTask(task=self.task), TaskDetail)

    async def until(self, state: str) -> str:
        """Wait until the task is in this state; the one it was in before."""
        before = self.task_detail().row.state
        async with asyncio.timeout(DEADLINE):
            while self.task_detail().row.state != state:
                await passing(POLL)
        return before

    def actions(self) -> list[ActionRow]:
        """Every action, oldest first."""
        return list(reversed(self.client.ask(ListActions(limit=500), ActionRows).rows))

    def action(self, name: str) -> ActionDetail:
        return self.client.ask(ShowAction(action=name), ActionDetail)

    async def events(self, kind: str) -> list[dict[str, Any]]:
        """Every event of a kind, once the log holds every record that there is."""
        async with asyncio.timeout(DEADLINE):
            while True:
                page = self.client.ask(ExportAudit(limit=5000), ExportPage)
                if len(page.records) >= self.status().records:
                    found = [json.loads(record)["event"] for record in page.records]
                    return [event for event in found if event["kind"] == kind]
                await passing(POLL)

    async def settled(self, count: int) -> list[ActionRow]:
        """Every action once so many are neither permitted nor sent any more."""
        async with asyncio.timeout(DEADLINE):
            while True:
                found = self.actions()
                if len([one for one in found if one.state not in {"permitted", "sent"}]) >= count:
                    return found
                await passing(POLL)

    @contextlib.asynccontextmanager
    async def gateway(
        self, era: Era = "legacy", *options: str, module: Sequence[str] = MODULE, **capabilities: Any
    ) -> AsyncIterator[RawClient]:
        """The agent with these capabilities, whose handshake is done."""
        command = [
            sys.executable,
            *module,
            "--agent",
            "coder",
            "--home",
            str(self.home),
        ]
        async with RawClient([*command, *options], era=era, deadline=DEADLINE) as client:
            await client.handshake(**capabilities)
            yield client


def _scope(value: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(parse_scope(value).canonical)


async def passing(seconds: float) -> None:
    """Let others go on meanwhile: a server that takes its time, a client that is in no hurry."""
    passed = asyncio.get_running_loop().create_future()
    timer = asyncio.get_running_loop().call_later(seconds, passed.set_result, None)
    try:
        await passed
    finally:
        timer.cancel()


def gone(pid: int) -> bool:
    """Whether a process has ended (and is not merely unreaped)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 -- a file of the kernel's
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return True


async def ended(pid: int) -> None:
    """Wait until a process has ended, without taking the processor from it meanwhile."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(watched, over.set)
    try:
        async with asyncio.timeout(DEADLINE):
            await over.wait()
    finally:
        loop.remove_reader(watched)
        os.close(watched)


@contextlib.asynccontextmanager
async def real(
    tmp_path: Path,
    command: Sequence[str],
    *,
    name: str = "echo",
    scope: dict[str, Any] | None = None,
    era: str = "",
    asks: Iterable[str] = (),
) -> AsyncIterator[Place]:
    """A daemon with one pinned server, which may ask so, and a running task that may call all of it."""
    async with served(tmp_path) as place:
        await place.pin(name, command, era=era, asks=asks)
        place.settle_in()
        place.start_task(scope)
        yield place


@contextlib.asynccontextmanager
async def served(tmp_path: Path) -> AsyncIterator[Place]:
    """A daemon that nobody has told anything."""
    home = tmp_path / "home"
    make_home(home)
    # A corpus is refused line after line, and is no flood: what is beyond the quota has tests of its own.
    (home / "taskbound.toml").write_text("refusals_burst = 10000\n", encoding="utf-8")
    place = Place(home, tmp_path)
    pid = place.status().pid
    try:
        yield place
    finally:
        with contextlib.suppress(Exception):
            pid = place.status().pid
        place.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        await ended(pid)
