"""The demo's files and processes, shared by all steps; `home` is the data directory."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.surfaces.cli.demo.agent import Agent
from taskbound.surfaces.cli.demo.parts import Ledger, read_books
from taskbound.surfaces.cli.demo.scene import Tried
from taskbound.surfaces.cli.demo.watching import Watch, end_daemon
from taskbound.surfaces.cli.plugs import CommandPlace
from taskbound.surfaces.cli.screen import shown
from taskbound.wire.task import ShowTask, TaskDetail

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import TextIO

    from taskbound.core.action import JsonValue
    from taskbound.sdk.client import Client
    from taskbound.surfaces.cli.demo.agent import Answered
    from taskbound.surfaces.cli.demo.parts import Parts
    from taskbound.surfaces.cli.demo.scene import Scene
    from taskbound.surfaces.cli.plugs import Dependencies
    from taskbound.wire.action import ActionDetail


AGENT: Final = "clerk"
HELPER: Final = "courier"
"""The agent to which a part of the work is handed on."""
PERSON: Final = "you"
APPROVER: Final = "bob"
_PATIENCE: Final = 20.0


@dataclass(slots=True, kw_only=True)
class World:
    """Everything that the steps share."""

    plugs: Dependencies
    parts: Parts
    place: Path
    errors: TextIO
    """Where the standard error of gateways goes."""
    task: str = ""
    """The task that the steps are about."""
    acting: str = AGENT
    """Which agent the next connection is for."""
    commits: tuple[str, ...] = ()
    payroll: tuple[str, ...] = ()
    log: str = ""
    """What the agent read in the repository's log."""
    paid: str = ""
    """Id of the first payment's action."""
    _client: Client | None = None
    _agent: Agent | None = None
    _gateways: int = 0

    @property
    def home(self) -> Path:
        return self.place / "home"

    @property
    def repository(self) -> Path:
        return self.place / "work" / "repo"

    @property
    def private(self) -> Path:
        return self.place / "private" / "payroll"

    @property
    def ledger(self) -> Path:
        return self.place / "payments.db"

    @property
    def monitor(self) -> Path:
        return self.place / "monitor.jsonl"

    @property
    def variant(self) -> Path:
        return self.place / "variant"

    @property
    def late(self) -> Path:
        """Return the file with the delay of `pay` in seconds."""
        return self.place / "late"

    def key_of(self, person: str) -> Path:
        return self.place / "keys" / person

    @property
    def client(self) -> Client:
        if self._client is None:
            self._client = self.plugs.connect(CommandPlace(home=self.home), "default", "cli")
        return self._client

    @property
    def watch(self) -> Watch:
        return Watch(self.client)

    @property
    def gateway(self) -> tuple[str, ...]:
        return (*self.plugs.command(), "gateway", "--agent", self.acting, "--home", str(self.home))

    async def connect(self) -> Agent:
        if self._agent is None:
            self._gateways += 1
            note = self.place / f"gateway-{self._gateways}.pid"
            agent = Agent(self.gateway, note=note, errors=self.errors)
            await agent.open()
            self._agent = agent
        return self._agent

    async def disconnect(self) -> None:
        agent, self._agent = self._agent, None
        if agent is not None:
            await agent.close()

    def books(self) -> Ledger:
        return read_books(self.parts, self.ledger)

    async def until_paid(self, reference: str) -> None:
        end = time.monotonic() + _PATIENCE
        while not (await asyncio.to_thread(self.books)).named(reference):
            if time.monotonic() > end:
                raise TimeoutError("the payment did not reach the ledger")
            await asyncio.sleep(0.05)

    def left(self, limit: str) -> tuple[int, int]:
        detail = self.client.ask(ShowTask(task=self.task), TaskDetail)
        return next((left, whole) for name, left, whole in detail.remainders if name == limit)

    def end_daemon(self, how: signal.Signals = signal.SIGTERM) -> int:
        client, self._client = self.client, None
        return end_daemon(client, how)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        try:
            self._client = self.plugs.connect(CommandPlace(home=self.home, autostart=False), "default", "cli")
        except TaskboundError:
            return
        self.end_daemon()

    # --- one call --------------------------------------------------------------------------------

    async def call(
        self, scene: Scene, tool: str, arguments: dict[str, JsonValue], *, key: str = ""
    ) -> tuple[Tried, Answered]:
        scene.trying(tool, words_of(arguments.items()) + (f" (key {key})" if key else ""))
        agent = await self.connect()
        before = self.watch.newest()
        answer = await agent.call(tool, arguments, key=key)
        found = self.watch.since(before)
        scene.require(f"`{tool}` was decided once, not {len(found)} times", holds=len(found) == 1)
        (detail,) = found
        asked = canonical(dict(arguments)).decode()
        scene.require("what was decided is what was asked for", holds=detail.arguments == asked)
        return scene.tried(tried_of(detail, answer.text)), answer


def tried_of(detail: ActionDetail, told: str) -> Tried:
    return Tried(
        tool=detail.row.tool,
        arguments=detail.arguments,
        decision=detail.row.decision,
        code=detail.row.code,
        reasons=tuple(one.text for one in detail.reasons),
        grant=detail.grant,
        policies=detail.policies,
        action=detail.row.action,
        state=detail.row.state,
        told=told,
    )


def words_of(arguments: Iterable[tuple[str, JsonValue]]) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in arguments)


def _value(value: JsonValue) -> str:
    return f'"{shown(value)}"' if isinstance(value, str) else canonical(value).decode()
