"""Generated histories, lived by two daemons over each engine: both answer and record the same."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.sql import SqlStore
from taskbound.core.clock import Instant
from taskbound.core.errors import TaskboundError
from taskbound.core.identity import AgentState
from taskbound.core.task import ENDED, TaskEvent, TaskState
from taskbound.core.transition import WrongStateError
from taskbound.flows.decision.usable import NotDecided
from taskbound.flows.revocation import stop
from tests.world import ANN, SCOPE, World, WorldChance, WorldClock, code_of, id_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.task import Task
    from taskbound.flows.approval.look import NeedsProbe
    from taskbound.flows.decision import Answer
    from taskbound.ports.store import Store
    from tests.postgres import Server


Form: TypeAlias = "dict[str, Any]"
Done: TypeAlias = "tuple[str, tuple[Any, ...]]"
"""What is done, and with what; tasks and actions are named by their number in the history."""
Asked: TypeAlias = "tuple[int, str, Form | bytes, str, str, str]"
"""A task, a tool, arguments, a connection, the name of the request, and a key."""

HISTORIES: Final = 25
"""So many are lived over one database of each engine before their records are compared."""
POLICY: Final = (
    base_bundle()
    + """
@id("large") @hold("confirm")
forbid (principal, action == Taskbound::Action::"bank__pay", resource)
when { context.arguments.amount.greaterThan(decimal("30.0")) };
"""
)
SCOPES: Final[tuple[Form, ...]] = (
    SCOPE,
    {"grants": [{"tool": "bank__pay", "others": "any", "uses": 1}]},
    {"grants": [{"tool": "bank__look", "others": "any", "rate": [{"uses": 2, "seconds": 60}]}]},
    {
        "grants": [
            {
                "tool": "bank__pay",
                "arguments": {"to": {"equals": "bob"}, "amount": {"any": True}},
                "total": {"amount": {"limit": 2500, "exponent": 2}},
            },
            {
                "tool": "bank__pay",
                "arguments": {"to": {"any": True}, "amount": {"range": {"max": 5}}},
                "uses": 2,
            },
            {"tool": "bank__look", "others": "any", "uses": 3, "rate": [{"uses": 1, "seconds": 10}]},
        ]
    },
)
CALLS: Final[tuple[tuple[str, Form | bytes], ...]] = (
    ("bank__pay", {"to": "bob", "amount": 10}),
    ("bank__pay", {"to": "bob", "amount": 10}),
    ("bank__pay", {"to": "bob", "amount": 0.5}),
    ("bank__pay", {"to": "eve", "amount": 5}),
    ("bank__pay", {"to": "bob", "amount": 40, "note": ""}),
    ("bank__pay", {"to": "mallory", "amount": 1}),
    ("bank__pay", {"to": "bob", "amount": 0.001}),
    ("bank__look", {"path": "/srv/a"}),
    ("bank__look", {"path": "/srv/\u00e9"}),
    ("bank__look", {"path": "/srv/../etc"}),
    ("bank__look", {}),
    ("bank__burn", {}),
    ("bank__pay", b'{"to":"bob","to":"eve"}'),
)


WEIGHTS: Final = {
    "ask": 14,
    "tell": 4,
    "start": 2,
    "wait": 2,
    "late": 1,
    "child": 1,
    "pause": 1,
    "resume": 1,
    "end": 1,
    "stop": 1,
    "lose": 1,
    "suspend": 0.3,
}


def history(chance: Random) -> list[Done]:
    """What two daemons are asked, one after the other."""
    asked: list[Asked] = []
    done: list[Done] = [("start", (0, chance.choice(SCOPES), chance.choice((60, 3600))))]
    words = chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=chance.randint(4, 12))
    return [*done, *((what, (chance.randrange(2), *_given(what, chance, asked))) for what in words)]


def _given(what: str, chance: Random, asked: list[Asked]) -> tuple[Any, ...]:
    given: tuple[Any, ...] = ()
    match what:
        case "ask":
            some = [_call(chance, asked) for _ in range(chance.choice((1, 1, 1, 2, 3, 6)))]
            asked += some
            given = (some,)
        case "tell":
            word = chance.choice(("succeeded", "succeeded", "failed", "unknown", "odd"))
            given = (chance.randrange(8), word, chance.choice("ab"))
        case "start":
            given = (chance.choice(SCOPES), chance.choice((1, 60, 3600)))
        case "wait":
            given = (chance.choice((1, 9, 30, 60, 61)),)
        case "late":
            given = (chance.choice((61, 61, 3601)),)
        case "child":
            given = (chance.randrange(4), chance.choice(SCOPES))
        case "pause" | "resume":
            given = (chance.randrange(4),)
        case "end":
            given = (chance.randrange(4), chance.choice((TaskEvent.COMPLETE, TaskEvent.REVOKE)))
        case "stop":
            given = (chance.random() < 1 / 2,)
        case "lose":
            given = (chance.choice("ab"),)
    return given


def _call(chance: Random, asked: list[Asked]) -> Asked:
    """A call, or one of before once more."""
    if asked and chance.random() < 1 / 6:
        return chance.choice(asked)
    tool, arguments = chance.choice(CALLS)
    request = str(chance.randrange(30))
    key = chance.choice(("", "", "", "k"))
    return (chance.randrange(4), tool, arguments, f"con_{chance.choice('ab')}", request, key)


class StepClock(WorldClock):
    """A clock that stands still within a step: a store may run a transaction's work twice, and one that does
    asks twice what time it is.
    """

    def now(self) -> Instant:
        """The instant of the step."""
        return Instant(self.at)


@dataclass
class Daemons:
    """Two daemons that share a store, a clock and an order of names."""

    first: World
    second: World
    answers: list[Form] = field(default_factory=list)
    """What the last history's calls came to, without names (`compare_daemons`)."""

    @classmethod
    def of(cls, one: Store, other: Store) -> Daemons:
        """Over two handles of one store, with ann, her agent and the bank there."""
        clock, names = StepClock(), WorldChance()
        first, second = (
            World(store=store, policy=POLICY, clock=clock, chance=names) for store in (one, other)
        )
        first.settle_in()
        return cls(first, second)

    def live(self, told: list[Done], number: int) -> tuple[list[object], Counter[str]]:
        """What everything came to, with what is left in the end; then all is as it was."""
        self._tasks: list[Task] = []
        self._actions: list[str] = []
        self._codes: Counter[str] = Counter()
        self.answers: list[Form] = []
        self._number = number
        came: list[object] = []
        for what, (daemon, *given) in told:
            world = self.second if daemon else self.first
            world.clock.at += 1
            try:
                came.append(getattr(self, f"_{what}")(world, *given))
            except TaskboundError as error:
                came.append((error.code, error.message))
        came.append([self.first.left(task) for task in self._tasks])
        self._tidy()
        return came, self._codes

    def _start(self, world: World, scope: Form, seconds: int) -> object:
        self._tasks.append(world.start(scope=scope, seconds=seconds))
        return self._tasks[-1]

    def _child(self, world: World, parent: int, scope: Form) -> object:
        self._tasks.append(world.child(self._task(parent), scope=scope))
        return self._tasks[-1]

    def _ask(self, world: World, some: list[Asked]) -> object:
        calls = [
            world.call(
                self._task(task),
                tool,
                arguments,
                connection=f"{connection}{self._number}",
                request=request,
                key=key,
            )
            for task, tool, arguments, connection, request, key in some
        ]
        answers = world.decisions.decide(calls)
        self._codes.update(map(code_of, answers))
        self.answers += map(_plainly, answers)
        self._actions += [id_of(one) for one in answers if not isinstance(one, NotDecided)]
        return answers

    def _tell(self, world: World, action: int, word: str, connection: str) -> object:
        name = self._actions[action % len(self._actions)] if self._actions else "act_none"
        return world.tell(name, word, connection=f"con_{connection}{self._number}")

    def _pause(self, world: World, task: int) -> object:
        return world.tasks.pause("default", self._task(task).id, ANN, reason="r")

    def _resume(self, world: World, task: int) -> object:
        return world.tasks.resume("default", self._task(task).id, ANN)

    def _end(self, world: World, task: int, event: TaskEvent) -> object:
        return world.tasks.end("default", self._task(task).id, event, ANN, reason="r")

    def _stop(self, world: World, stopped: bool) -> object:  # noqa: FBT001 - given by its place, as all are
        return stop(world.adapters, "default", stopped=stopped, reason="r", actor=ANN)

    def _wait(self, world: World, seconds: int) -> None:
        world.clock.advance(seconds)

    def _late(self, world: World, seconds: int) -> object:
        world.clock.advance(seconds)
        return world.tasks.expire()

    def _lose(self, world: World, connection: str) -> object:
        return world.outcomes.lose("default", connection=f"con_{connection}{self._number}", reason="r")

    def _suspend(self, world: World) -> object:
        return world.agents.suspend("default", "coder", ANN, reason="r")

    def _task(self, number: int) -> Task:
        return self._tasks[number % len(self._tasks)]

    def _tidy(self) -> None:
        """End what runs, lift the switch and wake the agent, for the next history."""
        stop(self.second.adapters, "default", stopped=False, reason="r", actor=ANN)
        with self.first.store.read() as seen:
            live = seen.tasks.tasks("default", states=set(TaskState) - ENDED, limit=1_000)
            agent = seen.identities.agent("default", "coder")
        for task in live:
            with suppress(WrongStateError):  # it ended with another one
                self.second.tasks.end("default", task.id, TaskEvent.REVOKE, ANN, reason="r")
        if agent is not None and agent.state is AgentState.SUSPENDED:
            agents, messages = self.second.agents, self.second.monitor.messages
            agents.test_monitor("default", "coder", ANN)
            agents.acknowledge("default", "coder", messages[-1]["code"], ANN)
            agents.activate("default", "coder", ANN)


@contextmanager
def engines(server: Server) -> Iterator[dict[str, Daemons]]:
    """Two daemons over an empty database of each engine."""
    with ExitStack() as kept:
        folder = Path(tempfile.mkdtemp(prefix="taskbound-", dir=server.folder.parent))
        kept.callback(shutil.rmtree, folder)
        files = [SqlStore(folder / "t.db", reserve=0) for _ in range(2)]
        shared = server.database()
        kept.callback(server.drop, shared)
        rows = [PostgresStore(server.url(shared)) for _ in range(2)]
        opened: list[Store] = [*files, *rows]
        for store in opened:
            kept.callback(store.close)
        yield {
            "sqlite": Daemons.of(files[0], files[1]),
            "postgres": Daemons.of(rows[0], rows[1]),
        }


def compare(server: Server, seed: str, count: int) -> Counter[str]:
    """Live so many histories over both engines; what the decisions were.

    Raises:
        AssertionError: The engines answer or record something differently.
    """
    codes: Counter[str] = Counter()
    with engines(server) as daemons_of:
        for number in range(count):
            told = history(Random(f"{seed}:{number}"))  # noqa: S311 - a course of events that can be repeated
            lived = {name: daemons.live(told, number) for name, daemons in daemons_of.items()}
            (sqlite, decided), (postgres, _) = lived["sqlite"], lived["postgres"]
            for step, (one, other) in enumerate(zip(sqlite, postgres, strict=True)):
                if one != other:
                    what = told[step] if step < len(told) else "what is left"
                    raise AssertionError(
                        f"history {number} of seed {seed}, {what}\nsqlite: {one}\npostgres: {other}"
                    )
            codes += decided
        records = {name: daemons.first.records() for name, daemons in daemons_of.items()}
        if records["sqlite"] != records["postgres"]:
            raise AssertionError(f"the engines recorded the histories of seed {seed} differently")
    return codes


_ROUTES: Final[dict[str, tuple[int, ...]]] = {"sqlite": (0, 1), "postgres": (1, 1)}
"""Which daemon a call is brought to, where a history brings it to the first or to the second one."""
_NAME: Final = re.compile(r"\b([a-z]{3})_\d{26}\b")


def compare_daemons(server: Server, seed: str, count: int) -> Counter[str]:
    """Live so many histories over both engines, by other daemons on one than on the other; what was decided.

    A daemon draws more names than another where what it remembers is old, so names are left out.

    Raises:
        AssertionError: A call is decided otherwise by one daemon than by another, or for other reasons.
    """
    codes: Counter[str] = Counter()
    with engines(server) as daemons_of:
        for number in range(count):
            told = history(Random(f"{seed}:{number}"))  # noqa: S311 - a course of events that can be repeated
            came: dict[str, list[Form]] = {}
            for name, daemons in daemons_of.items():
                route = _ROUTES[name]
                routed = [
                    (what, (route[given[0]] if what == "ask" else given[0], *given[1:]))
                    for what, given in told
                ]
                _, found = daemons.live(routed, number)
                came[name] = daemons.answers
                codes += found if name == "sqlite" else Counter()
            for one, other in zip(came["sqlite"], came["postgres"], strict=True):
                if one != other:
                    raise AssertionError(f"history {number} of seed {seed}\nsqlite: {one}\npostgres: {other}")
    return codes


def _plainly(answer: Answer | NeedsProbe) -> Form:
    """What was decided and why, by which bundle, grant and policies; names without what tells them apart."""
    found: Form = {"code": code_of(answer)}
    decision = getattr(answer, "decision", getattr(answer, "refusal", None))
    for name in ("reasons", "instead", "grant", "policies"):
        found[name] = _NAME.sub(r"\1", str(getattr(decision, name, "")))
    proposal = getattr(answer, "proposal", None)
    if proposal is not None:
        found |= {"bundle": proposal.basis.bundle, "digest": proposal.action.frame.definition}
        found |= {"attempt": getattr(answer, "attempt", 0)}
    return found
