"""A call that waits for people: until they have answered, its client cancels, or its bound is over.

1. The call waits at most its bound; then it is answered with the held action's id. Made again with
   exactly the same arguments it resumes that action, as long as the question is open. One that its client
   comes back for (`errands`) waits as long as that is there: nobody sits before it.
2. The daemon says when the question was answered. Since that can be lost, and another daemon may have
   taken the answer, the daemon is asked every few seconds too. What it says before the call waits is kept.
3. What people have answered is decided by the daemon alone: the call is asked for again, by the held
   action's id.
4. A person may answer with a narrower action. The call is then that one: it is presented with its own bytes,
   is decided like any other, and its answer says what was changed. It has no idempotency key of the client's:
   that names the call as the client made it.
5. A client that cancels takes the question back. One that goes away does so too: the daemon sees its end.
   A pause or a stop takes nothing back: what was asked waits for the task, and is resumed by the same call.
6. A client that gave a token is told that its call waits: when it begins to, and whenever the daemon was
   asked again. It is always the same sentence, and nothing that a person or the daemon wrote.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.errors import TaskboundError
from taskbound.wire.action import Narrowed, Reason, Refused
from taskbound.wire.approval import LeaveHold
from taskbound.wire.mcp.message import notice_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from taskbound.core.action.canonical import JsonValue
    from taskbound.surfaces.gateway.call import Call
    from taskbound.surfaces.gateway.link import Link, Timings
    from taskbound.wire.approval import HoldPush
    from taskbound.wire.envelope import Answer

    class Decide(Protocol):
        """Asks for a call again, with so many seconds left to wait."""

        async def __call__(self, call: Call, *, left: float) -> Answer:
            """The daemon's answer."""


_LOOK: Final = 5.0
"""Seconds after which the daemon is asked though it said nothing (rule 2)."""
_WAITS: Final = "waiting for a person"
_KEPT: Final = 64
"""Actions of which the daemon's word is kept while no call waits for them; the oldest is let go."""
_OVER: Final = {
    "denied": ("approval-denied", "do something else; do not ask for the same action again"),
    "expired": ("hold-over", "call again, if it is still needed: people are asked anew"),
    "withdrawn": ("hold-over", "do not repeat it; ask the person who opened the task"),
    "superseded": ("hold-over", "do not repeat it; ask the person who opened the task"),
}


class Holds:
    """What is waited for by the calls of one connection; used in the loop."""

    def __init__(
        self,
        link: Link,
        timings: Timings,
        tell: Callable[[bytes, Call], None],
        *,
        waits: Callable[[Call], None],
    ) -> None:
        """Wait with this link, so long, tell the client by this, and say by `waits` that a call begins to."""
        self._waits = waits
        self._link = link
        self._say = tell
        self._bound = timings.hold
        self._waiting: dict[str, asyncio.Event] = {}
        self._over: dict[str, HoldPush] = {}

    def told(self, push: HoldPush) -> None:
        """The daemon says what became of a question."""
        self._over.pop(push.action, None)
        self._over[push.action] = push
        while len(self._over) > _KEPT:
            del self._over[next(iter(self._over))]
        self.wake(push.action)

    def wake(self, action: str) -> None:
        """Let the call that waits for this action look around."""
        if action in self._waiting:
            self._waiting[action].set()

    async def lifted(self, call: Call, answer: Answer, decide: Decide) -> Answer:
        """The answer, once people have lifted the hold, or what there is when the wait is over."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._bound
        while True:
            if isinstance(answer, Narrowed):
                call.narrow(answer)  # 4
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
                    await self._leave(call)
                return answer
            if left <= 0:
                return answer  # 1
            if over is not None and over.state == "superseded" and not call.changed:
                call.held = ""
            elif over is not None and over.state in _OVER:
                return _ended(answer, over)
            answer = await decide(call, left=self._left(call, end))  # 3

    def _left(self, call: Call, end: float) -> float:
        """Seconds that a call may still wait from now on, at most its bound at a time (rule 1)."""
        now = asyncio.get_running_loop().time()
        if call.errand is not None and not call.errand.over.is_set():
            return max(0.0, min(call.errand.until - now, self._bound))
        return max(0.0, end - now)

    def _tell(self, call: Call) -> None:
        """Say that the call waits, to a client that wants to know (rule 6)."""
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
        """Wait for news of the held action, at most so long (rule 2)."""
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

    async def _leave(self, call: Call) -> None:
        """Take the question back (rule 5); where the daemon can't be told, it sees the connection's end."""
        try:
            await self._link.ask_any(LeaveHold(action=call.held))
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
