"""One server for one gateway connection (`ports.upstream.UpstreamEvents`).

1. It starts as the daemon says it is pinned, with values sealed for exactly that pin (`wire.secret`). The
   gateway's pin is only compared.
2. A call is sent under its permit, in the permitted bytes plus slot values (`core.tool.argument`). Nothing is
   awaited between the daemon's answer and the send.
3. A changed or removed value is not used for another call: the server is restarted.
4. Output that contains a secret of this server, or a minted secret of any server, is withheld
   (`core.tool.leak`). Values set by people are compared for their own server only, or an agent could probe
   for them.
5. Messages without a permit carry no gateway data: MCP's log levels, unsubscription of a URI subscribed by a
   permit, cancellation with a fixed reason. Except for cancelling a sent call, the daemon is asked first.
6. A server's questions are forwarded and answered by the recorded act (`asked`). A call that waits for
   answers is continued or cancelled.
7. Pending requests are bounded; exceeding the bound ends the connection.
8. Long output is scanned outside the loop. Long or frequent progress and log messages are dropped before
   scanning.
9. Tokens and credentials belong to one task and end with it (`asked`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.errors import TaskboundError
from taskbound.core.tool.slot import Leaks, filled
from taskbound.ports.upstream import Answered, Errored, Logged, NoAnswer, NotSent, QuestionRound
from taskbound.surfaces.egress.asked import FilledSlots, Open, Sent, ServerElicitation
from taskbound.surfaces.egress.errors import (
    HELD_BACK,
    NotStartedError,
    OtherActError,
    OtherPinError,
    SecretChangedError,
    SecretInAnswerError,
    fault_without,
)
from taskbound.wire import egress as wire
from taskbound.wire.mcp.message import LEVELS, SILENT
from taskbound.wire.mcp.task import are_offers
from taskbound.wire.tool import identity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.ports.upstream import Question, Upstream, UpstreamAnswer
    from taskbound.surfaces.egress.tokens import StartDependencies


MOST_CALLS: Final = 256
"""Open calls of one connection, and as many questions that are not answered yet."""
MAX_UNSENT: Final = 8 * 1_048_576
"""Bytes that a server may leave unread before it gets another call."""
SUBSCRIBE: Final = "resources/subscribe"
LISTS: Final = frozenset({"prompts/list", "resources/list", "resources/templates/list", "tools/list"})
MAX_TOLD: Final = 8_192
"""Bytes of one notification of progress or of a log."""
MAX_A_SECOND: Final = 50
"""Notifications that one server is heard with in one second."""
AT_ONCE: Final = 65_536
"""Bytes of an answer that are looked through in the loop."""
_CANCELLED: Final = "nobody waits for it any more"


class Served:
    """One server of one connection."""

    def __init__(
        self,
        desk: StartDependencies,
        holder: wire.Holder,
        ask: wire.StartServer,
        say: Callable[[wire.EgressSaid], None],
    ) -> None:
        self._desk = desk
        self._holder = holder
        self._ask = ask
        self._say = say
        self._own = Leaks(())
        self._filled = FilledSlots(
            desk, holder, ask, keep=self._keep, begin=self._begin, busy=lambda: bool(self._open)
        )
        self._open: dict[int, Open] = {}
        self._asking: dict[int, Open] = {}
        """Calls that were answered with a question, and with which the server goes on (rule 6)."""
        self._subscribed: set[str] = set()
        """URIs of subscriptions that were sent by a permit (rule 5)."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: deque[float] = deque(maxlen=MAX_A_SECOND)
        """When its last notifications came, by the loop's clock in seconds."""
        self._late: set[asyncio.Future[wire.EgressSaid]] = set()
        """Answers that are looked through beside the loop."""
        self.upstream: Upstream | None = None
        self._questions = ServerElicitation(
            desk.authority, desk.permits, ask, holder, say=say, spilled=self._spilled
        )

    async def start(self) -> wire.Started | wire.Failure:
        """Starts the server (rule 1); returns the answer to `StartServer`."""
        try:
            upstream = await self._started()
        except TaskboundError as error:
            fault = fault_without(error, self._leaks)
            self._filled.end()
            return wire.Failure(fault=fault)
        self.upstream = upstream
        self._filled.serve(upstream)
        return wire.Started(era=upstream.era, methods=upstream.methods, logs=upstream.logs)

    async def _started(self) -> Upstream:
        ask, name = self._ask, self._ask.server
        if not are_offers(bytes(ask.offers)):
            raise OtherActError("only capabilities that MCP defines are passed to a server")  # 6
        told = await self._desk.authority.server(ask.namespace, name, self._holder)
        self._desk.permits.hear(told.now)
        identity = identity_of(told.spec, namespace=ask.namespace)
        if (told.spec.name, identity.digest, told.spec.era) != (name, ask.identity, ask.era):
            raise OtherPinError(f"server `{name}` is pinned to something else than was asked for")
        values = await self._filled.fill(told, identity)
        return await self._filled.during(
            self._desk.start(
                identity,
                era=told.spec.era,
                events=self,
                values=values,
                offers=bytes(ask.offers),
                tokens=self._filled.tokens,
            )
        )

    def _keep(self, secrets: Iterable[str]) -> None:
        self._own = Leaks(secrets)

    @property
    def _leaks(self) -> Leaks:
        return self._own.beside(self._desk.asking.leaks)

    # --- what the gateway asks -------------------------------------------------------------------

    def take(self, ask: wire.EgressAsk) -> None:
        """Executes a gateway's request; raises NotStartedError before the start."""
        upstream = self.upstream
        if upstream is None:
            raise NotStartedError("the server was not started")
        room = len(self._tasks) < MOST_CALLS  # 7
        match ask:
            case wire.ListServer() if room and ask.method in LISTS:
                self._begin(self._list(upstream, ask))
            case wire.LogFrom() if room and ask.level in LEVELS:  # 5
                self._begin(self._told(upstream, ask))
            case wire.Unsubscribe() if room:
                self._begin(self._told(upstream, ask))
            case wire.CallServer() if room and self._takes(ask):
                one = self._open[ask.number] = Open()
                self._begin(self._call(upstream, ask, one))
            case wire.ContinueCall() if room and self._takes(ask):
                one = self._open[ask.number] = Open()
                self._begin(self._go_on(upstream, ask, one))
            case wire.AnswerServer() if room:
                self._begin(self._questions.answer(ask))
            case wire.CancelCall():
                self._cancel(upstream, ask)
            case wire.ForgetCall():
                self._forget(upstream, ask.number)
            case wire.KillServer():
                upstream.kill(ask.reason)
            case _:
                raise NotStartedError("this can't be asked of a server that is started")

    def _takes(self, ask: wire.CallServer | wire.ContinueCall) -> bool:
        fresh = ask.number not in {*self._open, *self._asking}
        fresh = fresh and len(self._open) + len(self._asking) < MOST_CALLS  # 7
        known = not isinstance(ask.offers, msgspec.Raw) or are_offers(bytes(ask.offers))
        words = known and (ask.level is None or ask.level in {SILENT, *LEVELS})
        return fresh and words  # 5 and 6

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _list(self, upstream: Upstream, ask: wire.ListServer) -> None:
        try:
            await self._desk.authority.server(self._ask.namespace, self._ask.server, self._holder)
            tools = ask.method == "tools/list"
            found = await (upstream.list_tools() if tools else upstream.list_entries(ask.method))
            if await asyncio.to_thread(self._leaks.found_in, *found):  # 8
                raise SecretInAnswerError(HELD_BACK)  # 4
        except TaskboundError as error:
            self._say(wire.Unlisted(number=ask.number, fault=fault_without(error, self._leaks)))
        else:
            self._say(wire.Entries(number=ask.number, entries=tuple(map(msgspec.Raw, found))))

    async def _told(self, upstream: Upstream, ask: wire.LogFrom | wire.Unsubscribe) -> None:
        try:
            await self._desk.authority.server(self._ask.namespace, self._ask.server, self._holder)
            if isinstance(ask, wire.LogFrom):
                await upstream.log_from(ask.level)
            elif ask.uri in self._subscribed:
                self._subscribed.discard(ask.uri)
                await upstream.unsubscribe(ask.uri)
            else:
                raise OtherActError("no permit subscribed to this URI here")
        except TaskboundError as error:
            self._say(wire.Unlisted(number=ask.number, fault=fault_without(error, self._leaks)))
        else:
            self._say(wire.Entries(number=ask.number, entries=()))

    async def _call(self, upstream: Upstream, ask: wire.CallServer, one: Open) -> None:
        number, arguments = ask.number, bytes(ask.arguments)
        try:
            sent = filled(arguments, self._filled.arguments.get(ask.tool, {}))
            permit = await self._permit(ask.action)
            if not self._may_send(upstream, permit, number, one):
                return
            self._desk.permits.take(
                permit,
                action=ask.action,
                server=self._ask.server,
                tool=ask.tool,
                identity=self._ask.identity,
                arguments=arguments,
                key=ask.key,
            )
        except TaskboundError as error:
            self._unsent(upstream, number, error)
            return
        if ask.tool == SUBSCRIBE:
            self._subscribed.add(str(msgspec.json.decode(arguments, type=dict[str, object]).get("uri")))
        one.sent = Sent(action=ask.action, tool=ask.tool, arguments=sent, key=ask.key)
        turn = QuestionRound(offers=bytes(ask.offers)) if isinstance(ask.offers, msgspec.Raw) else None
        self._send(upstream, ask, one, one.sent, turn)  # 2

    async def _go_on(self, upstream: Upstream, ask: wire.ContinueCall, one: Open) -> None:
        before = next((name for name, other in self._asking.items() if other.is_of(ask.action)), 0)
        try:
            known, answers = await self._questions.go_on(ask)
            permit = await self._permit(ask.action)
            if known.working and before not in self._asking:  # 6: it was let go, and is not sent anew
                one.cancelled = "its task was let go"
            if not self._may_send(upstream, permit, ask.number, one):
                self._let_go(before)
                return
        except TaskboundError as error:
            self._let_go(before)
            self._unsent(upstream, ask.number, error)
            return
        self._asking.pop(before, None)
        one.sent = replace(known.sent, round=known.sent.round + 1)
        turn = QuestionRound(offers=bytes(ask.offers), answers=answers, state=known.state)
        self._send(upstream, ask, one, one.sent, turn)

    def _may_send(self, upstream: Upstream, permit: wire.Permit, number: int, one: Open) -> bool:
        if one.forgotten or one.cancelled:
            self._end(number, wire.Unsent(number=number, code="cancelled", reason=one.cancelled))
            return False
        self._filled.require_same(permit)  # 3 and 9
        if upstream.unsent > MAX_UNSENT:
            code, reason = "busy", "the server does not take what it was sent"
            self._end(number, wire.Unsent(number=number, code=code, reason=reason))
            return False
        return True

    def _unsent(self, upstream: Upstream, number: int, error: TaskboundError) -> None:
        fault = fault_without(error, self._leaks)
        self._end(number, wire.Unsent(number=number, code=fault.code, reason=fault.message))
        if isinstance(error, SecretChangedError):
            upstream.kill("a secret of the server was changed")

    def _send(
        self,
        upstream: Upstream,
        ask: wire.CallServer | wire.ContinueCall,
        one: Open,
        sent: Sent,
        turn: QuestionRound | None,
    ) -> None:
        told = partial(self._noted, wire.LoggedHere, ask.number)
        one.number = upstream.call(
            sent.tool,
            sent.arguments,
            partial(self._answered, ask.number),
            key=sent.key,
            progress=partial(self._noted, wire.Progressed, ask.number) if ask.progress else None,
            logged=Logged(ask.level, told) if ask.level is not None else None,
            action=sent.action,
            turn=turn,
        )

    def _cancel(self, upstream: Upstream, ask: wire.CancelCall) -> None:
        one = self._open.get(ask.number)
        if one is None:
            self._let_go(ask.number)
        else:
            one.cancelled = ask.reason or "it was cancelled"
            if one.number >= 0:
                upstream.cancel(one.number, _CANCELLED)  # 5

    def _let_go(self, number: int) -> None:
        one = self._asking.pop(number, None)
        if one is not None and self.upstream is not None:
            self.upstream.cancel(one.number, _CANCELLED)

    def _forget(self, upstream: Upstream, number: int) -> None:
        one = self._open.pop(number, None)
        if one is not None:
            one.forgotten = True
            if one.number >= 0:
                upstream.forget(one.number)

    # --- what the server says --------------------------------------------------------------------

    def _answered(self, number: int, found: UpstreamAnswer) -> None:
        one = self._open.pop(number, None)
        if one is None:
            return
        if isinstance(found, Answered) and one.sent is not None and self.upstream is not None:
            self._questions.asks(self.upstream.era, found, one.sent)
            if found.is_working:
                self._asking[number] = one
        show = partial(self._shown, number, found, told=one.told)
        if isinstance(found, Answered | Errored) and len(found.raw) > AT_ONCE:
            late = asyncio.get_running_loop().run_in_executor(None, show)  # 8
            self._late.add(late)
            self._begin(self._tell_late(number, late))
        else:
            self._tell(number, show())

    async def _tell_late(self, number: int, late: asyncio.Future[wire.EgressSaid]) -> None:
        try:
            self._tell(number, await late)
        finally:
            self._late.discard(late)

    def _tell(self, number: int, said: wire.EgressSaid) -> None:
        if not isinstance(said, wire.Resulted):
            self._let_go(number)  # nobody hears what it asks
        self._say(said)

    def _hears(self, raw: bytes) -> bool:
        now = asyncio.get_running_loop().time()
        often = len(self._last) == MAX_A_SECOND and now - self._last[0] < 1.0
        if often or len(raw) > MAX_TOLD:
            return False
        self._last.append(now)
        return True

    def _shown(self, number: int, found: UpstreamAnswer, *, told: bool) -> wire.EgressSaid:
        match found:
            case Answered(raw=raw) if not told and not self._leaks.found_in(raw):
                return wire.Resulted(number=number, raw=msgspec.Raw(raw), working=found.is_working)
            case Errored(raw=raw) if not told and not self._leaks.found_in(raw, found.message):
                return wire.Failed(
                    number=number, raw=msgspec.Raw(raw), code=found.code, message=found.message
                )
            case Answered() | Errored():
                return wire.Unanswered(number=number, code=SecretInAnswerError.code, reason=HELD_BACK)
            case NotSent() | NoAnswer():
                safe = not self._leaks.cut_in(found.reason, found.detail)
                kind = wire.Unsent if isinstance(found, NotSent) else wire.Unanswered
                return kind(
                    number=number,
                    code=found.code if safe else SecretInAnswerError.code,
                    reason=found.reason if safe else HELD_BACK,
                    detail=found.detail if safe else "",
                )

    def _end(self, number: int, said: wire.EgressSaid) -> None:
        if self._open.pop(number, None) is not None:
            self._say(said)

    def _noted(
        self, kind: type[wire.Progressed | wire.LoggedHere], number: int, params: Mapping[str, JsonValue]
    ) -> None:
        one = self._open.get(number)
        raw = msgspec.json.encode(params)
        if one is None or not self._hears(raw):
            return
        if self._leaks.found_in(raw):
            one.told = True  # 4
        else:
            self._say(kind(number=number, params=msgspec.Raw(raw)))

    def logged(self, params: Mapping[str, JsonValue]) -> None:
        """Handles a log message outside a call; one with a secret is dropped (rule 4)."""
        raw = msgspec.json.encode(params)
        if self._hears(raw) and not self._leaks.found_in(raw):
            self._say(wire.LoggedHere(params=msgspec.Raw(raw)))

    def listed(self, kind: str) -> None:
        self._say(wire.ListMoved(kind=kind))

    def updated(self, uri: str) -> None:
        """Handles an updated resource; a URI with a secret is dropped (rule 4)."""
        if not self._leaks.found_in(uri):
            self._say(wire.Updated(uri=uri))

    def asked(self, question: Question) -> None:
        number = next((name for name, one in self._open.items() if one.number == question.number), 0)
        self._begin(self._questions.ask(question, number, self._leaks))

    def withdrawn(self, question: Question) -> None:
        self._questions.withdraw(question)

    def _spilled(self, number: int) -> None:
        for name, one in self._open.items():
            one.told = one.told or number in {0, name}

    def tools_changed(self) -> None:
        self._say(wire.ToolsMoved())

    def ended(self, reason: str, detail: str) -> None:
        self._filled.end()  # 9
        for number in tuple(self._open):
            self._end(number, wire.Unsent(number=number, code="not-reached", reason="the server ended"))
        safe = not self._leaks.cut_in(reason, detail)
        said = wire.Stopped(reason=reason if safe else HELD_BACK, detail=detail if safe else "")
        if self._late:
            self._begin(self._say_last(said, tuple(self._late)))
        else:
            self._say(said)

    async def _say_last(self, said: wire.Stopped, before: Iterable[asyncio.Future[wire.EgressSaid]]) -> None:
        await asyncio.gather(*before, return_exceptions=True)
        self._say(said)

    async def _permit(self, action: str) -> wire.Permit:
        await self._filled.ready()
        return await self._desk.authority.permit(self._ask.namespace, action, self._holder)

    # --- the end ---------------------------------------------------------------------------------

    async def close(self, *, at_once: bool) -> None:
        """Ends the server, gracefully or at once, and all work for it."""
        for task in tuple(self._tasks):
            task.cancel()
        upstream = self.upstream
        if upstream is not None and at_once:
            upstream.kill("its gateway is gone")
        try:
            if upstream is not None:
                await upstream.close()
        finally:
            self._filled.end()
