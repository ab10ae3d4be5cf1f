"""A daemon, its broker and a system in which it mints, with ways between them at which any is killed."""

from __future__ import annotations

import os
import random
import signal
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from taskbound.adapters.store.sql import SqlReader
from taskbound.core.clock import seconds
from taskbound.core.credential import NEVER, CredentialState, lost_until, name_of
from taskbound.ports.target import Minted
from taskbound.wire.connection import Done
from taskbound.wire.identity import RegisterPerson
from taskbound.wire.target import ListTargets, TargetRows
from taskbound.wire.task import EndTask, StartTask, TaskDetail
from tests.crash.grounds import Ground, Part
from tests.crash.tokens import Nameless
from tests.peers.cutting import Cutting, How
from tests.wiring.broking import Askers, Got, declare, key_of, raw, settle_agent
from tests.wiring.running import AGENT, DEADLINE, Running, client, daemon, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from taskbound.core.credential import Credential


GONE: Final = frozenset({CredentialState.REVOKED})
_ENDS: Final = 0.3
"""How likely it is that the task ends before a kill."""
_APART: Final = 0.8
"""Seconds: the longest that a kill waits."""
_LOOKS: Final = 50
"""Kills after which all has to be gone."""
_LATER: Final = 500
"""Seconds that a renewal asks for, and some more; whoever asks for a new credential asks for fewer."""


Victim = Literal["broker", "daemon", "asker"] | Part
"""The system is what the broker has in the target or speaks to: its connections to a database, its helper on
a host, an OpenBao, the servers of a Redis."""


@dataclass(frozen=True, slots=True)
class Point:
    """Where a process is killed: at a message of the broker's, before it arrives or once it was answered.

    A program that asks is killed where it is when it has heard of its permit, or of the secret (`word`). At a
    step of the system itself, `word` is that step (`Ground.stop_at`).
    """

    name: str
    """With the number that the fault matrix has for it."""
    way: Literal["target", "engine", "seen", "daemon", "asker", "step"]
    word: bytes
    how: How
    during: Literal["mint", "renew", "revoke"]
    victim: Victim = "broker"
    times: int = 1
    loses: Literal["always", "never", "perhaps"] = "never"
    """Whether nobody can end what was minted, where that has no name of ours.

    Perhaps is where the processes race.
    """
    alone: bool = False
    """Whether all of before has to be gone first: calls of another course have this word too."""


@dataclass(slots=True)
class Minting:
    """What runs, and what was asked for."""

    folder: Path
    ground: Ground
    to_daemon: Cutting
    daemon: Running
    broker: Running | None = None
    asker: Askers | None = None
    left: list[Askers] = field(default_factory=list)
    """Programs that wait for what nobody will say."""
    asked: list[Got] = field(default_factory=list)
    """What is not known yet to be minted."""
    had: list[str] = field(default_factory=list)
    """Ids of what the task was handed."""
    renewing: list[Got] = field(default_factory=list)
    """What is not known yet to live longer."""
    renewed: int = 0
    lost: int = 0
    """Kills so far after which nobody can end what was minted."""
    perhaps: int = 0
    """Kills so far of which that is not known."""
    task: str = ""
    number: int = 0
    flags: tuple[str, ...] = ()
    """What the daemon is told beside."""

    # --- processes -------------------------------------------------------------------------------

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def start_broker(self) -> None:
        keys, listens = self.folder / "keys", self.folder / "broker.sock"
        told = ("--daemon", str(self.to_daemon.path), "--database", str(self.home / "taskbound.db"))
        self.broker = Running(
            "broker", "--keys", str(keys), "--socket", str(listens), *told, "--create"
        ).__enter__()

    def start_daemon(self) -> None:
        self.daemon = _daemon(self.home, self.flags).__enter__()

    def kill(self, victim: Victim) -> None:
        """End it as a lost machine would."""
        match victim:
            case "asker":
                if self.asker is not None:
                    self.asker.kill()
            case "broker" | "daemon":
                process = self.daemon if victim == "daemon" else self.broker
                assert process is not None
                process.process.send_signal(signal.SIGKILL)
            case _:
                self.ground.kill(victim)

    def bury(self, victim: Victim) -> None:
        """Wait until what was killed is gone, and start another."""
        match victim:
            case "broker" | "daemon":
                self._leave_asker()
                self._start_anew(victim)
            case "asker":
                self._leave_asker()
            case _:
                self.ground.bring_back(victim)

    def _leave_asker(self) -> None:
        if self.asker is not None:
            self.left.append(self.asker)
            self.asker = None

    def _start_anew(self, victim: Literal["broker", "daemon"]) -> None:
        process = self.daemon if victim == "daemon" else self.broker
        assert process is not None
        assert process.wait() == -signal.SIGKILL, process.words
        if victim == "daemon":
            self.start_daemon()
        else:
            self.start_broker()

    # --- what people and agents do ---------------------------------------------------------------

    def settle_in(self) -> None:
        """A person, the target once it is ready, an agent that may have its credentials, and a task."""
        with client(self.socket) as one:
            one.ask(RegisterPerson(name="alice", uid=os.geteuid()), Done)

            def ready() -> bool:
                rows = one.ask(ListTargets(), TargetRows).rows
                assert "refused" not in [row.state for row in rows], [row.trouble for row in rows]
                return {row.state for row in rows} == {"ready"}

            for target in (*self.ground.beside, self.ground.declared):
                declare(one, target, key_of(self.folder / "broker.sock"))
                until(ready, "the target is ready")
        settle_agent(self.socket, self.folder / "monitor", scope=self.ground.declared.scope)
        self.start_task()

    def start_task(self) -> None:
        scope = raw(self.ground.declared.scope)
        order = StartTask(agent=AGENT, purpose="to see what is left", seconds=3600, scope=scope)
        with client(self.socket) as one:
            self.task = one.ask(order, TaskDetail).row.task

    def end_task(self) -> None:
        self.had.clear()
        with client(self.socket) as one:
            one.ask(EndTask(task=self.task), Done)

    def request(self, dies: str = "") -> Got:
        """What the agent's program hears of one more request; it dies on its way where that is said."""
        if self.asker is None:
            self.asker = Askers(self.socket, tool=self.ground.declared.tool)
        self.number += 1
        seconds = 300 + self.number % 200  # so that none is a repeat of one whose outcome is unknown
        self.asked.append(self.asker.get(dies=dies, seconds=seconds))
        return self.asked[-1]

    def renew(self, credential: str) -> Got:
        """What the agent's program hears of a longer life of what it has."""
        assert self.asker is not None
        self.number += 1
        return self.asker.get(renews=credential, seconds=_LATER + self.number % 100)

    def hold(self) -> None:
        """Open a session with each credential that was handed out meanwhile, and see what lives longer."""
        asked, self.asked = self.asked, []
        for got in asked:
            found = got.over()
            if found is None:
                self.asked.append(got)
            elif "credential" in found:
                self.had.append(found["credential"])
                self.ground.hold(Minted(open=found["open"], secret=found["secret"]))
        told = [(one, one.over()) for one in self.renewing]
        self.renewing = [one for one, found in told if found is None]
        self.renewed += len([found for _, found in told if found is not None and "renewed" in found])

    @property
    def socket(self) -> Path:
        return self.home / "run" / "daemon.sock"

    # --- what is there ---------------------------------------------------------------------------

    def rows(self) -> list[Credential]:
        """What the store has, the newest first."""
        with self._reading.read() as seen:
            return list(seen.credentials.credentials("default", limit=100_000))

    @property
    def mark(self) -> str:
        """What names of this installation have in them."""
        with self._reading.read() as seen:
            return seen.targets.mark()

    def require_journaled(self) -> None:
        """I-01: nothing is in the target that has no row, nor more than there are rows that may be of it."""
        with self._reading.read() as seen:
            before = seen.credentials.credentials("default", limit=100_000)
        found = self.ground.names()
        lives = self.ground.live() if isinstance(self.ground, Nameless) else []
        with self._reading.read() as seen:
            mark = seen.targets.mark()
            rows = seen.credentials.credentials("default", limit=100_000)
        assert found <= {name_of(mark, one.id) for one in rows}
        assert len(lives) <= len(rows) - len([one for one in before if one.state in GONE])

    @property
    def _reading(self) -> SqlReader:
        return SqlReader(self.home / "taskbound.db")

    def gone(self) -> bool:
        """Whether nothing is in the target, and each row says so; or until when what nobody can end is."""
        rows = [one for one in self.rows() if one.state not in GONE]
        if not isinstance(self.ground, Nameless):
            return not self.ground.names() and not rows
        if {one.state for one in rows} - {CredentialState.UNSUPPORTED}:
            return False
        lives = self.ground.live()
        if len(lives) > len(rows):
            return False
        self._require_lost(rows, lives, self.ground.lasts)
        return True

    def left_behind(self) -> int:
        """How many nobody can end."""
        return len([one for one in self.rows() if one.state is CredentialState.UNSUPPORTED])

    def _require_lost(self, rows: list[Credential], lives: list[int], lasts: int) -> None:
        """Of what was lost: nobody had it, nothing lives longer than is said of it, and it is no more.

        The first to end in the target is the first of which that is said, at the latest.
        """
        for one in rows:
            assert (one.shown, one.kept, one.ends) == (NEVER, "", lost_until(one, lasts)), one
        said = sorted(one.ends for one in rows)
        latest = said[len(said) - len(lives) :]
        assert all(seconds(ends) <= until for ends, until in zip(lives, latest, strict=True))
        assert self.lost <= len(rows) <= self.lost + self.perhaps

    def require_over(self) -> None:
        """Require that all is gone, and that nobody who was ever let in is in, or gets in."""
        until(self.gone, "all that was minted is gone, and each row says so")
        self.ground.require_over()

    # --- a kill ----------------------------------------------------------------------------------

    def strike(self, point: Point) -> None:
        """Let it come to this point, kill there, and start what was killed anew."""
        if point.alone or isinstance(self.ground, Nameless):  # what is lost is counted
            self.end_task()
            until(self.gone, "nothing of before is under way")
            self.start_task()
        if point.way == "asker":
            self.request(dies=point.word.decode())
            assert self.asker is not None
            assert self.asker.wait() == -signal.SIGKILL
            self.bury("asker")
            self.require_journaled()
            return
        struck = threading.Event()
        self.lost += point.loses == "always"
        self.perhaps += point.loses == "perhaps"

        def strike() -> None:
            self.kill(point.victim)
            struck.set()

        credential = ""
        if point.during != "mint":
            credential, minted = self.request().minted()
            self.ground.hold(minted)
        with ExitStack() as over:
            if point.way == "step":
                over.enter_context(self.ground.stop_at(point.word.decode(), strike))
            else:
                way = self.to_daemon if point.way == "daemon" else self.ground.ways[point.way]
                way.at(point.word, point.how, strike, times=point.times)
            if point.during == "revoke":
                self.end_task()
            elif point.during == "renew":
                self.renew(credential)
            else:
                self.request()
            assert struck.wait(DEADLINE), f"{point.name} was never reached"
        self.bury(point.victim)
        self.require_journaled()
        if point.during == "revoke":
            self.start_task()

    def kill_at_random(self, count: int, seed: int) -> int:
        """So many kills of what chance names, whenever it does; how many credentials there were.

        Everything is looked at every so many kills: all that was minted has to be gone by then.
        """
        chance, pause = random.Random(seed), threading.Event()  # noqa: S311 - nothing is kept secret by it
        victims: tuple[Victim, ...] = ("broker", "broker", "daemon", "asker", *self.ground.parts)
        for number in range(1, count + 1):
            if number % 3 == 0 or self.asker is None:
                self.request()
            if chance.random() < _ENDS:
                self.end_task()
                self.start_task()
            elif self.ground.renews and self.had and self.asker is not None:
                self.renewing.append(self.renew(chance.choice(self.had)))
            pause.wait(chance.random() * _APART)
            self.hold()
            victim = chance.choice(victims)
            self.kill(victim)
            self.perhaps += 1
            self.bury(victim)
            self.require_journaled()
            if number % _LOOKS == 0 or number == count:
                self.end_task()
                self.require_over()
                self.forget()
                self.start_task()
        return len(self.rows())

    def forget(self) -> None:
        """End the programs that wait."""
        for one in self.left:
            one.close()
        self.left.clear()
        self.asked.clear()
        self.renewing.clear()

    def close(self) -> None:
        if self.asker is not None:
            self.left.append(self.asker)
        self.forget()
        for one in (self.broker, self.daemon):
            if one is not None and one.process.poll() is None:
                one.end()


def _daemon(home: Path, flags: tuple[str, ...]) -> Running:
    return daemon(home, "--broker", str(os.geteuid()), *flags)


@contextmanager
def minting_at(
    folder: Path, ground: Callable[[Path], AbstractContextManager[Ground]], flags: tuple[str, ...] = ()
) -> Iterator[Minting]:
    """All of it, settled in, for the length of the context; the daemon is told these flags too."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    for name in ("w", "p"):
        (folder / name).mkdir(mode=0o700)
    with (
        ground(folder / "p") as system,
        Cutting(folder / "w", home / "run", "daemon.sock") as to_daemon,
    ):
        found = Minting(folder, system, to_daemon, _daemon(home, flags).__enter__(), flags=flags)
        try:
            found.start_broker()
            found.settle_in()
            yield found
        finally:
            found.close()
