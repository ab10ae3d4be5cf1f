"""The session with one server (`McpSession`), and the one over stdio (`Session`): strictly parsed lines.

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
6. A progress token is its request's number. It counts in the call's own exchange and on the stream outside
   calls, where older servers send it, never in another call's exchange. Logs in a call's exchange belong to
   that call. Requests about a call that continues as a server's task have their own exchanges; their
   notifications belong to that call until it is dropped or the server is lost.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import msgspec

from taskbound.adapters.upstream.mcp.errors import ServerLostError
from taskbound.adapters.upstream.mcp.handshake import token_in
from taskbound.adapters.upstream.mcp.news import pass_on
from taskbound.adapters.upstream.mcp.task.waiting import of_task, related_in
from taskbound.core.action.parse import Limits
from taskbound.core.action.text import escape_text
from taskbound.core.dataclass import dataclass
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
    from collections.abc import Callable, Mapping

    from taskbound.adapters.upstream.mcp.news import Listening
    from taskbound.core.action.canonical import JsonValue
    from taskbound.ports.upstream import Logged, Told, UpstreamAnswer, UpstreamEvents
    from taskbound.wire.mcp.message import Id


NO_REQUEST: Final = 0
"""The number of no request: requests are numbered from 1."""
Headers: TypeAlias = "tuple[tuple[str, str], ...]"
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


class ServerQuestions:
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


@dataclass(slots=True, eq=False)
class Waiting:
    """An open exchange."""

    answer: Callable[[UpstreamAnswer], None]
    progress: Told | None = None
    logged: Told | None = None
    task: asyncio.Task[None] | None = None


class Exchanges:
    """Open exchanges of one server by number; `logged` gets logs of no known call."""

    def __init__(self, logged: Told) -> None:
        self._logged = logged
        self.open: dict[int, Waiting] = {}
        self._kept: dict[int, Waiting] = {}
        self._of: dict[int, int] = {}
        """By the number of a question that is open: the call that it is about (rule 6)."""

    def begin(self, number: int, one: Waiting, *, of: int = NO_REQUEST) -> None:
        """Opens an exchange, which may be about a call."""
        self.open[number] = one
        if of:
            self._of[number] = of

    def end(self, number: int) -> Waiting | None:
        self._of.pop(number, None)
        return self.open.pop(number, None)

    def keep(self, number: int, one: Waiting) -> None:
        self._kept[number] = one

    def drop(self, number: int) -> None:
        self._kept.pop(number, None)

    def lose(self, found: NoAnswer) -> None:
        kept, self._kept = self._kept, {}
        for one in kept.values():
            one.answer(found)

    def about(self, within: int | None) -> int | None:
        return self._of.get(within, within) if within is not None else None

    def progressed(self, params: Mapping[str, JsonValue], within: int | None) -> None:
        token = token_in(params)
        one = self._heard_of(token) if self.about(within) in {token, NO_REQUEST} else None
        if one is not None and one.progress is not None:
            one.progress(params)

    def log(self, params: Mapping[str, JsonValue], within: int | None) -> None:
        within = self.about(within)
        every = (*self.open.values(), *self._kept.values())
        calls = [one.logged for one in every if one.logged is not None]
        alone = calls[0] if len(calls) == 1 else None
        one = self._heard_of(within) if within else None
        told = alone if within == NO_REQUEST else one.logged if one is not None else None
        (told or self._logged)(params)

    def _heard_of(self, number: int) -> Waiting | None:
        return self.open.get(number) or self._kept.get(number)


class McpSession(ABC):
    """One connection to one server, whatever carries it: ids, the gateway's own requests, routing."""

    def __init__(self, events: UpstreamEvents, offers: bytes) -> None:
        self._events = events
        self._asks = ServerQuestions(events, offers, self._say)
        self._every = Exchanges(events.logged)
        self._open = self._every.open
        self._last = 0
        self._over = ""
        self.listening: Listening | None = None
        """The stream of a modern server's news."""

    @property
    def alive(self) -> bool:
        return not self._over

    @property
    @abstractmethod
    def unsent(self) -> int:
        pass

    @property
    def upcoming(self) -> int:
        return self._last + 1

    def send(  # noqa: PLR0913 -- a request and its callbacks
        self,
        method: str,
        params: bytes,
        answer: Callable[[UpstreamAnswer], None],
        *,
        headers: Headers = (),
        progress: Told | None = None,
        logged: Logged | None = None,
        of: int = NO_REQUEST,
    ) -> int:
        """Sends a request about the call `of`, and returns its number.

        `answer` is called once, later, after the other callbacks; with `NotSent` for a request that can't be
        sent.
        """
        number = self._last = self._last + 1
        refused = self._refused(headers)
        if refused is not None:
            asyncio.get_running_loop().call_soon(answer, refused)
            return number
        one = Waiting(answer, progress, logged.told if logged is not None else None)
        self._every.begin(number, one, of=of)
        self._transmit(number, request_line(number, method, params), method, headers)
        return number

    @abstractmethod
    def _refused(self, headers: Headers) -> NotSent | None:
        """Returns why a request with these headers can't be sent, or None."""

    @abstractmethod
    def _transmit(self, number: int, line: bytes, method: str, headers: Headers) -> None:
        """Sends the line of an open request; a session without headers of its own ignores them."""

    @abstractmethod
    def tell(self, method: str, params: bytes = b"") -> None:
        pass

    @abstractmethod
    def _say(self, line: bytes) -> None:
        """Sends the answer to a question of the server's."""

    def cancel(self, number: int, reason: str) -> None:
        if number in self._open:
            params = b'{"reason":%b,"requestId":%d}' % (text(reason), number)
            self.tell("notifications/cancelled", params)

    def forget(self, number: int) -> None:
        one = self._every.end(number)
        if one is not None and one.task is not None:
            one.task.cancel()

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
        told = logged.told if logged is not None else None
        self._every.keep(number, Waiting(lost, progress, told))

    def drop(self, number: int) -> None:
        self._every.drop(number)

    async def ask(
        self, method: str, params: bytes, *, patience: float, headers: Headers = (), of: int = NO_REQUEST
    ) -> Answered | Errored:
        """Returns the server's answer; raises ServerLostError without a valid one."""
        waiting: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()

        def answer(found: UpstreamAnswer) -> None:
            if not waiting.done():
                waiting.set_result(found)

        number = self.send(method, params, answer, headers=headers, of=of)
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

    @abstractmethod
    def pause(self) -> None:
        pass

    @abstractmethod
    def resume(self) -> None:
        pass

    @abstractmethod
    def end(self, reason: str) -> None:
        """Ends the connection at once; later messages are ignored."""

    @abstractmethod
    async def close(self, *, grace: float) -> None:
        """Ends it gracefully within `grace` seconds a step, then by force."""

    def _lose(self, reason: str, detail: str) -> None:
        lost = NoAnswer("server-lost", reason, detail)
        for number in tuple(self._open):
            self._resolve(number, lost, stop=True)
        self._every.lose(lost)

    def _resolve(self, number: int, found: UpstreamAnswer, *, stop: bool = False) -> None:
        one = self._every.end(number)
        if one is None:
            return
        if stop and one.task is not None:
            one.task.cancel()
        one.answer(found)

    def _noticed(self, notice: Notice, within: int | None) -> None:
        if notice.method == "notifications/cancelled":
            self._asks.take_back(notice)
        elif notice.method == "notifications/progress":
            self._every.progressed(notice.params, within)
        elif notice.method == "notifications/message":
            self._every.log(notice.params, within)
        else:
            pass_on(notice, self._events, self.listening)


class Channel(Protocol):
    """The process that a session talks to."""

    @property
    def unsent(self) -> int:
        pass

    def write(self, data: bytes) -> None:
        pass

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def kill(self) -> None:
        """Ends it at once."""

    async def stop(self, *, grace: float) -> None:
        pass


class Session(McpSession):
    """One connection to one process, in either era; `attach` gives it the process."""

    def __init__(self, events: UpstreamEvents, *, offers: bytes = b"{}") -> None:
        super().__init__(events, offers)
        self._cutter = LineCutter(MAX_LINE)
        self._unasked = 0
        self._channel: Channel | None = None
        self._detail = ""

    def attach(self, channel: Channel) -> None:
        self._channel = channel

    @property
    def alive(self) -> bool:
        return self._channel is not None and not self._over

    @property
    def unsent(self) -> int:
        return self._channel.unsent if self._channel is not None else 0

    # --- towards the server ----------------------------------------------------------------------

    def _refused(self, headers: Headers) -> NotSent | None:
        del headers
        if self.alive:
            return None
        return NotSent("server-lost", self._over or "the server is not there", self._detail)

    def _transmit(self, number: int, line: bytes, method: str, headers: Headers) -> None:
        del number, method, headers
        if self._channel is not None:
            self._channel.write(line)

    def tell(self, method: str, params: bytes = b"") -> None:
        if self._channel is not None:
            self._channel.write(notice_line(method, params))

    def pause(self) -> None:
        if self._channel is not None:
            self._channel.pause()

    def resume(self) -> None:
        if self._channel is not None:
            self._channel.resume()

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
        if self._over:
            return
        self._over, self._detail = reason, detail
        self._lose(reason, detail)
        self._events.ended(reason, detail)

    def end(self, reason: str, detail: str = "") -> None:
        if self._channel is not None:
            self._channel.kill()
        self.fell_silent(reason, detail)

    async def close(self, *, grace: float) -> None:
        if self._channel is not None:
            await self._channel.stop(grace=grace)
        self.end("the server was ended")

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
            case Notice():
                self._noticed(message, NO_REQUEST)  # 3

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

    def _resolve(self, number: int, found: UpstreamAnswer, *, stop: bool = False) -> None:
        if number in self._open:  # 1
            self._unasked = 0
        super()._resolve(number, found, stop=stop)

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
