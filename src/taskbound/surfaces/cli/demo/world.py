"""The demo's world: where everything is, and how the agent's calls and the daemon's decisions meet.

<place>/
    home/            the data directory: database, keys, sockets, log of the daemon
    work/repo/       the repository that the task is about
    private/payroll/ one that it is not about
    payments.db      the ledger
    monitor.jsonl    what the agent's monitor was brought
    keys/            what the demo's people sign with
    variant, late    what makes the payments server change its tools, or answer late
"""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.surfaces.cli.demo.agent import Agent
from taskbound.surfaces.cli.demo.books import Books, read_books
from taskbound.surfaces.cli.demo.report import Tried
from taskbound.surfaces.cli.demo.watching import Watch, end_daemon
from taskbound.surfaces.cli.plugs import Place
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
    from taskbound.surfaces.cli.plugs import Plugs
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

    plugs: Plugs
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
        """The data directory."""
        return self.place / "home"

    @property
    def repository(self) -> Path:
        """The repository that the task is about."""
        return self.place / "work" / "repo"

    @property
    def private(self) -> Path:
        """The repository that it is not about."""
        return self.place / "private" / "payroll"

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.place / "payments.db"

    @property
    def monitor(self) -> Path:
        """The file that the agent's monitor writes."""
        return self.place / "monitor.jsonl"

    @property
    def variant(self) -> Path:
        """The file that says which definitions the payments server shows."""
        return self.place / "variant"

    @property
    def late(self) -> Path:
        """The file that says how many seconds an answer of `pay` waits."""
        return self.place / "late"

    def key_of(self, person: str) -> Path:
        """The file of a person's key."""
        return self.place / "keys" / person

    @property
    def client(self) -> Client:
        """The person's connection to the daemon, which is started if need be."""
        if self._client is None:
            self._client = self.plugs.connect(Place(home=self.home), "default", "cli")
        return self._client

    @property
    def watch(self) -> Watch:
        """What the daemon knows."""
        return Watch(self.client)

    @property
    def gateway(self) -> tuple[str, ...]:
        """The command line of a gateway, as it stands in an MCP client's configuration."""
        return (*self.plugs.command(), "gateway", "--agent", self.acting, "--home", str(self.home))

    async def connect(self) -> Agent:
        """The agent's connection through a gateway, made unless there is one."""
        if self._agent is None:
            self._gateways += 1
            note = self.place / f"gateway-{self._gateways}.pid"
            agent = Agent(self.gateway, note=note, errors=self.errors)
            await agent.open()
            self._agent = agent
        return self._agent

    async def disconnect(self) -> None:
        """End the agent's connection and its gateway."""
        agent, self._agent = self._agent, None
        if agent is not None:
            await agent.close()

    def books(self) -> Books:
        """What the ledger holds now."""
        return read_books(self.parts, self.ledger)

    async def until_paid(self, reference: str) -> None:
        """Wait until the ledger has the payment.

        Raises:
            TimeoutError: It does not come.
        """
        end = time.monotonic() + _PATIENCE
        while not (await asyncio.to_thread(self.books)).named(reference):
            if time.monotonic() > end:
                raise TimeoutError("the payment did not reach the ledger")
            await asyncio.sleep(0.05)

    def left(self, limit: str) -> tuple[int, int]:
        """What is left of one of the task's limits, and what it was at first."""
        detail = self.client.ask(ShowTask(task=self.task), TaskDetail)
        return next((left, whole) for name, left, whole in detail.remainders if name == limit)

    def end_daemon(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the daemon with a signal; the next one who asks starts another. Its process id."""
        client, self._client = self.client, None
        return end_daemon(client, how)

    def close(self) -> None:
        """End the daemon, if there is one."""
        if self._client is not None:
            self._client.close()
        try:
            self._client = self.plugs.connect(Place(home=self.home, autostart=False), "default", "cli")
        except TaskboundError:
            return
        self.end_daemon()

    # --- one call --------------------------------------------------------------------------------

    async def call(
        self, scene: Scene, tool: str, arguments: dict[str, JsonValue], *, key: str = ""
    ) -> tuple[Tried, Answered]:
        """Let the agent call a tool; what the daemon decided, and what the agent was answered.

        Raises:
            StepFailedError: The daemon has no decision, or another number of them than one.
        """
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
    """One action as the daemon tells of it."""
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
    """Every argument, for a person to read at a glance; the text of strings is escaped."""
    return " ".join(f"{name}={_value(value)}" for name, value in arguments)


def _value(value: JsonValue) -> str:
    return f'"{shown(value)}"' if isinstance(value, str) else canonical(value).decode()
