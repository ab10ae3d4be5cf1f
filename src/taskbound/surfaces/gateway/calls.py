"""One call from the client's line to its answer (design 4).

* The daemon decides on the canonical bytes that are then forwarded. The gateway sends nothing without a
  permit for exactly this action, from the server and task that the permit names, in time.
* An unused permit is reported as *not sent*, also when the client cancels before the call was sent. A call
  whose server is ready is sent to the daemon when it is read.
* A result leaves only after the daemon has recorded the outcome and released it (`outcomes`). An outcome
  that the daemon could not record is owed and reported before anything new is asked (`link.Debts`).
* An interrupted call (cancelled, task ended, kill switch, daemon or client gone) is cancelled upstream and
  its result withheld. The server has 2 seconds to answer; otherwise the outcome is unknown, and a server
  whose task is over is killed. Interrupting a call interrupts its readings and questions, and the reverse.
* A cancelled call gets no answer (MCP, Cancellation); every other call gets exactly one.
* A held call waits for approvers (`waiting`); nothing that the client sends counts as their answer.
* If the next round of questions can't be sent the outcome is unknown. If the server continues the call as
  an MCP task of its own, the gateway cancels that task and the outcome is unknown.
* A call that its client polls (`errands`) stays the same call.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.tool import parse_tool_name
from taskbound.ports.upstream import NoAnswer, NotSent, QuestionRound
from taskbound.sdk.arrival import Arrival
from taskbound.sdk.client import DaemonLostError, RefusedByDaemonError
from taskbound.surfaces.gateway import eras as answers
from taskbound.surfaces.gateway.asked.questions import MAX_ROUNDS, Questions, Unfinished, asks_for_input
from taskbound.surfaces.gateway.call import Call, CallRoute, InterruptReason
from taskbound.surfaces.gateway.eras import bridge
from taskbound.surfaces.gateway.errands.kept import DeferredCalls
from taskbound.surfaces.gateway.errors import BadRepinError, BusyError, LapsedError, UnbridgeableError
from taskbound.surfaces.gateway.link import UnrecordedOutcomes
from taskbound.surfaces.gateway.logs import progress_of
from taskbound.surfaces.gateway.outcomes import Outcomes, interrupted
from taskbound.surfaces.gateway.waiting import Holds, ProbeCalls
from taskbound.wire.action import (
    Decide,
    Duplicate,
    Permitted,
    ReadFirst,
    Refused,
)
from taskbound.wire.connection import Fault
from taskbound.wire.mcp.message import result_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from taskbound.ports.upstream import Answered, UpstreamAnswer
    from taskbound.surfaces.gateway.binding import Binding, ServerHandle, Servers
    from taskbound.surfaces.gateway.framing import Client
    from taskbound.surfaces.gateway.link import Link, Timings
    from taskbound.surfaces.gateway.logs import Logs
    from taskbound.wire.action import Reading
    from taskbound.wire.envelope import Answer
    from taskbound.wire.mcp.message import Id, Request


MAX_UNSENT: Final = 8 * 1_048_576
"""Bytes that a server may leave unread before it gets another call."""

_FINAL: Final = frozenset({InterruptReason.ENDED, InterruptReason.PAUSED, InterruptReason.STOPPED})
"""Causes after which a server that does not answer is killed."""
_GONE: Final = frozenset({"no-task", "task-ended", "task-expired"})
"""Refusals that mean that the gateway's binding is outdated."""


@dataclass(slots=True, kw_only=True)
class CallDependencies:
    """The parts that calls are made with."""

    link: Link
    servers: Servers
    logs: Logs
    timings: Timings
    now: Callable[[], int]
    """The wall clock, µs since the epoch."""
    client: Client
    beside: Callable[[Coroutine[None, None, None]], None]
    """Runs this in the background."""
    report: Callable[[TaskboundError, bytes, str], None]
    """Reports bytes that requested an action of this tool but became none."""
    bound: Callable[[], Binding | None]
    """Returns the task's binding if it is current."""
    bind: Callable[[], Awaitable[Binding]]
    """Returns the task's binding, asking if needed; raises without a task, or with an unreported end."""
    repinned: Callable[[], None]
    """Called when a server was pinned again, so that the binding is refreshed."""


class Calls:
    """Every open call of one connection."""

    def __init__(self, desk: CallDependencies) -> None:
        self._desk = desk
        self.open: dict[int | str | tuple[str, int], Call] = {}
        """By the client's id; the gateway's own calls under keys that no client can send."""
        self.debts = UnrecordedOutcomes(desk.link)
        self.errands = DeferredCalls(self, desk)
        self.holds = Holds(desk.link, desk.timings, self.errands.tell, waits=self.errands.wait)
        self.outcomes = Outcomes(desk.link, self.debts)
        self.questions = Questions(self, desk)
        self._readings = ProbeCalls(desk.link, desk.timings, self)

    @property
    def count(self) -> int:
        return len(self.open) + len(self.questions.parked.calls)

    def take(self, call: Call, message: Request) -> None:
        call.id, call.id_raw = message.id, message.id_raw
        self.came(call, message.id)
        self.open[message.id] = call
        if call.is_sent:
            self.errands.wait(call)

    def came(self, call: Call, request: Id) -> None:
        """Notes that the client polls the call by this request: later decisions use its token."""
        call.token = self._desk.client.token(request)

    def leave(self, call: Call) -> None:
        if call.id is not None:
            self.open.pop(call.id, None)
        call.id = None

    def close(self, call: Call) -> None:
        self.leave(call)
        self.errands.calm(call)
        if call.errand is not None:
            self.open.pop(call.errand.key, None)
        self.questions.parked.over(call)
        self.watch()

    def begin(self, call: Call) -> None:
        """Asks the daemon at once if the server is ready."""
        binding = self._desk.bound()
        running = binding.server_of(call.tool, call.server) if binding is not None else None
        if running is not None and running.ready and not len(self.debts):
            call.running = running
            call.asked = self._desk.link.begin(self._question(call, self._desk.timings.hold))

    def watch(self) -> None:
        self._desk.link.watch(busy=bool(self.count) or len(self.debts) > 0)

    async def run(self, call: Call) -> bytes:
        """Runs one call and returns the answering line, or b"" if no answer is due."""
        try:
            result = await self._run(call)
        except TaskboundError as error:
            result = answers.error_result(error, action=call.action, task=call.task)
        if call.is_left:
            return b""
        if call.changed and call.towards is None:  # the server of a question gets only the answer
            result = answers.narrowed(result, call.changed, action=call.action)
        return result if result.endswith(b"\n") else result_line(call.id_raw, result)

    async def _run(self, call: Call) -> bytes:
        failure = None
        if call.asked is None and call.towards is None:
            failure = await self._prepare(call)
            if call.cause is not None:
                return interrupted(call)
        answer = await self.holds.lifted(call, await self._decide(call), self._decide)
        if call.held and _was_left(call, answer):
            return interrupted(call)
        match answer:
            case Permitted():
                call.action, call.task = answer.action, answer.task
                return await self.permitted(call, answer, failure)
            case Refused():
                call.task = call.task or answer.task
                if answer.code in _GONE:
                    self._desk.repinned()
                return answers.refused(answer)
            case Duplicate():
                return await self._repeated(call, answer)
            case Fault():
                raise RefusedByDaemonError(answer)
            case _:
                raise DaemonLostError("the daemon answered with something else")

    async def _prepare(self, call: Call) -> TaskboundError | None:
        """Starts the server before the decision; returns an error, as the daemon records in any case."""
        try:
            call.running = (await self._desk.bind()).server_of(call.tool, call.server)
            if call.running is not None and not call.running.ready:
                await self._desk.servers.make_ready(call.running)
        except DaemonLostError:
            raise
        except TaskboundError as error:
            return error
        return None

    async def _decide(self, call: Call, *, left: float = -1.0) -> Answer:
        answer = await self.ask(call, left=left)
        if isinstance(answer, ReadFirst):
            call.read = await self._readings.of(call, answer)
            try:
                answer = await self.ask(call, left=left)
            finally:
                call.read = None
        return answer

    async def ask(self, call: Call, *, left: float = -1.0) -> Answer:
        """Asks the daemon to decide the call; `left` bounds the wait in seconds, -1 means the default."""
        ask = self._question(call, self._desk.timings.hold if left < 0 else left)
        asked, call.asked = call.asked, None
        if asked is None and len(self.debts):
            await self.debts.pay()
        answer, again = await self._desk.link.ask_twice(ask, asked)
        lost = again and isinstance(answer, Duplicate) and answer.state == "permitted"
        if lost and isinstance(answer, Duplicate) and not self._is_anothers(call, answer.action):
            # The permit was recorded and its answer lost; no other call could have used it.
            call.action, call.task = answer.action, answer.task
            await self.outcomes.report(call, "not-sent", note="the daemon went away while it decided")
            raise DaemonLostError("the daemon went away while it decided, and nothing was run")
        return answer

    def _is_anothers(self, call: Call, action: str) -> bool:
        """Whether another call holds this permit (same key, or an id that its client reused)."""
        known = (*self.open.values(), *self.questions.parked.calls)
        return action in self.debts or any(one is not call and one.action == action for one in known)

    def _question(self, call: Call, wait: float) -> Decide:
        return Decide(
            tool=call.tool,
            arguments=msgspec.Raw(call.arguments),
            request=call.request,
            key=call.key,
            resume=call.held,
            wait=int(wait),
            read=call.read,
            token=call.token,
        )

    async def _repeated(self, call: Call, answer: Duplicate) -> bytes:
        call.action, call.task = answer.action, answer.task
        if isinstance(answer.answer, msgspec.Raw):
            call.was_sent = True  # when it came before, and what it brought is its server's
            raw = bytes(answer.answer)
            value = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
            return bridge(raw, typed="resultType" in value, modern=call.modern)
        return answers.duplicate(answer)

    def reading(self, call: Call, one: Reading, number: int) -> Call:
        """Makes the call that reads a value for this call; its result reaches no client."""
        _, own = parse_tool_name(one.tool)
        return Call(
            id=None,
            id_raw=b"null",
            request=f'["read",{call.request},{number}]',
            key="",
            tool=one.tool,
            server=call.server,
            own=own,
            arguments=bytes(one.arguments),
            modern=True,
            running=call.running,
            token=call.token,
        )

    def late(self, call: Call) -> None:
        self.interrupt(call, InterruptReason.LATE)

    # --- a permit --------------------------------------------------------------------------------

    async def permitted(self, call: Call, permit: Permitted, failure: TaskboundError | None) -> bytes:
        """Sends the call and records its outcome, or reports that it was not sent, and why."""
        if failure is None and call.cause is None:
            try:
                running = await self._sendable(call, permit)
            except DaemonLostError:
                raise
            except TaskboundError as error:
                failure = error
            else:
                if call.cause is None:  # nothing is awaited from here to the send
                    return await self._send(call, running)
        note = call.cause.value if call.cause is not None else failure.message if failure is not None else ""
        await self.outcomes.report(call, "not-sent", note=note)
        if call.cause is not None or failure is None:
            return interrupted(call)
        return answers.error_result(failure, action=call.action, task=call.task)

    async def _sendable(self, call: Call, permit: Permitted) -> ServerHandle:
        binding = await self._desk.bind()
        running = call.running
        if binding.task != permit.task:
            self._desk.repinned()
            raise BadRepinError("the task is another one than when the call was made")
        if running is None:
            running = call.running = binding.servers.get(call.server)
        if running is None or running.identity.digest != permit.server:
            self._desk.repinned()
            raise BadRepinError(f"the server of `{call.tool}` was pinned anew")
        if call.towards is not None:
            return self._in_time(permit, running)
        if not running.ready:
            await self._desk.servers.make_ready(running)
            self._desk.repinned()
            binding = await self._desk.bind()  # it may list something else than what was decided on
            if binding.task != permit.task or call.tool not in binding.reach:
                raise BadRepinError(f"the task or `{call.tool}` changed after it was decided on")
        if not call.modern and call.tool in binding.modern_only:
            raise UnbridgeableError(f"`{call.tool}` answers in a way that this client can't be told")
        if running.upstream is not None and running.upstream.unsent > MAX_UNSENT:
            raise BusyError(f"the server of `{call.tool}` does not take what it was sent")
        await self._desk.logs.settle(running)
        return self._in_time(permit, running)

    def _in_time(self, permit: Permitted, running: ServerHandle) -> ServerHandle:
        if self._desk.now() > permit.until:
            raise LapsedError("the permit ran out before the call could be sent")
        return running

    async def _send(self, call: Call, running: ServerHandle) -> bytes:
        way = call.way
        if way is None:
            await self.outcomes.report(call, "not-sent", note="the server ended")
            return answers.error_result(BadRepinError("the server ended just now"), action=call.action)
        running.enter()
        try:
            found = await self._answered(call, way, running)
        finally:
            running.leave()
            if call.timer is not None:
                call.timer.cancel()
        return await self.outcomes.settle(call, found)

    async def _answered(
        self, call: Call, way: CallRoute, running: ServerHandle
    ) -> UpstreamAnswer | Unfinished:
        """Returns the result over all rounds of the server's questions."""
        if call.towards is not None:
            return await self._sent(call, way, QuestionRound())
        turn = QuestionRound(offers=self.questions.offers(call, running))
        goes_on = partial(self.errands.defer, call)
        number = 0
        while True:
            found = await self._sent(call, way, replace(turn, goes_on=goes_on))
            if number and isinstance(found, NotSent):  # the rounds before were sent, and the server worked
                found = NoAnswer(found.code, found.reason, found.detail)
            for one in tuple(call.questions):
                self.interrupt(
                    one, InterruptReason.CANCELLED
                )  # a server that has answered has no open questions
            if not asks_for_input(found, running.spec.era):
                await self.questions.has_client(call, found)
                return found
            asked = await self._turn(call, running, found, last=number == MAX_ROUNDS - 1)
            if not isinstance(asked, QuestionRound):
                way.cancel(call.number, asked.reason)  # a task of the server's would wait for it
                return NoAnswer(asked.code, asked.reason) if found.is_working else asked
            turn, number = asked, number + 1

    async def _turn(
        self, call: Call, running: ServerHandle, found: Answered, *, last: bool
    ) -> QuestionRound | Unfinished | NoAnswer:
        if last:
            return Unfinished("asks-too-often", f"the server asks more than {MAX_ROUNDS} times in one call")
        return await self.questions.turn(call, running, found)

    async def _sent(self, call: Call, way: CallRoute, turn: QuestionRound) -> UpstreamAnswer:
        waiting: Arrival[UpstreamAnswer] = Arrival()
        call.waiting, call.was_sent = waiting, True
        self.errands.wait(call)
        tell, connected = self.errands.tell, lambda: self._desk.link.connected
        call.number = way.call(
            call.own,
            call.arguments,
            waiting.arrive,
            key=call.key,
            progress=progress_of(call, tell, connected),
            logged=self._desk.logs.of(call) if call.towards is None else None,
            action=call.action,
            turn=turn,
        )
        try:
            return await waiting
        finally:
            call.waiting = None

    # --- interruptions ---------------------------------------------------------------------------

    def interrupt(self, call: Call, cause: InterruptReason, words: str = "") -> None:
        """Stops a call and withholds its result; a task's end overrides a cancel."""
        if call.reading is not None:
            self.interrupt(call.reading, cause, words)
        for one in tuple(call.questions):
            self.interrupt(one, cause, words)
        if call.cause is None:
            call.cause, call.words = cause, words
        elif call.cause not in _FINAL and cause in _FINAL and call.timer is not None:
            call.timer.cancel()
            self._set_timer(call, cause)
            return
        else:
            return
        self.holds.wake(call.held)
        self.questions.parked.wake(call)
        way = call.way
        if call.waiting is None or call.waiting.done() or way is None:
            return
        way.cancel(call.number, cause.value)
        self._set_timer(call, cause)

    def _set_timer(self, call: Call, cause: InterruptReason) -> None:
        loop = asyncio.get_running_loop()
        call.timer = loop.call_later(self._desk.timings.cancel, self._no_answer, call, cause)

    def _no_answer(self, call: Call, cause: InterruptReason) -> None:
        upstream = call.running.upstream if call.running is not None else None
        way = call.way
        if way is None or call.waiting is None or call.waiting.done():
            return
        waiting = call.waiting
        way.forget(call.number)  # a question's way answers by that, and who waited may have gone on
        if not waiting.done():
            waiting.set_result(NoAnswer("no-answer", f"{cause.value}, and the server did not answer"))
        if cause in _FINAL and call.towards is None and upstream is not None:
            upstream.kill(f"{cause.value}, and the server did not answer the cancel")

    def interrupt_all(self, cause: InterruptReason, *, task: str = "", words: str = "") -> None:
        """Interrupts every open call, or those of one task."""
        for call in (*self.open.values(), *self.questions.parked.calls):
            if not task or call.task in {"", task}:
                self.interrupt(call, cause, words)
        self.errands.withhold(cause, task=task, words=words)


def _was_left(call: Call, answer: Answer) -> bool:
    """Whether the call was interrupted while held; then a permit isn't used either."""
    return call.cause is not None and not isinstance(answer, Permitted)
