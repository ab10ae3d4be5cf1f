"""Calls that their clients come back for, which MCP calls tasks: named, waited for, and kept within bounds.

1. An errand is no act of its own: it is the one call that was decided, permitted and sent, and whose outcome
   is recorded once, on the way of every call (`calls`). Its client asks for it by a name.
2. A name is 256 bits of chance, of one connection (over HTTP, of one task's seat), of one revision of MCP and
   of the task that the call was made in. What is another's, is over or never was is one and the same error.
3. A client of 2025-11-25 asks for an errand. One of 2026-07-28 gets one where it has said that it knows them
   and its call takes time: at once when its server says so (`defer`), and otherwise after a while (`wait`).
4. What interrupts calls interrupts errands, and what of them is kept: a pause, the end of the task, the kill
   switch, a daemon that is lost. In the place of a result stands then why it is withheld.
5. One connection has so many errands, of so many bytes, each for so long. What was given out once goes first
   when there is no room. A call that has none is waited for; a result that has none is withheld.
6. A status is told to a client of 2025-11-25 when it changes, as long as the daemon is there.
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
from taskbound.surfaces.gateway.call import Cause
from taskbound.surfaces.gateway.errands.errors import NoRoomError, UnknownErrandError
from taskbound.surfaces.gateway.errors import INTERNAL_ERROR, BusyError
from taskbound.surfaces.gateway.outcomes import interrupted
from taskbound.wire.mcp.message import notice_line, result_line
from taskbound.wire.mcp.task import RELATED_KEY, McpTask, TaskStatus, task_members

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.surfaces.gateway.call import Call
    from taskbound.surfaces.gateway.calls import Calls, Desk
    from taskbound.wire.mcp.message import Id


MAX_ERRANDS: Final = 1_000
"""Errands of one connection, those too that have ended and are kept."""
MAX_BYTES: Final = 64 * 1_048_576
"""Bytes of results of one connection that are kept."""
LONGEST: Final = 3_600_000
"""Milliseconds for which an errand is there, unless its client wants it for less."""
SHORTEST: Final = 1_000
"""Milliseconds for which it is there at least."""
INTERVAL: Final = 1_000
"""Milliseconds after which a client is told to ask again."""
_CHANCE: Final = 32
"""Bytes of chance in a name."""
_WAITS: Final = "waiting for a person"
_FAILED: Final = "the server answered with an error"


@dataclass(slots=True, kw_only=True, eq=False)
class Errand:
    """One call that its client comes back for."""

    name: str
    call: Call
    key: tuple[str, int]
    """Under which the call is open: no client can send it."""
    modern: bool
    made: int
    """Instant, µs since the epoch."""
    ttl: int
    """Milliseconds."""
    task: str
    """The task that it was made in; empty as long as nobody knows."""
    updated: int
    status: TaskStatus = TaskStatus.WORKING
    result: bytes = b""
    """The result, as it is kept."""
    error: bytes = b""
    """The error, as it is kept."""
    given: bool = False
    """Whether its client was given that."""
    withheld: bool = False
    """Whether a refusal of ours stands there for good."""
    counted: int = 0
    """So many of its bytes count for the bound of the connection."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once nothing more becomes of it."""
    waiting: list[Id] = field(default_factory=list)
    """The requests by which a client of 2025-11-25 waits for it."""
    until: float = 0.0
    """When its time is over, by the loop's clock in seconds."""
    timer: asyncio.TimerHandle | None = None

    @property
    def related(self) -> dict[str, JsonValue]:
        """What names it in the `_meta` of what belongs to it (2025-11-25)."""
        return {RELATED_KEY: {"taskId": self.name}}

    @property
    def size(self) -> int:
        """Bytes that are kept of it, with those by which the daemon is asked about it."""
        return len(self.result) + len(self.error) + len(self.call.arguments)

    @property
    def is_server_s(self) -> bool:
        """Whether what it brings is a server's, and not a refusal of ours alone."""
        return self.call.was_sent and not self.withheld

    @property
    def shown(self) -> McpTask:
        """What its client is told of it."""
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
                return Cause.CANCELLED.value
            case TaskStatus.FAILED:
                return _FAILED if self.error else ""
            case _:
                return ""


class Errands:
    """Those of one connection; used in the loop."""

    def __init__(self, calls: Calls, desk: Desk) -> None:
        """Start with none."""
        self._calls = calls
        self._desk = desk
        self._all: dict[str, Errand] = {}
        self._numbers = count(1)
        self._kept = 0

    def __len__(self) -> int:
        """How many there are, with those that have ended."""
        return len(self._all)

    # --- calls that become one -------------------------------------------------------------------

    def require_room(self) -> None:
        """Go on only when there can be another one (rule 5).

        Raises:
            BusyError: There can't.
        """
        if not self._has_room():
            raise BusyError(f"a connection has at most {MAX_ERRANDS} MCP tasks")

    def _has_room(self) -> bool:
        if len(self._all) >= MAX_ERRANDS:
            self._let_go(next((one for one in self._all.values() if one.given), None))
        return len(self._all) < MAX_ERRANDS

    def wait(self, call: Call) -> None:
        """The call takes time from now on: after a while its client is told to come back for it (rule 3)."""
        if call.knows_tasks and call.patience is None and call.errand is None:
            loop = asyncio.get_running_loop()
            call.patience = loop.call_later(self._desk.timings.patience, self.defer, call)

    def defer(self, call: Call) -> None:
        """Tell a client that knows of errands to come back for its call (rule 3); another one waits on."""
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
        """Nobody is told to come back for it just because time goes by."""
        if call.patience is not None:
            call.patience.cancel()
            call.patience = None

    def make(self, call: Call, ttl: int) -> Errand:
        """Have the client of an open call come back for it: its request is free for its answer.

        Args:
            call: The call, for which there is room.
            ttl: Milliseconds for which the client wants it.
        """
        now = self._desk.now()
        binding = self._desk.bound()
        span = min(max(ttl, SHORTEST), LONGEST)
        errand = Errand(
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
        """Say something of a call to its client: by who waits for it, or outside of requests (2025-11-25)."""
        to = call.id
        if call.errand is not None:
            client = self._desk.client
            to = next((one for one in reversed(call.errand.waiting) if client.can_hear(one)), None)
            if to is None and call.talk is not None:
                client.say(line, call.talk)
                return
        self._desk.client.tell(line, to)

    # --- what becomes of them --------------------------------------------------------------------

    def find(self, name: str, *, modern: bool) -> Errand:
        """The errand of this name, for a client of this revision (rule 2).

        Raises:
            UnknownErrandError: There is none.
        """
        found = self._all.get(name)
        if found is None or found.modern is not modern:
            raise UnknownErrandError("there is no such MCP task")
        return found

    def of_legacy(self) -> list[Errand]:
        """Those of clients of 2025-11-25, oldest first."""
        return [one for one in self._all.values() if not one.modern]

    def look(self, call: Call) -> None:
        """What a call waits for may be another now (rule 6)."""
        errand = call.errand
        if errand is None or errand.status.is_terminal:
            return
        asks = self._calls.questions.are_asked(call)
        self._turn(errand, TaskStatus.INPUT_REQUIRED if asks else TaskStatus.WORKING)

    def settle(self, errand: Errand, line: bytes) -> None:
        """Its call is over: keep what it brought, once its outcome is recorded.

        Args:
            errand: The errand.
            line: The answer as the client would have got it; empty when it gets none.
        """
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
        if call.cause is Cause.ENDED:
            self._let_go(errand)

    def cancel(self, errand: Errand) -> None:
        """Its client wants nothing of it any more: its call is interrupted, and recorded as calls are."""
        self._turn(errand, TaskStatus.CANCELLED)
        errand.over.set()
        self._calls.interrupt(errand.call, Cause.CANCELLED)

    def withhold(self, cause: Cause, *, task: str, words: str) -> None:
        """What calls are interrupted by withholds what is kept, too (rule 4)."""
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
            if cause is Cause.ENDED:
                self._let_go(errand)

    def close(self) -> None:
        """Keep nothing any more."""
        for errand in tuple(self._all.values()):
            self._let_go(errand)

    def _turn(self, errand: Errand, status: TaskStatus) -> None:
        if errand.status is status:
            return
        errand.status, errand.updated = status, self._desk.now()
        talk = errand.call.talk
        if talk is not None and talk.begun and self._desk.link.connected:
            said = canonical(task_members(errand.shown, modern=False))
            self._desk.client.say(notice_line("notifications/tasks/status", said), talk)  # 6

    def _expire(self, errand: Errand) -> None:
        """Its time is over (rule 5)."""
        self._let_go(errand)
        errand.over.set()
        self._calls.interrupt(errand.call, Cause.EXPIRED)

    # --- room ------------------------------------------------------------------------------------

    def _make_room(self, errand: Errand) -> None:
        """Withhold a result for which there is no room, when what was given out once is gone (rule 5)."""
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

    def _count(self, errand: Errand) -> None:
        self._kept += errand.size - errand.counted
        errand.counted = errand.size

    @staticmethod
    def _refuse(errand: Errand) -> None:
        """Nothing of a server's is kept of it any more, nor that by which the daemon is asked about such."""
        errand.withheld = True
        errand.call.arguments = b"{}"

    def _let_go(self, errand: Errand | None) -> None:
        """Forget one; who waits for it has it in hand."""
        if errand is None or self._all.pop(errand.name, None) is None:
            return
        if errand.timer is not None:
            errand.timer.cancel()
        self._kept -= errand.counted


def _status(errand: Errand) -> TaskStatus:
    """What has become of an errand, by what it brought: an error of a tool is a result in 2026-07-28."""
    if errand.error:
        return TaskStatus.FAILED
    result = msgspec.json.decode(errand.result, type=dict[str, msgspec.Raw])
    failed = not errand.modern and result.get("isError") == msgspec.Raw(b"true")
    return TaskStatus.FAILED if failed else TaskStatus.COMPLETED


def _as_error(refusal: bytes) -> bytes:
    """A refusal of ours for a call that has an error, and so no result."""
    decided = answers.decision_in(refusal)
    data = msgspec.Raw(decided.data)
    return msgspec.json.encode({"code": INTERNAL_ERROR, "data": data, "message": decided.words})


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1_000_000, UTC).isoformat(timespec="milliseconds")
