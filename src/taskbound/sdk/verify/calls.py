"""Calls of a server's tools that run for what tokens permit: what libraries of MCP servers have in common.

1. Which tool a name is, is declared (`Tools`); what isn't is refused. What is public needs no token.
2. The token is in the head of the HTTP request that carries the call. A call that came without a head has
   none: the message is the action's own bytes, which are logged, told on and kept, and a token is not.
3. Nothing of the server's own runs before the call was begun (`verifier`): then it gets the arguments that
   were decided on, read again from their canonical text.
4. Between a message and a tool's function a library reads, converts, renames, drops and fills in. So the
   function is bound: what it is about to get is written as JSON again, and has to be what was decided on. It
   runs once for each call, and for no other caller. What a library would make of the arguments is looked at
   before the call is begun as well, so that no permit is used up by it.
5. A tool may be declared with the definition that its server lists at that moment (`OWN`): then a token of
   another definition is refused, and with it whatever the server has changed since the tool was pinned, such
   as a default.
6. What nobody decided on reaches no function: no answer of a client's to a question, no default that does not
   stand in the tool's schema. A call is waited for: nothing of it goes on as a task.
7. The tool's result is the answer, an error result as well: it is kept, and told again to the same call,
   under whatever id that has. A call that is cancelled, or raises, leaves what nobody knows, and so does a
   result that did not come from the bound function.
8. A refusal is a result that is an error: its text is for the model, and `_meta` says it for programs, with
   what a challenge of HTTP would say. No status of HTTP is used: 401 would send a client to sign in.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from contextvars import ContextVar
from dataclasses import field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeAlias, TypeVar, cast

from taskbound.core.action import canonical, parse_document, parse_object
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.token.shared import MAX_KEPT, Repeated, ServedAnswer
from taskbound.core.tool.definition import parse_definition
from taskbound.sdk.verify.endpoint import BadEndpointError, Body, Endpoint
from taskbound.sdk.verify.errors import (
    ArgumentChangedError,
    CallDeferredError,
    EndpointUnknownError,
    InputUndecidedError,
    NoHeadError,
    OutcomeUnknownError,
    ToolUnboundError,
)
from taskbound.sdk.verify.refused import Refused, Step, challenge, problem
from taskbound.sdk.verify.waiting import lost, taken, whole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.sdk.verify.keys import Said
    from taskbound.sdk.verify.verifier import Accepted, Head, Opened, Outcome, Verifier


OWN: Final = "own"
"""An endpoint's `definition`: the one that the server lists (rule 5)."""
REFUSED_KEY: Final = "io.taskbound/refused"
"""Member of `_meta`: why a call was refused, and what is missing (rule 8)."""
ANSWER_KEY: Final = "io.taskbound/answer"
"""Member of `_meta`: `recorded` where an answer is told again, `not-kept` where a repeat won't be told it."""
_DONE: Final = 200
_LOG: Final = logging.getLogger(__name__)
_CALL: Final[ContextVar[Call | None]] = ContextVar("taskbound_call", default=None)

R = TypeVar("R")
Result: TypeAlias = dict[str, Any]
"""A result of `tools/call` as MCP has it on the wire, without what belongs to one of its eras."""


class Tools:
    """Which tool each name of a server is (rule 1)."""

    def __init__(self, tools: Mapping[str, str | Endpoint], *, public: Collection[str] = ()) -> None:
        """Keep what is declared.

        Args:
            tools: By the name that the server itself has for it: the tool, `server__tool`, or an `Endpoint`.
            public: Names of tools that need no token.

        Raises:
            BadEndpointError: One is no tool, or declared twice.
        """
        self._tools = {
            name: _by_arguments(one if isinstance(one, Endpoint) else Endpoint(tool=one))
            for name, one in tools.items()
        }
        self._public = frozenset(public)
        if not self._public.isdisjoint(self._tools):
            raise BadEndpointError("a tool is declared and public")

    def is_public(self, name: str) -> bool:
        """Whether this needs no token: which says nothing of whether it may be done."""
        return name in self._public

    def is_declared(self, name: str) -> bool:
        """Whether this is a tool that needs one."""
        return name in self._tools

    def of(self, name: str) -> Endpoint:
        """The tool.

        Raises:
            EndpointUnknownError: None is declared.
        """
        found = self._tools.get(name)
        if found is None:
            raise EndpointUnknownError(
                "no tool is declared by this name", remedy="declare which tool it is, or that it is public"
            )
        return found


def _by_arguments(one: Endpoint) -> Endpoint:
    return Endpoint(tool=one.tool, body=Body.ARGUMENTS, definition=one.definition)


class Converting(Protocol):
    """What is known of a function's arguments, and of what a library makes of them."""

    def require_kept(self, arguments: Mapping[str, JsonValue]) -> None:
        """Go on only where the function would get these, and nothing beside them (rules 4 and 6).

        MUST raise `ArgumentChangedError` where a value would become another, or reach no parameter, and
        `ArgumentUndecidedError` where one would be filled in that does not stand in the tool's schema.
        """

    def written(self, given: Mapping[str, Any], names: Collection[str]) -> dict[str, JsonValue]:
        """What the function is about to get, as JSON: of these names, and of others nothing.

        MUST raise as `require_kept`, also where another argument than these has no value of the schema's.
        """


@dataclass(slots=True, kw_only=True)
class Call:
    """A call that was begun, as its function finds it (rule 4)."""

    decided: bytes
    said: Said
    converting: Converting | None
    """Of the function that is called; None where the arguments are what is run."""
    ran: bool = False
    over: bool = False
    """Whether it has its answer: what goes on behind it runs nothing."""
    refused: TaskboundError | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def begin(self, converting: Converting, given: Mapping[str, Any]) -> None:
        """Let the function run: once, and with what was decided.

        Raises:
            ToolUnboundError: It ran before, the call has its answer, or it is another function's.
            ArgumentChangedError: It would get something else.
            ArgumentUndecidedError: It would get something beside that.
        """
        if converting is not self.converting:
            raise ToolUnboundError("the tool is not the one that this call was permitted for")
        with self._lock:
            try:
                if self.ran or self.over:
                    raise ToolUnboundError("the tool was already run for this call, or it is over")
                names = parse_object(self.decided).keys()
                if canonical(converting.written(given, names)) != self.decided:
                    raise ArgumentChangedError("the tool would run with other arguments than were decided on")
            except TaskboundError as error:
                self.refused = error
                raise
            self.ran = True

    def end(self) -> None:
        """Let nothing run any more."""
        with self._lock:
            self.over = True

    @classmethod
    def current(cls) -> Call:
        """The call that is being served here.

        Raises:
            ToolUnboundError: None is.
        """
        found = _CALL.get()
        if found is None:
            raise ToolUnboundError("the tool is run by no call that was permitted")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRequest:
    """One `tools/call`, as a library has read it."""

    name: str
    arguments: Mapping[str, Any]
    head: Head | None
    """None where it came without one (rule 2)."""
    find: Callable[[], Awaitable[Converting]] | None
    """What is known of the tool's function, which is bound by then; None where it gets the very arguments."""
    listed: Callable[[], Awaitable[bytes]]
    """The tool as the server lists it now, as JSON (rule 5)."""
    answering: bool = False
    """Whether it brings answers of a client, or a state that a server gave it."""
    deferred: bool = False
    """Whether it is to be done as a task."""


class Guarded(Protocol, Generic[R]):
    """How a library's results are written and read."""

    def write(self, result: R) -> Result | None:
        """A result; None where it is none that ends a call."""

    def read(self, result: Result) -> R:
        """The library's own."""


class ToolCalls(Generic[R]):
    """Serves `tools/call` for one server."""

    def __init__(self, verifier: Verifier, tools: Tools, guarded: Guarded[R]) -> None:
        """Keep what to work with.

        Args:
            verifier: Verifies.
            tools: What is declared.
            guarded: The library's way to write results.
        """
        self._verifier = verifier
        self._tools = tools
        self._guarded = guarded

    async def serve(self, asked: ToolRequest, run: Callable[[dict[str, JsonValue]], Awaitable[R]]) -> R:
        """The answer to one call of a tool that is not public.

        Args:
            asked: The call.
            run: Has the library do it, with these arguments.
        """
        tool = ""
        step = Step.ENDPOINT
        try:
            endpoint = self._tools.of(asked.name)
            tool, step = endpoint.tool, Step.TOKEN
            if asked.head is None:
                raise NoHeadError("the call came without a head, in which a token would be")
            opened = await asyncio.to_thread(self._verifier.open, asked.head, endpoint)
            if isinstance(opened, Refused):
                return self._refusal(opened, tool)
            step = Step.REQUEST
            _require_alone(asked)
            if endpoint.definition == OWN:
                own = parse_definition(await asked.listed()).digest
                opened = replace(opened, endpoint=replace(endpoint, definition=own))
            text = canonical(cast("JsonValue", dict(asked.arguments)))
            converting = None if asked.find is None else await asked.find()
            if converting is not None:
                converting.require_kept(parse_object(text))
        except TaskboundError as error:
            return self._refusal(Refused(error=error, step=step), tool)
        outcome = await self._begun(opened, text)
        if isinstance(outcome, Refused):
            return self._refusal(outcome, tool)
        if isinstance(outcome, Repeated):
            return self._again(outcome)
        call = Call(decided=text, said=outcome.said, converting=converting, ran=converting is None)
        return await self._run(outcome, call, run)

    async def _begun(self, opened: Opened, text: bytes) -> Outcome:
        return await taken(self._verifier, lambda: self._verifier.take(opened, text))

    async def _run(
        self,
        accepted: Accepted,
        call: Call,
        run: Callable[[dict[str, JsonValue]], Awaitable[R]],
    ) -> R:
        """Have it done, and keep what came of it (rule 7)."""
        here = _CALL.set(call)
        kept = False
        try:
            result = await run(parse_object(call.decided))  # 3
            call.end()
            written = self._guarded.write(result)
            error = _doubt(call, written)
            if error is None and call.refused is not None:
                refused = Refused(error=call.refused, step=Step.REQUEST)
                written = self._told(refused, accepted.said.tool)
                result = self._guarded.read(written)
            if error is None and written is not None:
                kept = True
                return await self._kept(accepted, result, written)
        finally:
            _CALL.reset(here)
            call.end()
            if not kept:
                await whole(lambda: lost(self._verifier, accepted))
        return self._refusal(
            Refused(error=error or ToolUnboundError("there is no answer"), step=Step.CLAIM),
            accepted.said.tool,
        )

    async def _kept(self, accepted: Accepted, result: R, written: Result) -> R:
        try:
            await whole(lambda: self._verifier.answer(accepted, _answer(written)))
        except Exception:  # noqa: BLE001 - whatever it is: what the tool answered is true
            _LOG.exception("this was done, and the answer was not kept: `%s`", accepted.said.txn)
            await whole(lambda: lost(self._verifier, accepted))
            return self._guarded.read(_marked(written, "not-kept"))
        return result

    def _again(self, repeated: Repeated) -> R:
        found = cast("Result", json.loads(repeated.answer.body or b"{}"))
        return self._guarded.read(_marked(found, "recorded"))

    def _refusal(self, refused: Refused, tool: str) -> R:
        return self._guarded.read(self._told(refused, tool))

    def _told(self, refused: Refused, tool: str) -> Result:
        """A refusal as a result (rule 8)."""
        told = cast("dict[str, Any]", parse_document(problem(refused)))
        told["challenge"] = challenge(refused, domain=self._verifier.service.domain, tool=tool)
        error = refused.error
        advice = error.advice
        words = f"Not done: {error.message}. {advice[:1].upper()}{advice[1:]}."
        text = f"{words} (`{error.code}`; missing: `{refused.missing}`)"
        return {"_meta": {REFUSED_KEY: told}, "content": [{"type": "text", "text": text}], "isError": True}


def _require_alone(asked: ToolRequest) -> None:
    """Go on only with a call that its arguments say all of (rule 6).

    Raises:
        InputUndecidedError: It brings more.
        CallDeferredError: It is not waited for.
    """
    if asked.answering:
        raise InputUndecidedError("the call brings input beside its arguments")
    if asked.deferred:
        raise CallDeferredError("the call is to be done as a task")


def _doubt(call: Call, written: Result | None) -> TaskboundError | None:
    """Why nobody knows what came of a call that ended without raising; None where that is known (rule 7)."""
    if written is None:
        return InputUndecidedError("the tool asks its client for more, or goes on as a task")
    if call.ran and call.refused is not None:
        return OutcomeUnknownError("the tool was run, and something tried to run it again")
    if not call.ran and call.refused is None and written.get("isError") is not True:
        return ToolUnboundError("something answered in the tool's place")
    return None


def _answer(written: Result) -> ServedAnswer:
    """What is kept of a result."""
    text = json.dumps(written, allow_nan=False).encode()
    return ServedAnswer(
        status=_DONE,
        headers=(),
        digest=sha256(text).hexdigest(),
        length=len(text),
        body=text if len(text) <= MAX_KEPT else None,
    )


def _marked(written: Result, word: str) -> Result:
    return {**written, "_meta": {**(written.get("_meta") or {}), ANSWER_KEY: word}}
