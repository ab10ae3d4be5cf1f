"""Calls that read values which another call names, before that call can be decided.

1. Each reading is decided like a call of the agent, under a key that no client id can be, and its outcome is
   reported. The record says what it was for.
2. Its result reaches neither the client nor the daemon. Only the action id is passed on, also of a refused
   reading.
3. Readings run one after another at the call's server, within a total time limit. A late one is cancelled.
4. A held reading is withdrawn.
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
    """Reads values for the calls of one connection; used in the event loop."""

    def __init__(self, link: Link, timings: Timings, calls: Calls) -> None:
        self._link = link
        self._bound = timings.read
        self._calls = calls
        self._numbers = count(1)

    async def of(self, call: Call, asked: ReadFirst) -> tuple[str, ...]:
        """Returns the action id of each reading in order; "" where the daemon made none (rule 2)."""
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
        """Withdraws the question (rule 4); an unreachable daemon notices the connection's end."""
        try:
            await self._link.ask_any(LeaveHold(action=action))
        except TaskboundError:
            return
