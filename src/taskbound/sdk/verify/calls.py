"""What the MCP server shells share: tools run only for calls that tokens permit.

1. Each tool is declared (`Tools`); others are refused. Public tools need no token.
2. The token stands in the HTTP head. A call without a head has none: messages are logged and stored, a
   token is not.
3. Before the call is claimed (`verifier`), no server code runs; then the function gets the decided
   arguments.
4. Libraries convert, rename, drop and fill in arguments. So the function is bound: its actual arguments are
   written as JSON and must be the decided ones. It runs once per call, for no other caller. The conversion
   is also checked before the claim, so that it uses up no permit.
5. A tool may be declared with the definition that its server lists now (`OWN`): a token for another
   definition is refused, so changes since pinning are too.
6. Undecided values reach no function: no client answers, no defaults outside the schema. Calls are awaited,
   never continued as a task.
7. The result is kept, error results too, and given again to the same call. A cancelled or failed call, or a
   result from elsewhere, leaves the outcome unknown.
8. A refusal is an error result. HTTP 401 is not used: it would start a sign-in.
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
from taskbound.sdk.verify import errors
from taskbound.sdk.verify.endpoint import BadEndpointError, Body, Endpoint
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
"""Member of `_meta`: `recorded` for a repeated answer, `not-kept` where a repeat won't get it."""
_DONE: Final = 200
_LOG: Final = logging.getLogger(__name__)
_CALL: Final[ContextVar[Call | None]] = ContextVar("taskbound_call", default=None)

R = TypeVar("R")
Result: TypeAlias = dict[str, Any]
"""A result of `tools/call` as MCP has it on the wire, without what belongs to one of its eras."""


class Tools:
    """The declared tools of a server (rule 1)."""

    def __init__(self, tools: Mapping[str, str | Endpoint], *, public: Collection[str] = ()) -> None:
        """`tools` maps own names to `server__tool` or an `Endpoint`; `public` names tools without token."""
        self._tools = {
            name: _by_arguments(one if isinstance(one, Endpoint) else Endpoint(tool=one))
            for name, one in tools.items()
        }
        self._public = frozenset(public)
        if not self._public.isdisjoint(self._tools):
            raise BadEndpointError("a tool is declared and public")

    def is_public(self, name: str) -> bool:
        """Whether the tool needs no token; that says nothing about permission."""
        return name in self._public

    def is_declared(self, name: str) -> bool:
        return name in self._tools

    def of(self, name: str) -> Endpoint:
        """Returns the declared tool; raises EndpointUnknownError."""
        found = self._tools.get(name)
        if found is None:
            raise errors.EndpointUnknownError(
                "no tool is declared by this name", remedy="declare which tool it is, or that it is public"
            )
        return found


def _by_arguments(one: Endpoint) -> Endpoint:
    return Endpoint(tool=one.tool, body=Body.ARGUMENTS, definition=one.definition)


class Converting(Protocol):
    """A function's arguments and how its library converts them."""

    def require_kept(self, arguments: Mapping[str, JsonValue]) -> None:
        """MUST raise if a value would change, be dropped or be added outside the schema."""

    def written(self, given: Mapping[str, Any], names: Collection[str]) -> dict[str, JsonValue]:
        """Returns the arguments that the function is about to get, as JSON; MUST raise as `require_kept`."""


@dataclass(slots=True, kw_only=True)
class Call:
    """A claimed call, as its function finds it (rule 4)."""

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
        """Allows the function to run, once, with the decided arguments; raises for any difference."""
        if converting is not self.converting:
            raise errors.ToolUnboundError("the tool is not the one that this call was permitted for")
        with self._lock:
            try:
                if self.ran or self.over:
                    raise errors.ToolUnboundError("the tool was already run for this call, or it is over")
                names = parse_object(self.decided).keys()
                if canonical(converting.written(given, names)) != self.decided:
                    raise errors.ArgumentChangedError(
                        "the tool would run with other arguments than were decided on"
                    )
            except TaskboundError as error:
                self.refused = error
                raise
            self.ran = True

    def end(self) -> None:
        with self._lock:
            self.over = True

    @classmethod
    def current(cls) -> Call:
        """Returns the call being served here; raises ToolUnboundError."""
        found = _CALL.get()
        if found is None:
            raise errors.ToolUnboundError("the tool is run by no call that was permitted")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRequest:
    """One `tools/call`, as a library parsed it."""

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
        """Returns a result to keep; None if it does not end a call."""

    def read(self, result: Result) -> R:
        """Returns the library's own result."""


class ToolCalls(Generic[R]):
    """Serves `tools/call` for one server."""

    def __init__(self, verifier: Verifier, tools: Tools, guarded: Guarded[R]) -> None:
        self._verifier = verifier
        self._tools = tools
        self._guarded = guarded

    async def serve(self, asked: ToolRequest, run: Callable[[dict[str, JsonValue]], Awaitable[R]]) -> R:
        """Answers one call of a tool that is not public; `run` makes the library run it."""
        tool = ""
        step = Step.ENDPOINT
        try:
            endpoint = self._tools.of(asked.name)
            tool, step = endpoint.tool, Step.TOKEN
            if asked.head is None:
                raise errors.NoHeadError("the call came without a head, in which a token would be")
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
            Refused(error=error or errors.ToolUnboundError("there is no answer"), step=Step.CLAIM),
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
        told = cast("dict[str, Any]", parse_document(problem(refused)))
        told["challenge"] = challenge(refused, domain=self._verifier.service.domain, tool=tool)
        error = refused.error
        advice = error.advice
        words = f"Not done: {error.message}. {advice[:1].upper()}{advice[1:]}."
        text = f"{words} (`{error.code}`; missing: `{refused.missing}`)"
        return {"_meta": {REFUSED_KEY: told}, "content": [{"type": "text", "text": text}], "isError": True}


def _require_alone(asked: ToolRequest) -> None:
    """Refuses calls with input beside their arguments or that aren't awaited (rule 6)."""
    if asked.answering:
        raise errors.InputUndecidedError("the call brings input beside its arguments")
    if asked.deferred:
        raise errors.CallDeferredError("the call is to be done as a task")


def _doubt(call: Call, written: Result | None) -> TaskboundError | None:
    """Returns why the outcome of a call that returned is unknown, or None (rule 7)."""
    if written is None:
        return errors.InputUndecidedError("the tool asks its client for more, or goes on as a task")
    if call.ran and call.refused is not None:
        return errors.OutcomeUnknownError("the tool was run, and something tried to run it again")
    if not call.ran and call.refused is None and written.get("isError") is not True:
        return errors.ToolUnboundError("something answered in the tool's place")
    return None


def _answer(written: Result) -> ServedAnswer:
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
