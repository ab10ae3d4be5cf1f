"""Two clients with equal ids, in every way to interleave what they send and take back: no answer crosses.

1. A round is two clients of the same task or of two, each in a way of its own, with the same one to three
   ids. What they send and cancel is put in an order by chance, each cancel behind its call.
2. Each call carries a text that no other has, and the servers answer with it, late and in an order of their
   own. An answer is right if it has the call's own id and its own text. A call that was cancelled gets its
   own answer or none.
3. The record says the same: each text is one action of the task whose client sent it, and reached a server
   once at most.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.surfaces.gateway.crowd.clients import WAYS, Client, Id, Open, Pipe, Said, Way, Written, piped, web
from tests.surfaces.gateway.crowd.ground import PATIENT_FRONT, Ground, actions_of, ground
from tests.surfaces.gateway.http.fronting import Fronted, front
from tests.surfaces.gateway.real import passing

_AT_ONCE: Final = 8
_UNSENT: Final = frozenset({"not-reached"})
_CALLS: Final = 3
_CANCELS: Final = 0.2
_PAUSE: Final = 0.012
"""Seconds, of which calls take about so many: answers come before, between and behind what else is sent."""
_PATIENCE: Final = 60.0
_AGENTS: Final = ("one-a", "one-b", "two-a", "two-b")
"""Two tasks of each of two persons' programs: two clients of one task over pipes need two agents."""


class Crossed(AssertionError):  # noqa: N818 -- what happened
    """A client got what is another's."""


@dataclass(slots=True)
class Told:
    """What was counted."""

    rounds: int = 0
    calls: int = 0
    ways: Counter[str] = field(default_factory=Counter)
    """Rounds by the two ways that met."""
    unsent: int = 0
    """Calls for which the server behind a URL was not reached: a busy machine may be too slow for that."""
    cancelled: Counter[str] = field(default_factory=Counter)
    """Calls that were cancelled, by what came."""


@dataclass(slots=True, kw_only=True)
class _Call:
    client: int
    request: Id
    text: str
    task: str
    open: Open | None = None
    cancelled: bool = False


class _Side:
    """What one of the two clients can be, for one task."""

    def __init__(self, task: str, token: str, pipe_task: str, pipe: Pipe) -> None:
        self.task, self.token, self.pipe_task, self.pipe = task, token, pipe_task, pipe


async def interleave(folder: Path, count: int, seed: int, *, before: str = "") -> Told:
    """Play so many rounds; what does not hold is raised.

    Args:
        folder: An empty one.
        count: Rounds.
        seed: Of all chance.
        before: Run in the front's process first: a fault to be found.
    """
    async with (
        ground(folder, _AGENTS, seed=seed, longest=4.0) as place,
        front(place, before=PATIENT_FRONT + before) as there,
        AsyncExitStack() as stack,
    ):
        sides = await _sides(place, there, stack)
        crowd = _Crowd(there, sides, random.Random(seed))  # noqa: S311 -- a course of events that can be repeated
        await crowd.play(count)
        _require_recorded(place, crowd.sent)
        for text in crowd.unsent & set(place.reached()):
            raise AssertionError(f"the call `{text}` reached a server, and was told that it did not")
        return crowd.told


async def _sides(place: Ground, there: Fronted, stack: AsyncExitStack) -> Sequence[Sequence[_Side]]:
    """For each of the two clients: what it can be in the first and in the second task."""
    found: list[list[_Side]] = [[], []]
    for who in ("one", "two"):
        tasks = [place.start_task(agent=f"{who}-{one}") for one in "ab"]
        token = there.token(tasks[0])
        for client, one in enumerate("ab"):
            pipe = await stack.enter_async_context(piped(place, f"{who}-{one}"))
            found[client].append(_Side(tasks[0], token, tasks[client], pipe))
    return found


class _Crowd:
    def __init__(self, there: Fronted, sides: Sequence[Sequence[_Side]], draw: random.Random) -> None:
        self._there, self._sides, self._draw = there, sides, draw
        self.told = Told()
        self.sent: list[_Call] = []
        self.unsent: set[str] = set()
        self._left = 0

    async def play(self, count: int) -> None:
        """So many rounds, some of them at once."""
        self._left = count
        async with asyncio.TaskGroup() as group:
            for _ in range(min(_AT_ONCE, count)):
                group.create_task(self._rounds())
        for call in self.sent:
            if call.cancelled and isinstance(call.open, Written):
                self._require_own(call, await call.open.answer())  # what a pipe brought later

    async def _rounds(self) -> None:
        async with AsyncExitStack() as stack:
            clients: dict[tuple[int, int, Way], Client] = {}
            while self._left:
                self._left -= 1
                self.told.rounds += 1
                number = self.told.rounds
                tasks = self._draw.choice(((0, 0), (0, 1), (1, 0), (1, 1)))
                ways = (self._draw.choice(WAYS), self._draw.choice(WAYS))
                self.told.ways[" and ".join(sorted(ways))] += 1
                pair: list[tuple[_Side, Way, Client]] = []
                for client, (task, way) in enumerate(zip(tasks, ways, strict=True)):
                    key, side = (client, task, way), self._sides[client][task]
                    if key not in clients:
                        clients[key] = await self._client(side, way, stack)
                    pair.append((side, way, clients[key]))
                try:
                    async with asyncio.timeout(_PATIENCE):
                        await self._round(number, pair)
                except TimeoutError as error:
                    raise TimeoutError(
                        f"round {number}: a call was not answered in {_PATIENCE:.0f} s"
                    ) from error

    async def _client(self, side: _Side, way: Way, stack: AsyncExitStack) -> Client:
        if way.startswith("stdio"):
            return side.pipe.of(way)
        eager = self._draw.random() < 1 / 3
        return await stack.enter_async_context(web(self._there, side.token, way, eager=eager))

    async def _round(self, number: int, pair: Sequence[tuple[_Side, Way, Client]]) -> None:
        """Rule 1."""
        ids: list[Id] = [number * _CALLS + one for one in range(self._draw.randint(1, _CALLS))]
        ids = [f"r-{one}" if self._draw.random() < 1 / 4 else one for one in ids]
        calls: list[_Call] = []
        order: list[tuple[float, _Call, bool]] = []
        for client, (side, way, _) in enumerate(pair):
            task = side.pipe_task if way.startswith("stdio") else side.task
            for one in ids:
                call = _Call(client=client, request=one, text=f"{number}-{client}-{one}", task=task)
                calls.append(call)
                at = self._draw.random()
                order.append((at, call, False))
                if self._draw.random() < _CANCELS:
                    order.append((at + (1 - at) * self._draw.random(), call, True))
        self.sent += calls
        self.told.calls += len(calls)
        for _, call, cancels in sorted(order, key=lambda one: one[0]):
            await self._step(call, pair[call.client][2], cancels=cancels)
        for call in calls:
            assert call.open is not None
            said = await call.open.answer()
            self._require_own(call, said)
            if call.cancelled:
                self.told.cancelled["answered" if said.code == "ok" else "not answered"] += 1
            elif said.code in _UNSENT:
                self.told.unsent += 1
                self.unsent.add(call.text)
            elif said.code != "ok":
                raise AssertionError(f"the call `{call.text}` was answered with `{said.code}`")

    async def _step(self, call: _Call, client: Client, *, cancels: bool) -> None:
        if self._draw.random() < 1 / 2:
            await passing(self._draw.random() * _PAUSE)
        if cancels:
            call.cancelled = True
            assert call.open is not None
            await call.open.cancel()
        else:
            tool = self._draw.choice(("near__work", "far__work"))
            call.open = await client.send(tool, {"text": call.text}, call.request)

    @staticmethod
    def _require_own(call: _Call, said: Said) -> None:
        """Rule 2."""
        if said.code == "ok" and said.text != call.text:
            raise Crossed(f"the call `{call.text}` was answered with `{said.text}`, which is another's")


def _require_recorded(place: Ground, sent: Sequence[_Call]) -> None:
    """Rule 3."""
    tasks = {one.text: one.task for one in sent}
    cancelled = {one.text for one in sent if one.cancelled}
    found = Counter(one.text for one in actions_of(place))
    for row in actions_of(place):
        if tasks.get(row.text) != row.task:
            raise Crossed(f"the call `{row.text}` of `{tasks.get(row.text)}` is on record for `{row.task}`")
    for text in tasks:
        if found[text] > 1 or (not found[text] and text not in cancelled):
            raise AssertionError(f"the call `{text}` is {found[text]} actions")
    for text, times in Counter(place.reached()).items():
        if times > 1 or not found[text]:
            raise AssertionError(
                f"the call `{text}` reached a server {times} times, as {found[text]} actions"
            )
