"""What a call waits for before it is permitted: approvers, and readings of what it names.

* At its bound the call is answered with the held action's id; the same call with the same arguments resumes
  that action while the approval is open. A polled call waits as long as its errand exists.
* The daemon pushes the approvers' answer and is also polled, since a push can be lost. A push that precedes
  the wait is kept. Only the daemon decides what the answer means: the call is asked again.
* Approvers may narrow the action. The narrower call is decided by its own bytes and has no client
  idempotency key, which names the original call.
* A client that cancels or disconnects withdraws the question; a pause or stop does not. Progress
  notifications of the wait contain no text of approvers or the daemon.
* Each reading is decided like a call of the agent, under a key that no client id can be. Its result reaches
  neither the client nor the daemon; only the action id is passed on. Readings run one after another within
  a total time limit; a late one is cancelled, a held one withdrawn.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.errors import TaskboundError
from taskbound.wire.action import Narrowed, Permitted, Reason, Refused
from taskbound.wire.approval import LeaveHold
from taskbound.wire.mcp.message import notice_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from taskbound.core.action.canonical import JsonValue
    from taskbound.surfaces.gateway.call import Call
    from taskbound.surfaces.gateway.calls import Calls
    from taskbound.surfaces.gateway.link import Link, Timings
    from taskbound.wire.action import ReadFirst, Reading
    from taskbound.wire.approval import HoldPush
    from taskbound.wire.envelope import Answer

    class Decide(Protocol):
        """Asks the daemon for a call again, with a bound of `left` seconds."""

        async def __call__(self, call: Call, *, left: float) -> Answer:
            """Returns the daemon's answer."""


_LOOK: Final = 5.0
"""Seconds after which the daemon is asked though it said nothing."""
_WAITS: Final = "waiting for a person"
_KEPT: Final = 64
"""Bound of early pushes that are kept; the oldest is dropped."""
_OVER: Final = {
    "denied": ("approval-denied", "do something else; do not ask for the same action again"),
    "expired": ("hold-over", "call again, if it is still needed: people are asked anew"),
    "withdrawn": ("hold-over", "do not repeat it; ask the person who opened the task"),
    "superseded": ("hold-over", "do not repeat it; ask the person who opened the task"),
}


class Holds:
    """The held calls of one connection; used in the event loop."""

    def __init__(
        self,
        link: Link,
        timings: Timings,
        tell: Callable[[bytes, Call], None],
        *,
        waits: Callable[[Call], None],
    ) -> None:
        """Prepares; `tell` notifies the client, `waits` is called when a call begins to wait."""
        self._waits = waits
        self._link = link
        self._say = tell
        self._bound = timings.hold
        self._waiting: dict[str, asyncio.Event] = {}
        self._over: dict[str, HoldPush] = {}

    def told(self, push: HoldPush) -> None:
        self._over.pop(push.action, None)
        self._over[push.action] = push
        while len(self._over) > _KEPT:
            del self._over[next(iter(self._over))]
        self.wake(push.action)

    def wake(self, action: str) -> None:
        if action in self._waiting:
            self._waiting[action].set()

    async def lifted(self, call: Call, answer: Answer, decide: Decide) -> Answer:
        """Returns the answer once the hold is lifted, or the last one when the wait is over."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._bound
        while True:
            if isinstance(answer, Narrowed):
                call.narrow(answer)
                answer = await decide(call, left=self._left(call, end))
                continue
            if not (isinstance(answer, Refused) and answer.code == "held" and answer.action):
                return answer
            call.action = call.held = answer.action
            call.task = answer.task
            left = self._left(call, end)
            if left > 0 and call.cause is None:
                self._waits(call)
                self._tell(call)
            over = await self._look(call, min(left, _LOOK)) if left > 0 and call.cause is None else None
            if call.cause is not None:
                if call.is_left:
                    await _leave(self._link, call.held)
                return answer
            if left <= 0:
                return answer
            if over is not None and over.state == "superseded" and not call.changed:
                call.held = ""
            elif over is not None and over.state in _OVER:
                return _ended(answer, over)
            answer = await decide(call, left=self._left(call, end))

    def _left(self, call: Call, end: float) -> float:
        """Seconds that the call may still wait, at most its bound at a time."""
        now = asyncio.get_running_loop().time()
        if call.errand is not None and not call.errand.over.is_set():
            return max(0.0, min(call.errand.until - now, self._bound))
        return max(0.0, end - now)

    def _tell(self, call: Call) -> None:
        if call.progress is not None and call.is_heard:
            call.turns += 1
            said: dict[str, JsonValue] = {
                "message": _WAITS,
                "progress": call.turns,
                "progressToken": call.progress,
            }
            if call.errand is not None:
                said |= {"_meta": call.errand.related}
            self._say(notice_line("notifications/progress", canonical(said)), call)

    async def _look(self, call: Call, seconds: float) -> HoldPush | None:
        self._waiting[call.held] = asyncio.Event()
        try:
            if call.cause is None and call.held not in self._over:
                async with asyncio.timeout(seconds):
                    await self._waiting[call.held].wait()
        except TimeoutError:
            pass
        finally:
            del self._waiting[call.held]
        return self._over.pop(call.held, None)


async def _leave(link: Link, action: str) -> None:
    """Withdraws the question; an unreachable daemon notices the connection's end."""
    try:
        await link.ask_any(LeaveHold(action=action))
    except TaskboundError:
        return


def _ended(answer: Refused, over: HoldPush) -> Refused:
    code, instead = _OVER[over.state]
    reason = over.reason or f"the question is {over.state}"
    return Refused(
        action=answer.action,
        task=answer.task,
        code=code,
        instead=instead,
        reasons=(Reason(code=code, text=reason),),
    )


class ProbeCalls:
    """Reads values for the calls of one connection; used in the event loop."""

    def __init__(self, link: Link, timings: Timings, calls: Calls) -> None:
        self._link = link
        self._bound = timings.read
        self._calls = calls
        self._numbers = count(1)

    async def of(self, call: Call, asked: ReadFirst) -> tuple[str, ...]:
        """Returns the action id of each reading in order; "" where the daemon made none."""
        end = asyncio.get_running_loop().time() + self._bound
        return tuple([await self._read(call, one, end) for one in asked.readings])

    async def _read(self, call: Call, one: Reading, end: float) -> str:
        if call.cause is not None:
            return ""
        reading = self._calls.reading(call, one, next(self._numbers))
        call.reading = reading
        late = asyncio.get_running_loop().call_at(end, self._calls.late, reading)
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
            await _leave(self._link, answer.action)
        return answer.action
