"""A gateway's client of the egress: one connection is one server with secrets.

1. Closing the connection ends the server; the server's end closes it.
2. A call written to the egress may have been sent, so a lost connection makes it *unknown*. Before the
   connection is made and after it is closed, a call is *not sent*.
3. A server's questions are handed on. The egress obtains the recorded answer from the daemon. A call that
   waits for answers is cancelled under the number of the answer that asks.
4. The egress may need time to start listening: the daemon starts it when it sees slots.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from taskbound.core.credential.errors import CredentialHeldError
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.ports.upstream import Answered, Errored, NoAnswer, NotSent, Question, QuestionRound
from taskbound.wire import egress as wire
from taskbound.wire.connection import Fault
from taskbound.wire.egress import SealingPublic, ShowSealing, said_decoder
from taskbound.wire.frame import FrameBuffer, FrameError, decode_frame, encode_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.core.tool import ServerIdentity
    from taskbound.ports.upstream import Logged, Told, UpstreamAnswer, UpstreamEvents


_METHOD_NOT_FOUND: Final = -32601
_CHANGED: Final = "secret-changed"
_LOST: Final = "the egress is gone"
_FIRST_PAUSE: Final = 0.02
_LAST_PAUSE: Final = 0.5
_CLOSING: Final = 10.0
"""Seconds that the egress may take to end a server."""


class EgressUnavailableError(UnavailableError):
    """The egress can't be reached, or failed to do what was asked."""

    code = "egress-unavailable"
    remedy = "see that the daemon runs (`taskbound doctor`), and try again"


class EgressRefusedError(DeniedError):
    """The egress refused to start the server."""

    code = "egress-refused"


@dataclass(slots=True, eq=False)
class _Open:
    action: str
    answer: Callable[[UpstreamAnswer], None]
    progress: Told | None
    logged: Told | None


class EgressServer(asyncio.Protocol):
    """A server run by the egress (`ports.upstream.Upstream`)."""

    def __init__(self, events: UpstreamEvents) -> None:
        self._events = events
        self._buffer = FrameBuffer(limit=wire.MAX_SAID)
        self._transport: asyncio.Transport | None = None
        self._open: dict[int, _Open] = {}
        self._working: dict[int, str] = {}
        """Calls that wait for answers while the server goes on with them, with their actions."""
        self._asked: dict[int, asyncio.Future[tuple[bytes, ...]]] = {}
        self._questions: dict[int, Question] = {}
        """What the server asks and nobody has answered yet."""
        self._last = 0
        self._over = ""
        self._early: wire.Stopped | None = None
        """What was said of its end before anything was said of its start."""
        loop = asyncio.get_running_loop()
        self._begun: asyncio.Future[wire.Started] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self.era = ""
        """Empty until the server has started."""
        self.methods: tuple[str, ...] = ()
        self.logs = False

    @property
    def alive(self) -> bool:
        return not self._over

    @property
    def unsent(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    async def begin(self, ask: wire.StartServer, *, patience: float) -> None:
        """Starts the server; raises EgressRefusedError, CredentialHeldError or EgressUnavailableError."""
        self._write(ask)
        try:
            async with asyncio.timeout(patience):
                await self._begun
        except TimeoutError as error:
            raise EgressUnavailableError("the egress does not start the server in time") from error

    async def list_tools(self) -> tuple[bytes, ...]:
        return await self.list_entries("tools/list")

    async def list_entries(self, method: str) -> tuple[bytes, ...]:
        self._last += 1
        return await self._answered(wire.ListServer(number=self._last, method=method))

    async def log_from(self, level: str) -> None:
        self._last += 1
        await self._answered(wire.LogFrom(number=self._last, level=level))

    async def unsubscribe(self, uri: str) -> None:
        self._last += 1
        with contextlib.suppress(EgressUnavailableError):
            await self._answered(wire.Unsubscribe(number=self._last, uri=uri))

    async def _answered(self, ask: wire.ListServer | wire.LogFrom | wire.Unsubscribe) -> tuple[bytes, ...]:
        if self._over:
            raise EgressUnavailableError(self._over)
        waiting: asyncio.Future[tuple[bytes, ...]] = asyncio.get_running_loop().create_future()
        self._asked[ask.number] = waiting
        self._write(ask)
        try:
            return await waiting
        finally:
            self._asked.pop(ask.number, None)

    def call(  # noqa: PLR0913 -- a call, and what is wanted of it beside its answer
        self,
        tool: str,
        arguments: bytes,
        answer: Callable[[UpstreamAnswer], None],
        *,
        key: str = "",
        progress: Told | None = None,
        logged: Logged | None = None,
        action: str = "",
        turn: QuestionRound | None = None,
    ) -> int:
        self._last += 1
        number = self._last
        said = turn or QuestionRound()
        level = logged.level if logged is not None else None
        ask: wire.CallServer | wire.ContinueCall
        if said.answers or said.state:
            self._working = {one: other for one, other in self._working.items() if other != action}
            ask = wire.ContinueCall(
                number=number,
                action=action,
                given=_given(said),
                progress=progress is not None,
                level=level,
                offers=msgspec.Raw(said.offers),
            )
        else:
            ask = wire.CallServer(
                number=number,
                action=action,
                tool=tool,
                arguments=msgspec.Raw(arguments),
                key=key,
                progress=progress is not None,
                level=level,
                offers=msgspec.Raw(said.offers) if turn is not None else msgspec.UNSET,
            )
        if self._over:
            asyncio.get_running_loop().call_soon(answer, NotSent("not-reached", self._over))
            return number
        self._open[number] = _Open(action, answer, progress, logged.told if logged is not None else None)
        self._write(ask)
        return number

    def cancel(self, number: int, reason: str) -> None:
        """Asks it to cancel a call; an answer may still come."""
        if number in self._open or self._working.pop(number, ""):
            self._write(wire.CancelCall(number=number, reason=reason))

    def forget(self, number: int) -> None:
        if self._open.pop(number, None) is not None:
            self._write(wire.ForgetCall(number=number))

    def pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def kill(self, reason: str) -> None:
        """Ends it and its descendants at once."""
        self._write(wire.KillServer(reason=reason))
        self._end(reason, "")

    async def close(self) -> None:
        """Ends it gracefully, then by force if the egress doesn't confirm in time."""
        self.resume()
        self._write(wire.CloseServer())
        await asyncio.wait([self.gone], timeout=_CLOSING)
        self.abort()
        await asyncio.wait([self.gone])

    def abort(self) -> None:
        """Closes the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # --- the connection --------------------------------------------------------------------------

    def _write(self, ask: wire.EgressAsk) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode_frame(ask))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._buffer.feed(data):
                self._hear(decode_frame(wire.said_decoder, body))
        except (FrameError, msgspec.DecodeError):
            self._end("the egress said what can't be read", "")
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._end(_LOST, "")
        if not self.gone.done():
            self.gone.set_result(None)

    def _hear(self, said: wire.EgressSaid) -> None:
        match said:
            case wire.Resulted() | wire.Failed() | wire.Unanswered() | wire.Unsent():
                one = self._open.pop(said.number, None)
                if one is not None:
                    if isinstance(said, wire.Resulted) and said.working:
                        self._working[said.number] = one.action
                    one.answer(_answer(said))
                if isinstance(said, wire.Unsent) and said.code == _CHANGED:
                    self._end(said.reason, "")  # the egress ends it: another call needs another start
            case wire.Progressed():
                told = self._open[said.number].progress if said.number in self._open else None
                if told is not None:
                    told(msgspec.json.decode(said.params, type=dict[str, Any]))
            case wire.LoggedHere():
                self._log(said)
            case wire.ToolsMoved() | wire.ListMoved() | wire.Updated():
                self._hear_news(said)
            case wire.Asked() | wire.Withdrawn():
                self._hear_question(said)
            case wire.Stopped():
                self._stop(said)
            case Fault():
                self._fail(EgressRefusedError, said)
                self._end(f"the egress refuses: {said.message}", "")
            case _:
                self._hear_of_starting(said)

    def _hear_news(self, said: wire.ToolsMoved | wire.ListMoved | wire.Updated) -> None:
        match said:
            case wire.ToolsMoved():
                self._events.tools_changed()
            case wire.ListMoved(kind=kind):
                self._events.listed(kind)
            case wire.Updated(uri=uri):
                self._events.updated(uri)

    def _hear_question(self, said: wire.Asked | wire.Withdrawn) -> None:
        if isinstance(said, wire.Withdrawn):
            question = self._questions.pop(said.question, None)
            if question is not None:
                self._events.withdrawn(question)
            return

        def answer(found: Answered | Errored, *, action: str = "") -> None:
            if self._questions.pop(said.question, None) is None:
                return
            raw, error = msgspec.Raw(found.raw), isinstance(found, Errored)
            given = wire.Given(action=action, answer=raw, error=error) if action else None
            absent = isinstance(found, Errored) and found.code == _METHOD_NOT_FOUND
            self._write(wire.AnswerServer(question=said.question, given=given, absent=absent))

        params: dict[str, Any] = msgspec.json.decode(said.params, type=dict[str, Any])
        question = Question(said.number, said.method, params, answer)
        self._questions[said.question] = question
        self._events.asked(question)

    def _log(self, said: wire.LoggedHere) -> None:
        params: dict[str, Any] = msgspec.json.decode(said.params, type=dict[str, Any])
        one = self._open.get(said.number)
        if not said.number:
            self._events.logged(params)
        elif one is not None and one.logged is not None:
            one.logged(params)

    def _hear_of_starting(self, said: wire.EgressSaid) -> None:
        match said:
            case wire.Started():
                if not self._begun.done():
                    self.era, self.methods, self.logs = said.era, said.methods, said.logs
                    self._begun.set_result(said)
                if self._early is not None:
                    self._end(self._early.reason, self._early.detail)
            case wire.Failure(fault=fault):
                later = fault.family == EgressUnavailableError.family
                self._fail(EgressUnavailableError if later else EgressRefusedError, fault)
            case wire.Entries():
                self._listed(said.number, tuple(map(bytes, said.entries)))
            case wire.Unlisted(fault=fault):
                words = f"{fault.message} [{fault.code}]"
                self._listed(said.number, EgressUnavailableError(words, remedy=fault.advice))
            case _:
                raise FrameError("the egress said something that was not asked")

    def _fail(self, kind: type[EgressRefusedError | EgressUnavailableError], fault: Fault) -> None:
        if self._begun.done():
            return
        if fault.code == CredentialHeldError.code:  # not refused: it waits for people
            self._begun.set_exception(CredentialHeldError(fault.message, remedy=fault.advice))
        else:
            self._begun.set_exception(kind(f"{fault.message} [{fault.code}]", remedy=fault.advice))

    def _listed(self, number: int, found: tuple[bytes, ...] | EgressUnavailableError) -> None:
        waiting = self._asked.get(number)
        if waiting is None or waiting.done():
            return
        if isinstance(found, tuple):
            waiting.set_result(found)
        else:
            waiting.set_exception(found)

    def _stop(self, said: wire.Stopped) -> None:
        if self._begun.done():
            self._end(said.reason, said.detail)
        else:
            self._early = said

    def _end(self, reason: str, detail: str) -> None:
        if self._over:
            return
        self._over = reason
        for number in tuple(self._open):
            self._open.pop(number).answer(NoAnswer("server-lost", reason, detail))  # 2
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(EgressUnavailableError(reason))
        if not self._begun.done():
            self._begun.set_exception(EgressUnavailableError(reason))
        if self.era:
            self._events.ended(reason, detail)


class EgressStarter:
    """Starts servers through the egress; `patience` (start) and `find` (wait for the egress) are seconds."""

    def __init__(self, path: Path, *, patience: float = 75.0, find: float = 15.0) -> None:
        self._path = path
        self._patience = patience
        self._find = find

    async def __call__(
        self,
        identity: ServerIdentity,
        *,
        era: str,
        events: UpstreamEvents,
        name: str = "",
        offers: bytes = b"{}",
        task: str = "",
    ) -> EgressServer:
        server = await self._connected(events)
        ask = wire.StartServer(
            namespace=identity.namespace,
            server=name,
            identity=identity.digest,
            era=era,
            offers=msgspec.Raw(offers),
            task=task,
        )
        try:
            await server.begin(ask, patience=self._patience)
        except BaseException:
            server.abort()
            await asyncio.wait([server.gone])
            raise
        return server

    async def _connected(self, events: UpstreamEvents) -> EgressServer:
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + self._find, _FIRST_PAUSE
        while True:
            try:
                _, server = await loop.create_unix_connection(lambda: EgressServer(events), str(self._path))
            except OSError as error:
                if loop.time() + pause > end:
                    why = error.strerror or str(error)
                    raise EgressUnavailableError(f"no egress answers at `{self._path}`: {why}") from error
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LAST_PAUSE)
            else:
                return server


def _given(turn: QuestionRound) -> tuple[wire.Given, ...]:
    answers = msgspec.json.decode(turn.answers or b"{}", type=dict[str, msgspec.Raw])
    return tuple(
        wire.Given(key=key, action=turn.actions.get(key, ""), answer=raw) for key, raw in answers.items()
    )


def _answer(said: wire.Resulted | wire.Failed | wire.Unanswered | wire.Unsent) -> UpstreamAnswer:
    match said:
        case wire.Resulted(raw=raw):
            value = msgspec.json.decode(raw, type=dict[str, Any])
            return Answered(bytes(raw), value, is_working=said.working)
        case wire.Failed(raw=raw):
            return Errored(bytes(raw), said.code, said.message)
        case wire.Unanswered():
            return NoAnswer(said.code, said.reason, said.detail)
        case wire.Unsent():
            return NotSent(said.code, said.reason, said.detail)


_PATIENCE: Final = 15.0
"""Seconds until an egress that a daemon starts just now has to listen, and then to answer."""
_PAUSE: Final = 0.05
_CHUNK: Final = 65_536


def ask_key(path: Path, *, patience: float = _PATIENCE) -> str:
    """Returns the egress' public key as base64url; raises EgressRefusedError for other accounts."""
    end = time.monotonic() + patience
    while True:
        try:
            return _ask(path)
        except OSError as error:
            if time.monotonic() > end or isinstance(error, PermissionError):
                why = error.strerror or str(error)
                raise EgressUnavailableError(f"no egress answers at `{path}`: {why}") from error
            time.sleep(_PAUSE)


def _ask(path: Path) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(_PATIENCE)
        one.connect(str(path))
        one.sendall(encode_frame(ShowSealing()))
        buffer = FrameBuffer()
        while data := one.recv(_CHUNK):
            for body in buffer.feed(data):
                said = decode_frame(said_decoder, body)
                if isinstance(said, SealingPublic):
                    return said.key
                if isinstance(said, Fault):
                    raise EgressRefusedError(f"{said.message} [{said.code}]", remedy=said.advice)
                raise FrameError("the egress answered something else than it was asked")
        raise ConnectionResetError("it closed the connection")
