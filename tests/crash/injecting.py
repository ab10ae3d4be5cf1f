"""A server that is filled for a task, with all that takes part in it, killed at a step or whenever.

1. The egress speaks to the daemon over a way that is held or cut off at a word. What is not killed there
   hears on: only a lost process cuts.
2. The server stops at its own steps (`tests.peers.clerk`), and goes on once whoever is to be killed is. It
   does not end because nobody speaks to it any more.
3. What is left is asked of the database and of `/proc`, and compared with the rows.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from taskbound.adapters.upstream.mcp.probe import probe_command
from taskbound.core.credential import LIVE, CredentialState, name_of
from taskbound.core.tool import parse_slot
from taskbound.wire.approval import ApprovalLimits, LimitApprovals
from taskbound.wire.connection import Done
from taskbound.wire.identity import SetCeiling
from taskbound.wire.target import RevokeCredentials
from taskbound.wire.task import EndTask, PauseTask, ResumeTask, StartTask, TaskDetail
from taskbound.wire.tool import AddUpstream
from tests.crash.grounds import on_database
from tests.crash.minting import Minting, minting_at
from tests.peers.calling import Calling
from tests.peers.cutting import Cutting, How
from tests.wiring.broking import TOOL, raw, roles
from tests.wiring.running import AGENT, DEADLINE, Running, client, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskbound.core.credential import Credential


CLERK: Final = Path(__file__).parents[1] / "peers" / "clerk.py"
SOURCE: Final = "credential:orders-db/reader?seconds=600"
SCOPE: Final[dict[str, Any]] = {
    "grants": [{"tool": one, "others": "any"} for one in ("clerk__count", "clerk__tell", "clerk__who", TOOL)]
}
_ANSWERS: Final = 10.0
"""Seconds that the daemon takes at most to hand out what it waits for itself."""
_APART: Final = 0.8
"""Seconds: the longest that a kill waits."""
_LOOKS: Final = 25
"""Kills after which all has to be gone."""

Victim = Literal["egress", "gateway", "daemon", "broker", "pair", "server"]
"""A pair is a daemon with its egress, as `taskbound serve` runs them."""
End = Literal["task", "paused", "revoked", "gateway", "server"]
"""Of what an end is: a server is killed, a gateway's client leaves."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody is killed: at a message of one of the ways, or a step of the server."""

    name: str
    way: Literal["egress", "broker", "target", "server"]
    word: bytes
    how: Literal["before", "after"]
    victims: tuple[Victim, ...]
    end: End | None = None
    """Where it is a step of the server's end: by what it ends."""


_ALL: Final[tuple[Victim, ...]] = ("egress", "gateway", "daemon", "broker", "pair")
_HOLDERS: Final[tuple[Victim, ...]] = ("egress", "gateway", "pair")
PLACES: Final = (
    Place("asked", "egress", b"credential:inject", "before", ("egress", "gateway", "pair")),
    Place("permitted", "egress", b"credential:inject", "after", _ALL),
    Place("taking", "egress", b"credential:take", "before", _ALL),
    Place("leased", "broker", b"broker:lease", "after", _HOLDERS),
    Place("minting", "target", b"CREATE ROLE", "before", _HOLDERS),
    Place("minted", "broker", b"broker:minted", "before", _HOLDERS),
    Place("told", "broker", b"broker:minted", "after", _HOLDERS),
    Place("handed", "egress", b"credential:take", "after", _ALL),
    Place("opened", "egress", b"credential:acknowledge", "before", _ALL),
    Place("acknowledged", "egress", b"credential:acknowledge", "after", _ALL),
    Place("seen", "egress", b'"crd_', "before", _ALL),
    Place("starting", "egress", b'"crd_', "after", _ALL),
    Place("started", "server", b"started", "before", (*_ALL, "server")),
    Place("sending", "egress", b"action:permit", "before", _ALL),
    Place("called", "server", b"called", "before", (*_ALL, "server")),
    Place("in", "server", b"in", "before", (*_ALL, "server")),
    Place("end-lost-before", "egress", b"credential:end", "before", _ALL, "server"),
    Place("end-lost-after", "egress", b"credential:end", "after", _ALL, "server"),
    Place("end-left", "server", b"over", "before", ("egress", "daemon", "broker", "pair"), "gateway"),
    Place("end-left-told", "egress", b"credential:end", "before", ("egress", "daemon", "pair"), "gateway"),
    Place("end-task", "broker", b"broker:lease", "before", _ALL, "task"),
    Place("end-task-cut", "target", b"NOLOGIN", "after", _HOLDERS, "task"),
    Place("end-task-gone", "broker", b"broker:gone", "before", ("egress", "daemon", "pair"), "task"),
    Place("end-paused", "broker", b"broker:lease", "before", _ALL, "paused"),
    Place("end-revoked", "broker", b"broker:lease", "after", _ALL, "revoked"),
)


class Steps:
    """Where the server stops at each step until it may go on (rule 2)."""

    def __init__(self, place: Path) -> None:
        """Listen there."""
        self.place = place
        self._word = b""
        self._strike: Callable[[], None] | None = None
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(place))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def at(self, word: bytes, strike: Callable[[], None]) -> None:
        """Strike once, at the next such step."""
        self._word, self._strike = word, strike

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self._listening.accept()
            except OSError:
                return
            with one:
                word = one.recv(64)
                if self._strike is not None and word == self._word:
                    strike, self._strike = self._strike, None
                    strike()

    def close(self) -> None:
        self._listening.close()


@dataclass(slots=True)
class Injecting:
    """What runs, and what was asked for."""

    folder: Path
    minting: Minting
    to_egress: Cutting
    steps: Steps
    egress: Running | None = None
    gateway: Calling | None = None
    task: str = ""
    broken: set[Victim] = field(default_factory=set)
    """Who was killed, and is not there again."""

    # --- processes -------------------------------------------------------------------------------

    @property
    def home(self) -> Path:
        return self.minting.home

    def start_egress(self) -> None:
        told = ("--keys", str(self.folder / "sealing"), "--socket", str(self.folder / "egress.sock"))
        self.egress = Running("egress", *told, "--daemon", str(self.to_egress.path), "--create").__enter__()

    def start_gateway(self) -> Calling:
        environ = {
            **os.environ,
            "TASKBOUND_AUTOSTART": "false",
            "TASKBOUND_EGRESS": str(self.folder / "egress.sock"),
        }
        self.gateway = Calling(self.home, AGENT, environ)
        return self.gateway

    def kill(self, victim: Victim) -> None:
        """End it as a lost machine would."""
        self.broken.add(victim)
        match victim:
            case "egress" | "pair":
                assert self.egress is not None
                self.egress.process.send_signal(signal.SIGKILL)
                if victim == "pair":
                    self.minting.kill("daemon")
            case "gateway":
                if self.gateway is not None:
                    self.gateway.kill()
            case "server":
                for one in self.servers():
                    with suppress(ProcessLookupError):
                        os.kill(one, signal.SIGKILL)
            case _:
                self.minting.kill(victim)

    def bury(self, victim: Victim) -> None:
        """Wait until what was killed is gone, and start another."""
        self.broken.discard(victim)
        if victim in {"egress", "pair"}:
            assert self.egress is not None
            assert self.egress.wait() == -signal.SIGKILL, self.egress.words
        if victim in {"daemon", "pair"}:
            self.minting.bury("daemon")
        if victim in {"egress", "pair"}:
            self.start_egress()
        if victim == "broker":
            self.minting.bury("broker")
        if victim in {"gateway", "daemon", "pair"}:
            self.leave()

    def leave(self) -> None:
        """The agent's gateway is over."""
        if self.gateway is not None:
            self.gateway.close()
            self.gateway = None

    # --- what people and agents do ---------------------------------------------------------------

    def settle_in(self) -> None:
        """The server, pinned with its slots, and an agent that may use it."""
        self.minting.end_task()
        database = self.minting.ground
        slots = [parse_slot(f"environment:{name}={SOURCE}#{name}") for name in ("PGPASSWORD", "PGUSER")]
        environment = {
            "PGDATABASE": "orders",
            "PGHOST": str(database.orders.server.folder),  # type: ignore[attr-defined]  # it is one of a database
            "CLERK_STEPS": str(self.steps.place),
            "CLERK_STAYS": "1",
        }
        spec, seen = probe_command(
            name="clerk",
            command=[sys.executable, str(CLERK)],
            environment=environment,
            directory=str(self.folder),
            secrets=dict.fromkeys(slots),
        )
        raws = tuple(map(msgspec.Raw, seen.definitions))
        with client(self.minting.socket) as one:
            one.ask(AddUpstream(spec=spec, definitions=raws, methods=seen.methods), Done)
            one.ask(SetCeiling(name=AGENT, ceiling=raw(SCOPE)), Done)
            # What a kill left unknown is held when it is asked for again; too many of these pause a task.
            one.ask(LimitApprovals(open=200, hourly=10_000), ApprovalLimits)

    def start_task(self) -> None:
        order = StartTask(agent=AGENT, purpose="to count orders", seconds=3600, scope=raw(SCOPE))
        with client(self.minting.socket) as one:
            self.task = one.ask(order, TaskDetail).row.task

    def end_task(self) -> None:
        task, self.task = self.task, ""
        with client(self.minting.socket) as one:
            one.ask(EndTask(task=task), Done)

    def pause(self) -> None:
        with client(self.minting.socket) as one:
            one.ask(PauseTask(task=self.task), Done)

    def resume(self) -> None:
        with client(self.minting.socket) as one:
            one.ask(ResumeTask(task=self.task), Done)

    def revoke(self) -> None:
        with client(self.minting.socket) as one:
            for row in self.live():
                one.ask_any(RevokeCredentials(credential=row.id))

    def ready(self) -> Calling:
        """A gateway of a task; there is another one where there is none."""
        if not self.task:
            self.leave()
            self.start_task()
        return self.gateway or self.start_gateway()

    def use(self) -> str:
        """A call that has the server log in, answered; the name that the database knows it by."""
        gateway = self.ready()
        found = gateway.text(gateway.call("clerk__who"))
        assert found in roles(self.minting.ground.orders), found  # type: ignore[attr-defined]  # as said above
        return found

    def end(self, how: End) -> None:
        """Let the server end by this."""
        match how:
            case "task":
                self.end_task()
            case "paused":
                self.pause()
            case "revoked":
                self.revoke()
            case "gateway":
                assert self.gateway is not None
                self.gateway.leave()
            case "server":
                for one in self.servers():
                    os.kill(one, signal.SIGKILL)

    # --- what is there ---------------------------------------------------------------------------

    def servers(self) -> list[int]:
        """Processes that are the server of this house."""
        return list(self._filled())

    def _filled(self) -> dict[int, str]:
        """By process: the login that the server was started with."""
        found = {}
        mark = f"CLERK_STEPS={self.steps.place}"
        for one in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                variables = (one / "environ").read_text(encoding="utf-8", errors="replace").split("\0")
                if mark in variables:
                    found[int(one.name)] = next(
                        (each.partition("=")[2] for each in variables if each.startswith("PGUSER=")), ""
                    )
        return found

    def live(self) -> list[Credential]:
        """Rows of credentials that are not being ended."""
        return [one for one in self.minting.rows() if one.state in LIVE]

    def is_answered_for(self) -> bool:
        """Whether each server has what somebody answers for, and each credential its server."""
        rows = {name_of(self.minting.mark, one.id): one for one in self.minting.rows()}
        live = {name for name, one in rows.items() if one.state in LIVE}
        ended = all(one.state in {CredentialState.REVOKED, CredentialState.ACTIVE} for one in rows.values())
        return ended and set(self._filled().values()) == live == self.minting.ground.names()

    def is_over(self) -> bool:
        """Whether nothing is left at all."""
        return self.is_answered_for() and not self.servers()

    def require_over(self) -> None:
        """End the task, and require that all is gone."""
        if self.task:
            self.end_task()
        self.leave()
        until(self.is_over, "every credential is revoked, gone, and no server has one")
        self.minting.require_journaled()

    # --- a kill ----------------------------------------------------------------------------------

    def strike(self, place: Place, victim: Victim) -> None:
        """Let it come to this place, kill there, start what was killed anew, and see what is left."""
        gateway = self.ready()
        if place.end is not None:
            self.use()
        else:
            until(self.is_over, "nothing of before is under way")
        struck = threading.Event()

        def strike() -> None:
            self.kill(victim)
            struck.set()

        if place.way == "server":
            self.steps.at(place.word, strike)
        else:
            ways = {"egress": self.to_egress, "broker": self.minting.to_daemon}
            way = ways.get(place.way) or self.minting.ground.ways["target"]
            way.at(place.word, self._how(place, victim), strike)
        if place.end is None:
            gateway.call("clerk__who")
        else:
            self.end(place.end)
        assert struck.wait(DEADLINE), f"{place.name} was never reached"
        self.bury(victim)
        if place.end == "gateway":
            self.leave()
        self.minting.require_journaled()
        until(self.is_answered_for, f"all is answered for after {place.name} of {victim}")
        if place.end == "paused":
            self.resume()
        if self.servers():  # it went on, as it may where a broker was killed
            self.leave()

    def hang_until(self, end: Callable[[], None]) -> None:
        """Have the server started and hang there until it is ended by what this does."""
        began, over = threading.Event(), threading.Event()

        def hang() -> None:
            began.set()
            over.wait(DEADLINE)

        self.steps.at(b"started", hang)
        self.ready().call("clerk__who")
        try:
            assert began.wait(DEADLINE), "the server was never started"
            end()
            until(lambda: not self.servers(), "the server that hangs is ended")
        finally:
            over.set()

    def _how(self, place: Place, victim: Victim) -> How:
        """Whoever speaks there is cut off if it is killed, and goes on else (rule 1)."""
        speaks = {"egress": {"egress", "pair"}, "broker": {"broker"}}.get(place.way, {"broker"})
        if victim in speaks:
            return place.how
        return "held" if place.how == "before" else "answered"

    def kill_at_random(self, count: int, seed: int) -> int:
        """So many kills of what chance names, whenever it does; how many credentials there were."""
        chance, pause = random.Random(seed), threading.Event()  # noqa: S311 - nothing is kept secret by it
        victims: tuple[Victim, ...] = ("egress", "egress", "gateway", "daemon", "broker", "pair", "server")
        ends: tuple[End, ...] = ("task", "paused", "revoked", "gateway", "server")
        for number in range(1, count + 1):
            self.ready().call("clerk__who")
            pause.wait(chance.random() * _APART)
            if chance.random() < 0.5:
                how = chance.choice(ends)
                self.end(how)
                pause.wait(chance.random() * _APART / 4)
            else:
                how = None
            victim = chance.choice(victims)
            self.kill(victim)
            self.bury(victim)
            if how == "paused":
                self.resume()
            elif how == "gateway":
                self.leave()
            self.minting.require_journaled()
            if number % _LOOKS == 0 or number == count:
                self.require_over()
                self.use()
        self.require_over()
        return len(self.minting.rows())

    def close(self) -> None:
        self.leave()
        self.steps.close()
        if self.egress is not None and self.egress.process.poll() is None:
            self.egress.end()


@contextmanager
def injecting_at(folder: Path) -> Iterator[Injecting]:
    """All of it, settled in, for the length of the context."""
    with ExitStack() as over:
        flags = ("--egress", str(os.geteuid()))
        minting = over.enter_context(minting_at(folder, on_database, flags))
        (folder / "e").mkdir(mode=0o700)
        way = over.enter_context(Cutting(folder / "e", folder / "home" / "run", "daemon.sock"))
        way.patience = _ANSWERS
        found = Injecting(folder, minting, way, Steps(folder / "steps"))
        over.callback(found.close)
        found.start_egress()
        found.settle_in()
        yield found
