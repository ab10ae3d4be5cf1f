"""Calls that are made to read what another call names, before that one can be decided.

1. Each is asked about like a call of the agent's own, and presented under a name that no client's id can be:
   so the daemon's record says what it was made for. It is told its permit's outcome like any other.
2. Nothing of what it answers reaches the client, and nothing is said of it to the daemon but its outcome.
   What is brought is the action's id, also of one that was refused: the daemon says what that means.
3. They go one after the other to the server of the call that they are for, within so many seconds in all:
   what was read is worth five. One that takes longer is cancelled as any call is.
4. A reading that people would have to lift is taken back: nobody waits for it.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

from taskbound.core.errors import TaskboundError
from taskbound.wire.action import Permitted, Refused
from taskbound.wire.approval import LeaveHold

if TYPE_CHECKING:
    from taskbound.surfaces.gateway.call import Call
    from taskbound.surfaces.gateway.calls import Calls
    from taskbound.surfaces.gateway.link import Link, Timings
    from taskbound.wire.action import ReadFirst, Reading


class Readings:
    """Reads what calls of one connection name; used in the loop."""

    def __init__(self, link: Link, timings: Timings, calls: Calls) -> None:
        """Ask with this link and make the calls with these."""
        self._link = link
        self._bound = timings.read
        self._calls = calls
        self._numbers = count(1)

    async def of(self, call: Call, asked: ReadFirst) -> tuple[str, ...]:
        """The action of each reading, in order; empty where the daemon made none of it (rule 2)."""
        end = asyncio.get_running_loop().time() + self._bound
        return tuple([await self._read(call, one, end) for one in asked.readings])

    async def _read(self, call: Call, one: Reading, end: float) -> str:
        if call.cause is not None:
            return ""
        reading = self._calls.reading(call, one, next(self._numbers))
        call.reading = reading
        late = asyncio.get_running_loop().call_at(end, self._calls.late, reading)  # 3
        try:
            return await self._made(reading)
        finally:
            late.cancel()
            call.reading = None

    async def _made(self, reading: Call) -> str:
        answer = await self._calls.ask(reading, left=0.0)
        if isinstance(answer, Permitted):
            reading.action, reading.task = answer.action, answer.task
            await self._calls.permitted(reading, answer, None)
            return answer.action
        if not isinstance(answer, Refused):
            return ""
        if answer.code == "held":
            await self._leave(answer.action)
        return answer.action

    async def _leave(self, action: str) -> None:
        """Take the question back (rule 4); where the daemon can't be told, it sees the connection's end."""
        try:
            await self._link.ask_any(LeaveHold(action=action))
        except TaskboundError:
            return
