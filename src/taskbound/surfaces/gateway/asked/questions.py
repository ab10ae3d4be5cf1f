"""Questions that servers ask people, offered to the client.

1. A question is an action of its own, `SERVER__METHOD`: decided, recorded, permitted once, and held where a
   rule holds it. Ungranted questions are refused. The agent can't make such an action itself.
2. A question belongs to an open, uninterrupted call at its server: the call in whose exchange it arrived,
   or the only one that doesn't wait for an answer already. With several calls over HTTP the client is
   ambiguous and the question is refused, as it is outside a call.
3. The client must have declared the capability. A kind of question is declared to a server only if the
   client declared it and the task's scope grants it; a declaration gives no right.
4. The answer goes to the server after the daemon has recorded the outcome while the task ran. Interrupting
   a call interrupts its questions. Client errors and declines are forwarded.
5. A modern server asks in its answer. Its questions are asked together; then the call is sent again with
   the answers and the server's own state, byte for byte. One refused question fails the call.
6. Questions, rounds and the time for each question are bounded. A client's answer never approves or
   confirms anything in Taskbound.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import count
from typing import TYPE_CHECKING, Final, TypeGuard

import msgspec

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.tool import QUESTION_NAMES, SEPARATOR
from taskbound.ports.upstream import Answered, Errored, NoAnswer, QuestionRound, errored
from taskbound.surfaces.gateway.asked.parked import ParkedCalls, QuestionBatch
from taskbound.surfaces.gateway.asked.posed import OpenQuestions
from taskbound.surfaces.gateway.asked.reading import (
    AmbiguousQuestionError,
    AsksTooOftenError,
    StrayQuestionError,
    UnableClientError,
    UnfitQuestionError,
    read_question,
)
from taskbound.surfaces.gateway.call import Call, InterruptReason
from taskbound.surfaces.gateway.eras import NO_DECISION, decision_in
from taskbound.surfaces.gateway.errors import INTERNAL_ERROR, METHOD_NOT_FOUND
from taskbound.wire.mcp.message import is_modern
from taskbound.wire.mcp.task import PARTS, capabilities

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.ports.upstream import Question, UpstreamAnswer
    from taskbound.surfaces.gateway.binding import ServerHandle
    from taskbound.surfaces.gateway.calls import CallDependencies, Calls


_FORM: Final = "elicitation/form"
_PAGE: Final = "elicitation/url"


def offered(server: str, reach: Collection[str], declared: Mapping[str, JsonValue]) -> frozenset[str]:
    """Returns the question capabilities to declare to a server whose reachable tools are `reach`."""
    found: set[str] = set()
    for word, (question, parts) in PARTS.items():
        said = declared.get(word)
        if isinstance(said, dict) and f"{server}{SEPARATOR}{question}" in reach:
            found |= {word, *(f"{word}/{part}" for part in parts if isinstance(said.get(part), dict))}
            if word == "elicitation" and not said:
                found.add(_FORM)  # what an empty capability has always meant
    return frozenset(found)


def can_answer(method: str, params: Mapping[str, JsonValue], declared: Mapping[str, JsonValue]) -> bool:
    """Whether a client with these capabilities can be asked; forms and URLs are declared separately."""
    word = next(word for word, (question, _) in PARTS.items() if question == method)
    words = offered("", {f"{SEPARATOR}{method}"}, declared)
    if method == "elicitation/create":
        return (_PAGE if params.get("mode") == "url" else _FORM) in words
    if params.keys() & {"toolChoice", "tools"}:
        return "sampling/tools" in words
    return word in words


_log = logging.getLogger(__name__)
MAX_QUESTIONS: Final = 16
"""Questions of one call."""
MAX_ROUNDS: Final = 16
"""How often one call is sent to a modern server."""
MAX_HELD: Final = 64 * 1_048_576
"""Bytes of results per connection that wait for absent clients."""
_MAX_KEY: Final = 128
_MAX_STATE: Final = 65_536
"""Bytes of a modern server's state."""
_MOST_REPORTS: Final = 16
"""Recorded questions per server that became no action, so that no server floods the log."""
_ABSENT: Final = frozenset({"forbidden", "not-permitted", "outside-scope", "unknown-tool"})


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A modern server's questions were not answered, so by MCP its call is incomplete."""

    code: str
    reason: str


def asks_for_input(found: UpstreamAnswer, era: str) -> TypeGuard[Answered]:
    """Whether a server's answer asks for input (rule 5)."""
    asks = isinstance(found, Answered) and found.value.get("resultType") == "input_required"
    return asks and is_modern(era)


class Questions:
    """Decides and forwards the questions of one connection's servers; used in the event loop."""

    def __init__(self, calls: Calls, desk: CallDependencies) -> None:
        self._calls = calls
        self._desk = desk
        self._numbers = count(1)
        self._by_question: dict[Question, Call] = {}
        self._taken_back: set[Question] = set()
        self._held = 0
        """Bytes of results that wait for their clients."""
        self.posed = OpenQuestions(desk.client, look=self._look)
        self.parked = ParkedCalls(desk.client, calls.leave, calls.take, look=self._look)

    def are_asked(self, call: Call) -> bool:
        return self.parked.asks(call) or self.posed.asks(call)

    def _look(self, call: Call) -> None:
        self._calls.errands.look(call)

    # --- a legacy server -------------------------------------------------------------------------

    def ask(self, running: ServerHandle, question: Question) -> None:
        """Handles a legacy server's question (rule 2)."""
        try:
            call = self._whose(running, question.number)
            self._count(call)
        except TaskboundError as error:
            self._report(running, error, question.method, question.params)
            question.answer(errored(INTERNAL_ERROR, error.message))
            return
        self._desk.beside(self._answer(call, running, question))

    def withdraw(self, question: Question) -> None:
        self._taken_back.add(question)
        one = self._by_question.get(question)
        if one is not None:
            self._calls.interrupt(one, InterruptReason.CANCELLED)

    def _whose(self, running: ServerHandle, number: int) -> Call:
        calls = [one for one in (*self._calls.open.values(), *self.parked.calls) if one.running is running]
        calls = [one for one in calls if one.is_sent and (not number or one.number == number)]
        if not calls:
            raise StrayQuestionError("the server asks while no call to it is open")
        free = [one for one in calls if not one.questions] or calls
        if len(free) > 1 and not self._desk.client.is_one:
            raise AmbiguousQuestionError(
                "several calls to the server are open, so the client to ask is ambiguous"
            )
        return free[-1]

    async def _answer(self, call: Call, running: ServerHandle, question: Question) -> None:
        found = _Found(errored(INTERNAL_ERROR, "the question could not be put"))
        key = f"q{next(self._numbers)}"
        together = QuestionBatch(self.parked, call, [key])
        try:
            found = await self._put(call, running, together, key, question)
        finally:
            self._by_question.pop(question, None)
            self._taken_back.discard(question)
            question.answer(found.answer, action=found.action)

    # --- a modern server -------------------------------------------------------------------------

    async def turn(
        self, call: Call, running: ServerHandle, found: Answered
    ) -> QuestionRound | Unfinished | NoAnswer:
        """Returns what to send to a modern server after its questions are answered (rule 5)."""
        try:
            state, asked = _state_in(found), self._asked_in(call, found.value)
        except AsksTooOftenError as error:
            self._report(running, error, "input_required", {})
            return Unfinished(error.code, error.message)
        except UnfitQuestionError as error:
            return NoAnswer("not-the-protocol", f"the server's answer is not what MCP says: {error.message}")
        together = QuestionBatch(self.parked, call, asked)
        tasks = {
            key: asyncio.ensure_future(self._put(call, running, together, key, one))
            for key, one in asked.items()
        }
        refused, pending = "", set(tasks.values())
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            failed = [one for one in (task.result().answer for task in done) if isinstance(one, Errored)]
            if failed and not refused:
                refused = failed[0].message
                for one in tuple(call.questions):
                    self._calls.interrupt(one, InterruptReason.BESIDE)
        if call.cause is not None:
            return Unfinished("interrupted", call.words or call.cause.value)
        if refused:
            return Unfinished("question-refused", f"the server asks, and was not answered: {refused}")
        given = b",".join(
            b"%b:%b" % (canonical(key), task.result().answer.raw) for key, task in tasks.items()
        )
        actions = {key: task.result().action for key, task in tasks.items()}
        answers = b"{%b}" % given if given else b""
        return QuestionRound(offers=self.offers(call, running), answers=answers, actions=actions, state=state)

    def _asked_in(self, call: Call, value: Mapping[str, JsonValue]) -> dict[str, _Asked]:
        asked = value.get("inputRequests", {})
        if not isinstance(asked, dict) or not (asked or "requestState" in value):
            raise UnfitQuestionError("it asks for more, and for nothing")
        found: dict[str, _Asked] = {}
        for key, one in asked.items():
            params = one.get("params", {}) if isinstance(one, dict) else None
            method = one.get("method") if isinstance(one, dict) else None
            if not isinstance(params, dict) or not isinstance(method, str) or method not in QUESTION_NAMES:
                raise UnfitQuestionError("a question has a method that clients have, and parameters")
            if not 0 < len(key) <= _MAX_KEY or not key.isascii() or not key.isprintable():
                raise UnfitQuestionError(
                    f"a question's key has 1 to {_MAX_KEY} printable characters of ASCII"
                )
            self._count(call)
            found[key] = _Asked(method, params)
        return found

    def offers(self, call: Call, running: ServerHandle) -> bytes:
        """Returns the capabilities to declare to a modern server with this call."""
        binding = self._desk.bound()
        reach = binding.reach if binding is not None else ()
        return capabilities(offered(running.spec.name, reach, call.offers))

    async def has_client(self, call: Call, found: UpstreamAnswer) -> None:
        """Waits until a client can receive the result of this call."""
        size = len(found.raw) if isinstance(found, Answered | Errored) else 0
        if self.parked.is_away(call) and self._held + size > MAX_HELD:
            self._calls.interrupt(call, InterruptReason.UNANSWERED)
            return
        self._held += size
        try:
            if not await self.parked.client(call, self._desk.timings.question):
                self._calls.interrupt(call, InterruptReason.UNANSWERED)
        finally:
            self._held -= size

    # --- one question ----------------------------------------------------------------------------

    async def _put(
        self, call: Call, running: ServerHandle, together: QuestionBatch, key: str, asked: Question | _Asked
    ) -> _Found:
        """Decides a question, asks it, and returns the outcome (rules 1, 3 and 4)."""
        try:
            return await self._made(call, running, together, key, asked)
        except (MalformedError, StrayQuestionError) as error:
            self._report(running, error, asked.method, asked.params)
            return _Found(errored(INTERNAL_ERROR, error.message))
        except UnableClientError as error:
            self._report(running, error, asked.method, asked.params)
            return _Found(errored(METHOD_NOT_FOUND, error.message))
        finally:
            together.over(key)

    async def _made(
        self, call: Call, running: ServerHandle, together: QuestionBatch, key: str, asked: Question | _Asked
    ) -> _Found:
        arguments = read_question(asked.method, asked.params)
        if not isinstance(asked, _Asked) and not call.is_sent:  # it was answered in the same breath (rule 2)
            raise StrayQuestionError("the server asks for a call that it has answered")
        if not can_answer(asked.method, asked.params, call.offers) or not self._can_hear(call):
            raise UnableClientError(f"the client does not answer `{asked.method}` here")
        server = running.spec.name
        one = Call(
            id=None,
            id_raw=b"null",
            request=f'["asked",{call.request},{next(self._numbers)}]',
            key="",
            tool=f"{server}{SEPARATOR}{asked.method}",
            server=server,
            own=asked.method,
            arguments=arguments,
            modern=False,
            token=call.token,
            running=running,
            cause=call.cause,
        )
        one.towards = together.way(key, one) if call.modern else self.posed.way(call, one)
        if not isinstance(asked, _Asked):
            self._by_question[asked] = one
            one.cause = InterruptReason.CANCELLED if asked in self._taken_back else one.cause
        call.questions.add(one)
        bound = self._desk.timings.question
        late = asyncio.get_running_loop().call_later(
            bound, self._calls.interrupt, one, InterruptReason.UNANSWERED
        )  # 6
        try:
            return _told(one, await self._calls.run(one))
        finally:
            late.cancel()
            call.questions.discard(one)

    def _can_hear(self, call: Call) -> bool:
        if call.modern or call.errand is not None:
            return True  # it is asked when it comes back
        return call.id is not None and self._desk.client.can_hear(call.id)

    def _count(self, call: Call) -> None:
        call.asked_for += 1
        if call.asked_for > MAX_QUESTIONS:
            raise AsksTooOftenError(f"the server asks more than {MAX_QUESTIONS} times in one call")

    def _report(
        self, running: ServerHandle, error: TaskboundError, method: str, params: Mapping[str, JsonValue]
    ) -> None:
        """Reports a question that became no action; bounded for each server."""
        _log.warning("server %s asks %s: %s", running.spec.name, method, error.message)
        if running.reports < _MOST_REPORTS:
            running.reports += 1
            tool = f"{running.spec.name}{SEPARATOR}{method}" if method in QUESTION_NAMES else ""
            self._desk.report(error, msgspec.json.encode(params), tool)


@dataclass(frozen=True, slots=True)
class _Found:
    answer: Answered | Errored
    action: str = ""
    """The action with this outcome; empty for an error of the gateway."""


@dataclass(frozen=True, slots=True)
class _Asked:
    method: str
    params: Mapping[str, JsonValue]


def _state_in(found: Answered) -> bytes:
    """Returns a modern server's state, byte for byte, or b"" if it sent none."""
    state = bytes(msgspec.json.decode(found.raw, type=dict[str, msgspec.Raw]).get("requestState", b""))
    if state and (len(state) > _MAX_STATE or not isinstance(found.value["requestState"], str)):
        raise UnfitQuestionError("the state is no text, or too long")
    return state


def _told(one: Call, line: bytes) -> _Found:
    """Builds the server's answer; a refusal is sent without Taskbound's reasons."""
    if not line:
        return _Found(errored(INTERNAL_ERROR, "the question was taken back"))
    members = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    if "error" in members:
        raw = bytes(members["error"])
        error = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        words = msgspec.json.decode(error["message"], type=str)
        return _Found(Errored(raw, int(bytes(error["code"])), words), one.action)
    raw = bytes(members["result"])
    decision = decision_in(raw)
    if decision is NO_DECISION:
        return _Found(Answered(raw, msgspec.json.decode(raw)), one.action)
    if decision.code in _ABSENT:
        return _Found(errored(METHOD_NOT_FOUND, f"this client does not answer `{one.own}` here"))
    return _Found(errored(INTERNAL_ERROR, f"the question was not answered: {decision.code}"))
