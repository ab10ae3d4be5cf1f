"""Calls that their clients poll (MCP tasks): named, waited for, and kept within bounds.

1. An errand is the one call that was decided, permitted and sent; its outcome is recorded once (`calls`).
2. A name is 256 random bits, valid for one connection (over HTTP: one task's seat), one MCP revision and
   the task of the call. Foreign, finished and unknown names give the same error.
3. A client of 2025-11-25 requests an errand. A client of 2026-07-28 that declared the extension gets one
   when its server asks for it (`defer`) or after a while (`wait`).
4. What interrupts calls also interrupts errands and their kept results; the reason replaces the result.
5. Number, bytes and lifetime are bounded for each connection; results that were given out are dropped
   first. A call without room is waited for; a result without room is withheld.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import field
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.surfaces.gateway import eras as answers
from taskbound.surfaces.gateway.call import InterruptReason
from taskbound.surfaces.gateway.errors import INTERNAL_ERROR, BusyError, NoRoomError, UnknownErrandError
from taskbound.surfaces.gateway.outcomes import interrupted
from taskbound.wire.mcp.message import notice_line, result_line
from taskbound.wire.mcp.task import RELATED_KEY, McpTask, TaskStatus, task_members

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.surfaces.gateway.call import Call
    from taskbound.surfaces.gateway.calls import CallDependencies, Calls
    from taskbound.wire.mcp.message import Id


MAX_ERRANDS: Final = 1_000
"""Errands per connection, including ended ones that are kept."""
MAX_BYTES: Final = 64 * 1_048_576
"""Bytes of results of one connection that are kept."""
LONGEST: Final = 3_600_000
"""The maximum and default lifetime in milliseconds."""
SHORTEST: Final = 1_000
"""The minimum lifetime in milliseconds."""
INTERVAL: Final = 1_000
"""The suggested polling interval in milliseconds."""
_CHANCE: Final = 32
"""Random bytes in a name."""
_WAITS: Final = "waiting for a person"
_FAILED: Final = "the server answered with an error"


@dataclass(slots=True, kw_only=True, eq=False)
class DeferredCall:
    """One call that its client polls."""

    name: str
    call: Call
    key: tuple[str, int]
    """The key of the open call; no client can send it."""
    modern: bool
    made: int
    """Instant, µs since the epoch."""
    ttl: int
    """Milliseconds."""
    task: str
    """The task of the call; empty until it is known."""
    updated: int
    status: TaskStatus = TaskStatus.WORKING
    result: bytes = b""
    error: bytes = b""
    given: bool = False
    """Whether its client got the result."""
    withheld: bool = False
    """Whether a refusal of the gateway replaced the result for good."""
    counted: int = 0
    """Its bytes that count against the connection's bound."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: list[Id] = field(default_factory=list)
    """The requests by which a client of 2025-11-25 waits for it."""
    until: float = 0.0
    """When its time is over, by the loop's clock in seconds."""
    timer: asyncio.TimerHandle | None = None

    @property
    def related(self) -> dict[str, JsonValue]:
        return {RELATED_KEY: {"taskId": self.name}}

    @property
    def size(self) -> int:
        """Returns the bytes kept for it, with those needed to ask the daemon about it."""
        return len(self.result) + len(self.error) + len(self.call.arguments)

    @property
    def is_server_s(self) -> bool:
        """Whether its content is a server's and not only the gateway's refusal."""
        return self.call.was_sent and not self.withheld

    @property
    def shown(self) -> McpTask:
        return McpTask(
            name=self.name,
            status=self.status,
            made=_time(self.made),
            updated=_time(self.updated),
            ttl=self.ttl,
            interval=INTERVAL,
            words=self._words,
        )

    @property
    def _words(self) -> str:
        match self.status:
            case TaskStatus.WORKING:
                return _WAITS if self.call.is_held else ""
            case TaskStatus.CANCELLED:
                return InterruptReason.CANCELLED.value
            case TaskStatus.FAILED:
                return _FAILED if self.error else ""
            case _:
                return ""


class DeferredCalls:
    """The errands of one connection; used in the event loop."""

    def __init__(self, calls: Calls, desk: CallDependencies) -> None:
        self._calls = calls
        self._desk = desk
        self._all: dict[str, DeferredCall] = {}
        self._numbers = count(1)
        self._kept = 0

    def __len__(self) -> int:
        return len(self._all)

    # --- calls that become one -------------------------------------------------------------------

    def require_room(self) -> None:
        """Raises BusyError if no further errand fits (rule 5)."""
        if not self._has_room():
            raise BusyError(f"a connection has at most {MAX_ERRANDS} MCP tasks")

    def _has_room(self) -> bool:
        if len(self._all) >= MAX_ERRANDS:
            self._let_go(next((one for one in self._all.values() if one.given), None))
        return len(self._all) < MAX_ERRANDS

    def wait(self, call: Call) -> None:
        """Starts the timer after which the client must poll for a slow call (rule 3)."""
        if call.knows_tasks and call.patience is None and call.errand is None:
            loop = asyncio.get_running_loop()
            call.patience = loop.call_later(self._desk.timings.patience, self.defer, call)

    def defer(self, call: Call) -> None:
        """Tells a client that declared the extension to poll for its call (rule 3)."""
        self.calm(call)
        if not call.knows_tasks or call.errand is not None or call.id is None or call.cause is not None:
            return
        if not self._has_room():
            return
        asked, raw = call.id, call.id_raw
        errand = self.make(call, LONGEST)
        members = task_members(errand.shown, modern=True)
        self._desk.client.answer(result_line(raw, canonical(members | {"resultType": "task"})), asked)

    @staticmethod
    def calm(call: Call) -> None:
        if call.patience is not None:
            call.patience.cancel()
            call.patience = None

    def make(self, call: Call, ttl: int) -> DeferredCall:
        """Frees the call's request for an answer; needs room; `ttl` is in milliseconds."""
        now = self._desk.now()
        binding = self._desk.bound()
        span = min(max(ttl, SHORTEST), LONGEST)
        errand = DeferredCall(
            name=secrets.token_urlsafe(_CHANCE),
            call=call,
            key=("errand", next(self._numbers)),
            modern=call.modern,
            made=now,
            updated=now,
            ttl=span,
            task=call.task or (binding.task if binding is not None else ""),
        )
        self._calls.leave(call)
        call.errand = errand
        self._calls.open[errand.key] = call
        self._all[errand.name] = errand
        loop = asyncio.get_running_loop()
        errand.until = loop.time() + span / 1_000
        errand.timer = loop.call_at(errand.until, self._expire, errand)
        return errand

    def tell(self, line: bytes, call: Call) -> None:
        to = call.id
        if call.errand is not None:
            client = self._desk.client
            to = next((one for one in reversed(call.errand.waiting) if client.can_hear(one)), None)
            if to is None and call.talk is not None:
                client.say(line, call.talk)
                return
        self._desk.client.tell(line, to)

    # --- what becomes of them --------------------------------------------------------------------

    def find(self, name: str, *, modern: bool) -> DeferredCall:
        """Returns the errand of this name (rule 2); raises UnknownErrandError."""
        found = self._all.get(name)
        if found is None or found.modern is not modern:
            raise UnknownErrandError("there is no such MCP task")
        return found

    def of_legacy(self) -> list[DeferredCall]:
        """Returns the errands of clients of 2025-11-25, oldest first."""
        return [one for one in self._all.values() if not one.modern]

    def look(self, call: Call) -> None:
        """Notifies a client of 2025-11-25 if the status of a call has changed and the daemon is connected."""
        errand = call.errand
        if errand is None or errand.status.is_terminal:
            return
        asks = self._calls.questions.are_asked(call)
        self._turn(errand, TaskStatus.INPUT_REQUIRED if asks else TaskStatus.WORKING)

    def settle(self, errand: DeferredCall, line: bytes) -> None:
        """Keeps the answering line of a finished call after its outcome is recorded; b"" if it has none."""
        call = errand.call
        errand.task = errand.task or call.task
        over = errand.status.is_terminal
        if call.cause is not None:
            self._refuse(errand)
        if errand.name in self._all and not over:
            members = msgspec.json.decode(line, type=dict[str, msgspec.Raw]) if line else {}
            errand.result, errand.error = bytes(members.get("result", b"")), bytes(members.get("error", b""))
            if not members and call.cause is None:
                errand.error = canonical({"code": INTERNAL_ERROR, "message": "this should not have happened"})
            elif call.cause is not None:  # also one that came while the outcome was recorded (rule 4)
                errand.result, errand.error = interrupted(call), b""
            self._make_room(errand)
            self._turn(errand, _status(errand))
        errand.over.set()
        if call.cause is InterruptReason.ENDED:
            self._let_go(errand)

    def cancel(self, errand: DeferredCall) -> None:
        """Interrupts the call of an errand that its client cancelled; it is recorded like any call."""
        self._turn(errand, TaskStatus.CANCELLED)
        errand.over.set()
        self._calls.interrupt(errand.call, InterruptReason.CANCELLED)

    def withhold(self, cause: InterruptReason, *, task: str, words: str) -> None:
        """Withholds kept results for the same causes that interrupt calls (rule 4)."""
        for errand in [one for one in self._all.values() if one.over.is_set()]:
            call = errand.call
            if task and errand.task not in {"", task}:
                continue
            if errand.is_server_s and call.cause is None:
                call.cause, call.words = cause, words
                self._refuse(errand)
                errand.result, errand.error, errand.given = interrupted(call), b"", False
                if errand.modern and errand.status is TaskStatus.FAILED:  # an end stays what it was
                    errand.result, errand.error = b"", _as_error(errand.result)
                self._count(errand)
            if cause is InterruptReason.ENDED:
                self._let_go(errand)

    def close(self) -> None:
        for errand in tuple(self._all.values()):
            self._let_go(errand)

    def _turn(self, errand: DeferredCall, status: TaskStatus) -> None:
        if errand.status is status:
            return
        errand.status, errand.updated = status, self._desk.now()
        talk = errand.call.talk
        if talk is not None and talk.begun and self._desk.link.connected:
            said = canonical(task_members(errand.shown, modern=False))
            self._desk.client.say(notice_line("notifications/tasks/status", said), talk)

    def _expire(self, errand: DeferredCall) -> None:
        self._let_go(errand)
        errand.over.set()
        self._calls.interrupt(errand.call, InterruptReason.EXPIRED)

    # --- room ------------------------------------------------------------------------------------

    def _make_room(self, errand: DeferredCall) -> None:
        given = [one for one in self._all.values() if one.given and one.size]
        while self._kept + errand.size > MAX_BYTES and given:
            self._let_go(given.pop(0))
        if self._kept + errand.size > MAX_BYTES:
            wrong = NoRoomError("so many results are kept for this client that there is no room for it")
            call = errand.call
            self._refuse(errand)
            errand.error = b""
            errand.result = answers.withheld(
                wrong.code, wrong.message, action=call.action, task=call.task, advice=wrong.advice
            )
        self._count(errand)

    def _count(self, errand: DeferredCall) -> None:
        self._kept += errand.size - errand.counted
        errand.counted = errand.size

    @staticmethod
    def _refuse(errand: DeferredCall) -> None:
        errand.withheld = True
        errand.call.arguments = b"{}"

    def _let_go(self, errand: DeferredCall | None) -> None:
        if errand is None or self._all.pop(errand.name, None) is None:
            return
        if errand.timer is not None:
            errand.timer.cancel()
        self._kept -= errand.counted


def _status(errand: DeferredCall) -> TaskStatus:
    """Derives the status from the result: in 2026-07-28 a tool's error is a result."""
    if errand.error:
        return TaskStatus.FAILED
    result = msgspec.json.decode(errand.result, type=dict[str, msgspec.Raw])
    failed = not errand.modern and result.get("isError") == msgspec.Raw(b"true")
    return TaskStatus.FAILED if failed else TaskStatus.COMPLETED


def _as_error(refusal: bytes) -> bytes:
    decided = answers.decision_in(refusal)
    data = msgspec.Raw(decided.data)
    return msgspec.json.encode({"code": INTERNAL_ERROR, "data": data, "message": decided.words})


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1_000_000, UTC).isoformat(timespec="milliseconds")
