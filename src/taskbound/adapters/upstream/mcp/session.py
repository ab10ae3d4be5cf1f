"""The stdio session with one server: own request ids, strictly parsed lines.

1. Request ids count up; an answer counts only for an open id, spelled as sent. Late, repeated and unrequested
   answers are dropped.
2. A line is one strict JSON document of at most `MAX_LINE` bytes. An invalid line that clearly answers an
   open call makes it *unknown*; one that looks like a message but can't be attributed ends the server. Other
   text is dropped within bounds.
3. Of server requests `ping` is answered, questions that the client supports are handed on within a bound and
   answered once, others are refused (A161). Notifications are dropped except changes (`news`), withdrawn
   questions, progress by request number, and logs, which belong to the only open call or to none.
4. Messages between two answers are bounded; a flooding server is ended.
5. A request that continues as a server's task keeps its notifications until it is dropped or the server is
   lost. A question that names a task belongs to that task's call, or is refused; its answer names the task
   too (`task`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from taskbound.adapters.upstream.mcp.errors import ServerLostError
from taskbound.adapters.upstream.mcp.handshake import token_in
from taskbound.adapters.upstream.mcp.news import pass_on
from taskbound.adapters.upstream.mcp.task.waiting import of_task, related_in
from taskbound.core.action.parse import Limits
from taskbound.core.action.text import escape_text
from taskbound.core.errors import MalformedError
from taskbound.core.tool.name import QUESTION_NAMES
from taskbound.ports.upstream import Answered, Errored, NoAnswer, NotSent, Question
from taskbound.wire.mcp.message import (
    Failure,
    LineCutter,
    Notice,
    Refused,
    Request,
    Result,
    error_line,
    failure_line,
    notice_line,
    parse_message,
    request_line,
    result_line,
    salvage,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.adapters.upstream.mcp.news import Listening
    from taskbound.ports.upstream import Logged, Told, UpstreamAnswer, UpstreamEvents
    from taskbound.wire.mcp.message import Id


MAX_LINE: Final = 16 * 1024 * 1024
"""Bytes of one line of a server."""
MAX_UNASKED: Final = 64 * 1024 * 1024
"""Bytes that a server may say between two answers that somebody waits for."""
_LIMITS: Final = Limits(size=MAX_LINE, parts=262_144)
METHOD_NOT_FOUND: Final = -32601
REFUSAL: Final = "this client offers nothing to servers"
_INVALID_REQUEST: Final = -32600
_INVALID_PARAMS: Final = -32602
_INTERNAL_ERROR: Final = -32603
_SHOWN: Final = 200
_GARBAGE: Final = 1_024
"""Bytes that a line counts for which is no message: it may have two, and takes as long as one (rule 4)."""
_BEGINNINGS: Final = frozenset({b"{", b"["})
_MOST_QUESTIONS: Final = 8
"""Questions of one server that are open at once."""


class Asks:
    """Unanswered questions of a legacy server (rule 3), limited to the capabilities in `offers`."""

    def __init__(self, events: UpstreamEvents, offers: bytes, write: Callable[[bytes], None]) -> None:
        declared = msgspec.json.decode(offers, type=dict[str, Any])
        self._able = frozenset(one for one in QUESTION_NAMES if one.partition("/")[0] in declared)
        self._events = events
        self._write = write
        self._open: dict[Id, Question] = {}
        self.whose: Callable[[str, int], int] = lambda _, __: -1
        """The call of a task, by its name and the exchange in which it is named (rule 5)."""

    def ask(self, message: Request, number: int = 0) -> None:
        if message.method == "ping":
            self._write(result_line(message.id_raw, b"{}"))
        elif message.method not in self._able:
            self._write(failure_line(message.id_raw, METHOD_NOT_FOUND, REFUSAL))
        elif message.id in self._open:
            self._write(failure_line(message.id_raw, _INVALID_REQUEST, "a question of this id is open"))
        elif len(self._open) >= _MOST_QUESTIONS:
            words = f"{_MOST_QUESTIONS} questions are open"
            self._write(failure_line(message.id_raw, _INTERNAL_ERROR, words))
        elif (of := self._task_of(message, number)) is None:
            self._write(failure_line(message.id_raw, _INVALID_PARAMS, "there is no such task here"))
        else:
            number, name = of

            def answer(found: Answered | Errored, *, action: str = "") -> None:
                del action
                if name and isinstance(found, Answered):
                    found = Answered(of_task(found.raw, name), found.value)
                self._answered(message, question, found)

            question = Question(number, message.method, message.params, answer)
            self._open[message.id] = question
            self._events.asked(question)

    def _task_of(self, message: Request, number: int) -> tuple[int, str] | None:
        name = related_in(message.params)
        if name is None:
            return number, ""
        number = self.whose(name, number)
        return (number, name) if number >= 0 else None

    def take_back(self, notice: Notice) -> None:
        request = notice.params.get("requestId")
        if isinstance(request, int | str) and not isinstance(request, bool):
            question = self._open.pop(request, None)
            if question is not None:
                self._events.withdrawn(question)

    def _answered(self, message: Request, question: Question, found: Answered | Errored) -> None:
        if self._open.get(message.id) is not question:
            return  # it was taken back; another one may have its id by now
        del self._open[message.id]
        raw = message.id_raw
        self._write(
            result_line(raw, found.raw) if isinstance(found, Answered) else error_line(raw, found.raw)
        )


class Channel(Protocol):
    """The process that a session talks to."""

    @property
    def unsent(self) -> int:
        pass

    def write(self, data: bytes) -> None:
        pass

    def kill(self) -> None:
        """Ends it at once."""


class Session:
    """One connection to one server, in either era; `attach` gives it the process."""

    def __init__(self, events: UpstreamEvents, *, offers: bytes = b"{}") -> None:
        self._events = events
        self._asks = Asks(events, offers, self._say)
        self._cutter = LineCutter(MAX_LINE)
        self._open: dict[int, Callable[[UpstreamAnswer], None]] = {}
        self._progress: dict[int, Told] = {}
        self._logged: dict[int, Told] = {}
        self._kept: dict[int, Callable[[UpstreamAnswer], None]] = {}
        """Requests that were answered and are heard of all the same: who is told that the server is lost."""
        self._last = 0
        self._unasked = 0
        self._channel: Channel | None = None
        self._over = ""
        self._detail = ""
        self.listening: Listening | None = None
        """The stream of a modern server's news."""

    def attach(self, channel: Channel) -> None:
        self._channel = channel

    @property
    def alive(self) -> bool:
        return self._channel is not None and not self._over

    @property
    def unsent(self) -> int:
        return self._channel.unsent if self._channel is not None else 0

    # --- towards the server ----------------------------------------------------------------------

    @property
    def upcoming(self) -> int:
        return self._last + 1

    def send(
        self,
        method: str,
        params: bytes,
        answer: Callable[[UpstreamAnswer], None],
        *,
        progress: Told | None = None,
        logged: Logged | None = None,
    ) -> int:
        """Sends a request; `answer` is called once, later, after the other callbacks."""
        number = self._last = self._last + 1
        if not self.alive or self._channel is None:
            lost = NotSent("server-lost", self._over or "the server is not there", self._detail)
            asyncio.get_running_loop().call_soon(answer, lost)
            return number
        self._open[number] = answer
        if progress is not None:
            self._progress[number] = progress
        if logged is not None:
            self._logged[number] = logged.told
        self._channel.write(request_line(number, method, params))
        return number

    def tell(self, method: str, params: bytes = b"") -> None:
        if self._channel is not None:
            self._channel.write(notice_line(method, params))

    def cancel(self, number: int, reason: str) -> None:
        if number in self._open:
            params = b'{"reason":%b,"requestId":%d}' % (text(reason), number)
            self.tell("notifications/cancelled", params)

    def forget(self, number: int) -> None:
        self._open.pop(number, None)
        self._progress.pop(number, None)
        self._logged.pop(number, None)

    def relate(self, whose: Callable[[str, int], int]) -> None:
        self._asks.whose = whose

    def keep(
        self,
        number: int,
        lost: Callable[[UpstreamAnswer], None],
        *,
        progress: Told | None,
        logged: Logged | None,
    ) -> None:
        """Keeps an answered request's notifications (rule 5); `lost` is called when the server is lost."""
        self._kept[number] = lost
        if progress is not None:
            self._progress[number] = progress
        if logged is not None:
            self._logged[number] = logged.told

    def drop(self, number: int) -> None:
        self._kept.pop(number, None)
        self.forget(number)

    async def ask(
        self,
        method: str,
        params: bytes,
        *,
        patience: float,
        headers: tuple[tuple[str, str], ...] = (),
        of: int = 0,
    ) -> Answered | Errored:
        del headers, of
        waiting: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()

        def answer(found: UpstreamAnswer) -> None:
            if not waiting.done():
                waiting.set_result(found)

        number = self.send(method, params, answer)
        try:
            async with asyncio.timeout(patience):
                found = await waiting
        except TimeoutError as error:
            raise ServerLostError(f"the server does not answer `{method}` in {patience:g} s") from error
        finally:
            self.forget(number)
        if isinstance(found, NoAnswer | NotSent):
            raise ServerLostError(found.reason, detail=found.detail)
        return found

    # --- from the server -------------------------------------------------------------------------

    def heard(self, data: bytes) -> None:
        self._unasked += len(data)
        for line in self._cutter.feed(data):
            if self._over:
                return
            if isinstance(line, Refused):
                self._garbage(line.raw, line.error)
            elif _may_be_message(line):
                self._line(line)
        if self._cutter.overflowing:
            self.end(f"the server writes a line of more than {MAX_LINE} bytes")  # 2
        elif self._unasked > MAX_UNASKED:
            self.end(f"the server said more than {MAX_UNASKED} bytes without being asked")  # 4

    def fell_silent(self, reason: str, detail: str) -> None:
        self._lose(reason, detail)

    def end(self, reason: str, detail: str = "") -> None:
        """Ends the server; later messages are ignored."""
        if self._channel is not None:
            self._channel.kill()
        self._lose(reason, detail)

    def _lose(self, reason: str, detail: str) -> None:
        if self._over:
            return
        self._over, self._detail = reason, detail
        waiting, self._open = [*self._open.values(), *self._kept.values()], {}
        self._kept.clear()
        self._progress.clear()
        self._logged.clear()
        for answer in waiting:
            answer(NoAnswer("server-lost", reason, detail))
        self._events.ended(reason, detail)

    def _line(self, line: bytes) -> None:
        try:
            message = parse_message(line, limits=_LIMITS)
        except MalformedError as error:
            self._garbage(line, error)
            return
        match message:
            case Result():
                self._answered(message)
            case Failure():
                self._failed(message)
            case Request():
                self._asks.ask(message)  # 3
            case Notice(method="notifications/cancelled"):
                self._asks.take_back(message)
            case Notice(method="notifications/progress", params=params):
                told = self._progress.get(token_in(params))
                if told is not None:
                    told(params)
            case Notice(method="notifications/message", params=params):
                alone = tuple(self._logged.values()) if len(self._logged) == 1 else ()
                (alone[0] if alone else self._events.logged)(params)  # 3
            case Notice():
                pass_on(message, self._events, self.listening)

    def _answered(self, message: Result) -> None:
        if not isinstance(message.id, int):
            return
        if isinstance(message.value, dict):
            self._resolve(message.id, Answered(message.raw, message.value))
        else:
            self._resolve(message.id, NoAnswer("garbage", "the server answered with no object"))

    def _failed(self, message: Failure) -> None:
        if isinstance(message.id, int):
            self._resolve(message.id, Errored(message.raw, message.code, message.message))
        elif message.id is None and len(self._open) == 1:
            # It could not tell which request it answers; only one is open, and what it did is unknown.
            (number,) = self._open
            self._resolve(number, NoAnswer("garbage", "the server sent an error that answers no request"))

    def _resolve(self, number: int, found: UpstreamAnswer) -> None:
        answer = self._open.pop(number, None)  # 1
        self._progress.pop(number, None)
        self._logged.pop(number, None)
        if answer is not None:
            self._unasked = 0
            answer(found)

    def _garbage(self, line: bytes, error: MalformedError) -> None:
        self._unasked += _GARBAGE
        known = salvage(line)
        if isinstance(known.id, int) and known.id in self._open and known.method is None:
            self._resolve(
                known.id, NoAnswer(error.code, f"the server's answer can't be read: {error.message}")
            )
        elif _may_be_message(line) and self._open:
            shown = escape_text(line[:_SHOWN].decode("utf-8", "replace"))
            self.end(f"the server wrote what can't be read: {error.message}", shown)

    def _say(self, line: bytes) -> None:
        if self._channel is not None and self.alive:
            self._channel.write(line)


def _may_be_message(line: bytes) -> bool:
    return line[:1] in _BEGINNINGS or (line[:1].isspace() and line.lstrip()[:1] in _BEGINNINGS)
