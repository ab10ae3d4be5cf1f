"""A crowd before the gateway: many clients at once, servers that are killed, readers that are slow, floods.

1. Each client makes its calls one after another: over HTTP through one front, several to a token, and over
   pipes through gateways of their own. Of its calls some are cancelled.
2. After each so many calls a server that was started is killed; the one behind a URL cuts off some of its
   calls.
3. One token's clients ask for large answers and read them slowly. Now and then a server answers with a
   flood.
4. What the front, the gateways and the daemon have resident is read all along and has a bound. Processes and
   descriptors are counted before, at the most, and after every task has ended: then nothing is left.
5. Every call is accounted for (`accounts`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from taskbound.adapters.upstream.mcp.process import descendants
from tests.surfaces.gateway.crowd.accounts import Made, Unaccounted, account
from tests.surfaces.gateway.crowd.clients import Client, Open, Pipe, Way, piped, web
from tests.surfaces.gateway.crowd.ground import (
    PATIENT_FRONT,
    Ground,
    Held,
    actions_of,
    ground,
    held_by,
    larger,
    settled,
)
from tests.surfaces.gateway.crowd.slowly import read_slowly
from tests.surfaces.gateway.http.fronting import Fronted, front

_MIB: Final = 1 << 20
_POOLED: Final = 3 * 15
"""Five connections that the daemon keeps, and ten more while so many threads read."""
_HTTP_AGENT: Final = "web"


class LeftBehind(AssertionError):  # noqa: N818 -- what it is
    """A process or a descriptor was left behind."""


class TooMuch(AssertionError):  # noqa: N818 -- what it is
    """A process had more memory than its bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How large a crowd, and what it meets."""

    calls: int
    clients: int = 200
    tokens: int = 96
    """Of the front's 128; each has two clients, but the last one, whose clients read slowly."""
    pipes: int = 8
    """Gateways of agents of their own."""
    kill: int = 100
    """Calls between two kills."""
    resets: float = 0.005
    """Of the calls to the server behind a URL, which part it cuts off."""
    cancels: float = 0.02
    flood: int = 1 << 30
    floods: int = 10
    """How many answers of so many bytes."""
    slow: int = 2
    """Slow readers."""
    size: int = 12 * _MIB
    """Letters of an answer that is read slowly."""
    resident: int = 256 * _MIB
    """Bytes that the front may have resident, the daemon too, and each gateway a quarter of it."""
    growth: int = 64 * _MIB
    """Bytes by which the most of the second half of the calls may be over that of the first."""
    patience: float = 120.0
    """Seconds for one call."""
    leaving: float = 30.0
    """Seconds in which everything is gone after its task has ended."""
    lingers: bool = False
    seed: int = 1


def nothing_left(name: str, before: Held, after: Held) -> None:
    """Raise `LeftBehind` if a process has more beneath it, or more open, than before the crowd came."""
    if after.beneath > before.beneath or after.descriptors > before.descriptors:
        raise LeftBehind(
            f"the {name} had {before.beneath} processes and {before.descriptors} descriptors before,"
            f" and {after.beneath} and {after.descriptors} after"
        )


def within(name: str, held: Held, bound: int) -> None:
    """Raise `TooMuch` or `LeftBehind` if a process has more resident, or more connections, than it may."""
    if held.resident > bound:
        raise TooMuch(f"the {name} has {held.resident // _MIB} MiB resident, and may have {bound // _MIB}")
    if held.pooled > _POOLED:
        raise LeftBehind(f"the {name} has {held.pooled} descriptors of its database")


def not_grown(first: dict[str, int], second: dict[str, int], growth: int) -> None:
    """Raise `TooMuch` if the most of the second half is so many bytes above that of the first."""
    for name, resident in second.items():
        if resident > first.get(name, resident) + growth:
            raise TooMuch(f"the {name} grew from {first[name] // _MIB} to {resident // _MIB} MiB resident")


@dataclass(slots=True)
class Witnessed:
    """What was counted."""

    states: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    killed: int = 0
    cut: int = 0
    slow: int = 0
    floods: int = 0
    before: Held = field(default_factory=Held)
    """What the front held before the crowd came."""
    most: dict[str, Held] = field(default_factory=dict)
    halves: tuple[dict[str, int], dict[str, int]] = field(default_factory=lambda: ({}, {}))
    """The most that was resident in the first and in the second half of the calls."""
    after: Held = field(default_factory=Held)


async def crowd(folder: Path, plan: Plan) -> Witnessed:
    """Let the crowd come; what does not hold is raised."""
    agents = [_HTTP_AGENT, *(f"pipe-{one}" for one in range(plan.pipes))]
    async with (
        ground(folder, agents, seed=plan.seed, longest=20.0, lingers=plan.lingers) as place,
        front(place, before=PATIENT_FRONT) as there,
    ):
        place.far.resets = plan.resets
        here = _Crowd(place, there, plan)
        await here.warm()
        try:
            await here.come()
        except BaseExceptionGroup as error:
            error.add_note(f"told so far: {dict(here.witnessed.told)}")
            raise
        await here.leave()
        here.witnessed.states = account(here.made, actions_of(place), place.reached())
        return here.witnessed


class _Crowd:
    def __init__(self, place: Ground, there: Fronted, plan: Plan) -> None:
        self._place, self._there, self._plan = place, there, plan
        self._draw = random.Random(plan.seed)  # noqa: S311 -- a course of events that can be repeated
        self.made: dict[str, Made] = {}
        self.witnessed = Witnessed()
        self._done = 0
        self._left = plan.calls
        self._tasks: list[str] = []
        self._pipes: list[Pipe] = []
        self._news = asyncio.Condition()
        self._base: dict[str, Held] = {}
        self._daemon = place.status().pid  # once: asking it again and again would hold up everybody here

    # --- before and after ------------------------------------------------------------------------

    async def warm(self) -> None:
        """One call of one token whose task ends again: what is loaded once is loaded then."""
        task = self._task(_HTTP_AGENT)
        async with web(self._there, self._there.token(task), "http-modern") as client:
            for tool in ("near__work", "far__work"):
                await self._call(client, task, tool, {}, cancels=False)
        self._end(task)
        front_held = held_by(self._there.process.pid)
        nobody = Held(descriptors=front_held.descriptors)
        await settled(self._there.process.pid, nobody, patience=self._plan.leaving)
        self._base = self._hold()
        self.witnessed.before = self._base["front"]

    async def leave(self) -> None:
        """Every task ends; nothing of it is left (rule 4)."""
        for task in self._tasks:
            self._end(task)
        pids = {"front": self._there.process.pid, "daemon": self._daemon}
        for name, pid in pids.items():
            before = self._base[name]
            after = await settled(pid, before, patience=self._plan.leaving)
            try:
                nothing_left(name, before, after)
            except LeftBehind:
                for one in descendants(self._there.process.pid):
                    os.kill(one, signal.SIGKILL)
                raise
        not_grown(*self.witnessed.halves, self._plan.growth)
        self.witnessed.after = held_by(self._there.process.pid)
        self.witnessed.cut = self._place.far.cut

    def _task(self, agent: str) -> str:
        task = self._place.start_task(agent=agent, seconds=14_400)
        self._tasks.append(task)
        return task

    def _end(self, task: str) -> None:
        self._tasks = [one for one in self._tasks if one != task]
        self._place.task = task
        self._place.end_task()

    def _hold(self) -> dict[str, Held]:
        """What the front, the daemon and the largest of the gateways hold; a bound is looked at (rule 4)."""
        found = {
            "front": held_by(self._there.process.pid),
            "daemon": held_by(self._daemon),
        }
        pipes = [held_by(one.process.pid) for one in self._pipes]
        if pipes:
            found["gateway"] = max(pipes, key=lambda one: one.resident)
        for name, held in found.items():
            within(name, held, self._plan.resident // (4 if name == "gateway" else 1))
            self.witnessed.most[name] = larger(self.witnessed.most.get(name, held), held)
            half = self.witnessed.halves[self._done > self._plan.calls // 2]
            half[name] = max(half.get(name, 0), held.resident)
        return found

    # --- the crowd -------------------------------------------------------------------------------

    async def come(self) -> None:
        """Everybody at once."""
        plan = self._plan
        async with AsyncExitStack() as stack:
            clients = await self._clients(stack)
            slow = self._task(_HTTP_AGENT)
            token = self._there.token(slow)
            over = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                everybody = [group.create_task(self._calls(client, task)) for client, task in clients]
                beside = [group.create_task(self._kill(over)), group.create_task(self._watch(over))]
                beside += [group.create_task(self._slow(token, slow, n, over)) for n in range(plan.slow)]
                await asyncio.wait(everybody)
                over.set()
                async with self._news:
                    self._news.notify_all()
            self._hold()

    async def _clients(self, stack: AsyncExitStack) -> Sequence[tuple[Client, str]]:
        plan = self._plan
        found: list[tuple[Client, str]] = []
        tasks = [self._task(_HTTP_AGENT) for _ in range(plan.tokens - 1)]
        tokens = [self._there.token(task) for task in tasks]
        ways: tuple[Way, Way] = ("http-modern", "http-legacy")
        for number in range(plan.clients - plan.pipes - plan.slow):
            at = number % len(tasks)
            client = web(self._there, tokens[at], ways[number % 2], eager=number % 3 == 0)
            found.append((await stack.enter_async_context(client), tasks[at]))
        for number in range(plan.pipes):
            task = self._task(f"pipe-{number}")
            pipe = await stack.enter_async_context(piped(self._place, f"pipe-{number}"))
            self._pipes.append(pipe)
            found.append((pipe.of("stdio-legacy" if number % 2 else "stdio-modern"), task))
        return found

    async def _calls(self, client: Client, task: str) -> None:
        """Rule 1."""
        every = max(1, self._plan.calls // max(1, self._plan.floods))
        while self._left > 0:
            self._left -= 1
            tool = self._draw.choice(("near__work", "far__work"))
            floods = self._plan.floods and self._left % every == every // 2
            more = {"huge": self._plan.flood} if floods else {}
            self.witnessed.floods += bool(floods)
            cancels = not floods and self._draw.random() < self._plan.cancels
            await self._call(client, task, tool, more, cancels=cancels)

    async def _call(
        self, client: Client, task: str, tool: str, more: dict[str, int], *, cancels: bool
    ) -> None:
        number = len(self.made) + 1
        text = f"call-{number}"
        made = self.made[text] = Made(task=task, cancelled=cancels)
        try:
            async with asyncio.timeout(self._plan.patience):
                opened: Open = await client.send(tool, {"text": text} | more, number)
                if cancels:
                    for _ in range(self._draw.randrange(20)):
                        await asyncio.sleep(0)
                    await opened.cancel()
                said = await opened.answer()
        except TimeoutError as error:
            raise Unaccounted(f"the call `{text}` was not answered in {self._plan.patience:.0f} s") from error
        if said.code == "ok" and said.text != text:
            raise Unaccounted(f"the call `{text}` was answered with `{said.text[:80]}`")
        made.told.append(said.code)
        self.witnessed.told[said.code] += 1
        self._done += 1
        async with self._news:
            self._news.notify_all()

    async def _until(self, done: int, over: asyncio.Event) -> bool:
        """Once so many calls are done; whether anybody still calls."""
        async with self._news:
            await self._news.wait_for(lambda: self._done >= done or over.is_set())
        return not over.is_set()

    # --- what it meets ---------------------------------------------------------------------------

    async def _kill(self, over: asyncio.Event) -> None:
        """Rule 2."""
        while await self._until(self._done + self._plan.kill, over):
            found = self._place.servers_beneath(
                [self._there.process.pid, *(one.process.pid for one in self._pipes)]
            )
            if found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._draw.choice(found), signal.SIGKILL)
                self.witnessed.killed += 1

    async def _watch(self, over: asyncio.Event) -> None:
        """Rule 4."""
        while await self._until(self._done + max(20, self._plan.calls // 400), over):
            self._hold()

    async def _slow(self, token: str, task: str, number: int, over: asyncio.Event) -> None:
        """Rule 3: a reader who takes a piece of an answer each time that somebody else has got one."""
        while not over.is_set():
            text = f"slow-{number}-{self._done}-{len(self.made)}"
            made = self.made[text] = Made(task=task)
            arguments = {"text": text, "size": self._plan.size}
            raw = self._there.calling(token, "near__work", arguments, text)

            async def turn() -> None:
                await self._until(self._done + 1, over)

            found = await read_slowly(self._there.port, raw, turn)
            if found is None:
                made.cancelled = True
                made.told.append("cancelled")
            else:
                whole = found == text + "x" * self._plan.size
                made.told.append("ok" if whole else found[:80])
            self.witnessed.slow += 1
