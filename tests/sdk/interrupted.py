"""Interruptions of a client's calls, at each place where one may come, and what the log says then."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from taskbound.sdk.guard import flow
from taskbound.sdk.guard.async_client import AsyncClient
from taskbound.sdk.guard.client import Client
from tests.waiting import others

if TYPE_CHECKING:
    from tests.world import World  # which a program that is a process of its own need not load


STAGES = ("nothing", "not-sent", "unknown", "succeeded")
"""What the log says of a call that was interrupted, the later the further it came."""
_SDK = flow.__file__.removesuffix("guard/flow.py")
_OWN = ("guard/", "client.py", "arrival.py")


class Log:
    """What the log says of calls; it is read once, since there are many."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._calls: list[tuple[int, int, bool]] = []
        self._before = 0

    def _length(self) -> int:
        with self._world.store.read() as snapshot:
            return len(snapshot.audit.pending(1_000_000))

    def begins(self) -> None:
        """A call is about to be made."""
        self._before = self._length()

    def over(self, *, did: bool) -> None:
        """It is over; whether its function ran."""
        self._calls.append((self._before, self._length(), did))

    def stages(self) -> list[tuple[str, bool]]:
        """How far each call came by its only outcome, and whether its function ran."""
        events = [one["event"] for one in self._world.records()]
        told: dict[str, list[str]] = {}
        for one in events:
            if one["kind"] == "action-outcome":
                told.setdefault(one["action"], []).append(one["after"])
        found: list[tuple[str, bool]] = []
        for before, after, did in self._calls:
            actions = {one["action"] for one in events[before:after] if one["kind"] == "action-decided"}
            assert len(actions) < 2, actions
            outcomes = [after for one in actions for after in told.get(one, ())]
            assert len(outcomes) == len(actions), (len(found), outcomes)
            found.append((outcomes[0] if outcomes else "nothing", did))
        return found


def owed(client: AsyncClient | Client) -> int:
    """How many calls of a client are owed."""
    return len(client._owed._left)  # noqa: SLF001 - it is looked at here


async def nothing_left(client: AsyncClient, *, alive: bool = False) -> None:
    """Go on once all that is owed was told; with signs of life, or by itself."""
    async with asyncio.timeout(20):
        while owed(client):
            if alive:
                client._owed.tell()  # noqa: SLF001 - as a block's sign of life does
            await others()


@contextmanager
def at_line(number: int) -> Iterator[list[int]]:
    """A KeyboardInterrupt at this line of those that are run of the SDK in this thread; how many were run."""
    seen = [0]

    def line(_: FrameType, event: str, __: object) -> Any:
        if event == "line":
            seen[0] += 1
            if seen[0] == number:
                raise KeyboardInterrupt
        return line

    def enter(frame: FrameType, _: str, __: object) -> Any:
        name = frame.f_code.co_filename
        return line if name.startswith(_SDK) and name[len(_SDK) :].startswith(_OWN) else None

    sys.settrace(enter)
    try:
        yield seen
    finally:
        sys.settrace(None)


@contextmanager
def interrupting(
    client: Client, *, before: Collection[int] = (), behind: Collection[int] = ()
) -> Iterator[list[int]]:
    """A KeyboardInterrupt before these steps of the client's, or right behind them; how many there were."""
    transport, perform = client._spoken  # noqa: SLF001 - the seam of an interruption
    seen = [0]

    def interrupted(step: object) -> object:
        here = seen[0]
        seen[0] += 1
        if here in before:
            raise KeyboardInterrupt
        done = perform(step)  # type: ignore[arg-type]  # what a client does are steps
        if here in behind:
            raise KeyboardInterrupt
        return done

    vars(client)["_spoken"] = transport, interrupted
    try:
        yield seen
    finally:
        vars(client)["_spoken"] = transport, perform


@contextmanager
def cancelling(
    client: AsyncClient,
    *,
    before: Collection[int] = (),
    within: Collection[int] = (),
    behind: Collection[int] = (),
) -> Iterator[list[int]]:
    """The task is cancelled before these steps, where they wait, or behind them; how many there were."""
    transport, perform = client._spoken  # noqa: SLF001 - the seam of an interruption
    seen = [0]

    async def interrupted(step: object) -> object:
        here = seen[0]
        seen[0] += 1
        task = asyncio.current_task()
        assert task is not None
        if here in (*before, *within):
            task.cancel()
        if here in before:
            await asyncio.sleep(0)
        done = await perform(step)  # type: ignore[arg-type]  # what a client does are steps
        if here in behind:
            task.cancel()
            await asyncio.sleep(0)
        return done

    vars(client)["_spoken"] = transport, interrupted
    try:
        yield seen
    finally:
        vars(client)["_spoken"] = transport, perform
