"""Questions that servers ask gateways, and the values that fill a server's slots.

Questions (`ServerElicitation`):

1. A question is forwarded unchanged, unless it contains a secret: then it is refused here and the results of
   the calls that it may belong to are withheld.
2. An answer reaches the server only if the daemon confirms the recorded act: the same question of this
   server, decided after it was asked, with the recorded outcome's digest, for a live task. Each is used once.
3. If nothing was recorded, the server gets a refusal in this process's words.
4. A modern server's question is kept with its state. The call continues with all answers under its own
   permit, which must still be open, a bounded number of times.

Slots (`FilledSlots`):

1. Sealed values are opened only for exactly this pin; a permit that names other value numbers is not used.
2. Tokens and credentials belong to one task; another task's permit is not used.
3. For a person's look at a server nothing is minted: slots get a placeholder (`core.tool.source`).
4. The leak filter knows each secret before the server does.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import msgspec

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_document
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.tool import QUESTION_NAMES, SEPARATOR, Binding
from taskbound.core.tool.oauth.client import hidden_in
from taskbound.core.tool.slot import stand_ins
from taskbound.ports.upstream import Answered, Errored, errored
from taskbound.surfaces.egress.errors import OtherActError, SecretChangedError, SecretMissingError
from taskbound.surfaces.egress.minted import Minted, Owned
from taskbound.wire import egress as wire
from taskbound.wire.mcp.message import is_modern, require_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool import ServerIdentity, Slot
    from taskbound.core.tool.slot import Leaks
    from taskbound.ports.upstream import Question, Upstream
    from taskbound.surfaces.egress.authority import Authority, Permits
    from taskbound.surfaces.egress.tokens import ServerTokens, StartDependencies
    from taskbound.wire.egress import Holder, Permit, SealedServer, StartServer


_log = logging.getLogger(__name__)
MAX_QUESTION: Final = 524_288
"""Bytes of a question as it is told: more than a gateway takes of one."""
MAX_ANSWER: Final = 262_144
MAX_ROUNDS: Final = 16
"""How often one call is sent to a modern server that asks."""
MOST_ROUNDS: Final = 256
"""Calls of one connection whose server waits for answers; the oldest is let go."""
_AT_ONCE: Final = 65_536
_INTERNAL_ERROR: Final = -32603
_METHOD_NOT_FOUND: Final = -32601
_TOLD: Final = "the question held a secret of the server"
_NOT_ANSWERED: Final = "the question was not answered"
_ABSENT: Final = "this client offers nothing of the kind"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Put:
    method: str
    sha256: str
    """Of its canonical parameters without `_meta`: of the action that it is."""
    since: int
    """The latest instant of the daemon's that was heard when it was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A sent call, kept for its next round."""

    action: str
    tool: str
    arguments: bytes
    """With what is in its slots."""
    key: str
    round: int = 1


@dataclass(slots=True, eq=False)
class Open:
    """An unanswered call of a gateway."""

    number: int = -1
    """The upstream's own; below 0 until the call was sent."""
    cancelled: str = ""
    forgotten: bool = False
    told: bool = False
    """Whether it said a secret of its progress, its logs or its questions."""
    sent: Sent | None = None
    """How it was sent."""

    def is_of(self, action: str) -> bool:
        return self.sent is not None and self.sent.action == action


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a modern server waits for."""

    sent: Sent
    state: bytes
    """`requestState`, byte for byte; empty where it gave none."""
    puts: Mapping[str, _Put] = field(default_factory=dict)
    working: bool = False
    """Whether the server goes on with the call meanwhile, so that it must not get it a second time."""


class ServerElicitation:
    """The questions of one server; used in the loop."""

    def __init__(
        self,
        authority: Authority,
        permits: Permits,
        start: wire.StartServer,
        holder: wire.Holder,
        *,
        say: Callable[[wire.EgressSaid], None],
        spilled: Callable[[int], None],
    ) -> None:
        """`spilled` gets the number of the call whose question held a secret, or 0 if it is unknown."""
        self._authority = authority
        self._permits = permits
        self._start = start
        self._holder = holder
        self._say = say
        self._spilled = spilled
        self._last = 0
        self._open: dict[int, tuple[Question, _Put]] = {}
        self._names: dict[Question, int] = {}
        self._rounds: dict[str, Round] = {}
        """By the action of the call."""

    # --- a legacy server -------------------------------------------------------------------------

    async def ask(self, question: Question, number: int, leaks: Leaks) -> None:
        """Handles a legacy server's question, in the call of this number if that is known (rule 1)."""
        self._last += 1
        name = self._names[question] = self._last
        raw = msgspec.json.encode(question.params)
        try:
            put = self._put(question.method, question.params, raw)
        except MalformedError as error:
            self._names.pop(question, None)
            question.answer(errored(_INTERNAL_ERROR, error.message))
            return
        found = leaks.found_in(raw) if len(raw) <= _AT_ONCE else await asyncio.to_thread(leaks.found_in, raw)
        if found:
            self._names.pop(question, None)
            self._spilled(number)
            question.answer(errored(_INTERNAL_ERROR, _TOLD))
        elif question in self._names:  # it was not taken back meanwhile
            self._open[name] = question, put
            self._say(
                wire.Asked(question=name, number=number, method=question.method, params=msgspec.Raw(raw))
            )

    def withdraw(self, question: Question) -> None:
        name = self._names.pop(question, 0)
        if self._open.pop(name, None) is not None:
            self._say(wire.Withdrawn(question=name))

    async def answer(self, ask: wire.AnswerServer) -> None:
        question, put = self._open.pop(ask.question, (None, None))
        if question is None or put is None:
            return  # it was taken back, or answered
        self._names.pop(question, None)
        found: Answered | Errored = (
            errored(_METHOD_NOT_FOUND, _ABSENT) if ask.absent else errored(_INTERNAL_ERROR, _NOT_ANSWERED)
        )
        try:
            if ask.given is not None:
                value = await self._checked(put, ask.given)
                raw = bytes(ask.given.answer)
                found = _error_of(raw, value) if ask.given.error else Answered(raw, value)
        except TaskboundError as error:
            _log.warning("an answer to a question is not passed on: %s [%s]", error.message, error.code)
        finally:
            question.answer(found)

    # --- a modern server -------------------------------------------------------------------------

    def asks(self, era: str, found: Answered, sent: Sent) -> None:
        """Keeps a modern server's question from its answer, if it has one (rule 4)."""
        if not is_modern(era) or found.value.get("resultType") != "input_required":
            return
        members = msgspec.json.decode(found.raw, type=dict[str, msgspec.Raw])
        asked = found.value.get("inputRequests", {})
        puts: dict[str, _Put] = {}
        for key, one in (asked if isinstance(asked, dict) else {}).items():
            params = one.get("params", {}) if isinstance(one, dict) else None
            method = one.get("method") if isinstance(one, dict) else None
            if not isinstance(method, str) or not isinstance(params, dict):
                return  # it is no question: a gateway ends the call
            try:
                puts[key] = self._put(method, params, b"")
            except MalformedError:
                return
        while len(self._rounds) >= MOST_ROUNDS:
            del self._rounds[next(iter(self._rounds))]
        state = bytes(members.get("requestState", b""))
        self._rounds[sent.action] = Round(sent=sent, state=state, puts=puts, working=found.is_working)

    async def go_on(self, ask: wire.ContinueCall) -> tuple[Round, bytes]:
        """Returns the round and its answers as one JSON object; raises OtherActError if one is missing."""
        known = self._rounds.pop(ask.action, None)
        if known is None or known.sent.round >= MAX_ROUNDS:
            raise OtherActError("the server waits for no answers of this call")
        if [one.key for one in ask.given] != [*known.puts]:
            raise OtherActError("the answers are not those to what the server asked")
        for one in ask.given:
            if one.error:
                raise OtherActError("a call does not go on with an error")
            await self._checked(known.puts[one.key], one)
        given = b",".join(b"%b:%b" % (canonical(one.key), bytes(one.answer)) for one in ask.given)
        return known, b"{%b}" % given if given else b""

    # --- one answer ------------------------------------------------------------------------------

    def _put(self, method: str, params: Mapping[str, JsonValue], raw: bytes) -> _Put:
        if method not in QUESTION_NAMES or len(raw) > MAX_QUESTION:
            raise MalformedError("the question is not one of MCP's, or too long")
        arguments = canonical({name: value for name, value in params.items() if name != "_meta"})
        return _Put(method=method, sha256=sha256(arguments).hexdigest(), since=self._permits.now)

    async def _checked(self, put: _Put, given: wire.Given) -> dict[str, JsonValue]:
        raw = bytes(given.answer)
        value = _value_of(raw)
        said = await self._authority.answer(self._start.namespace, given.action, self._holder)
        self._permits.answer(
            said,
            action=given.action,
            tool=f"{self._start.server}{SEPARATOR}{put.method}",
            identity=self._start.identity,
            arguments=put.sha256,
            answer=sha256(raw).hexdigest(),
            since=put.since,
        )
        return value


def _value_of(raw: bytes) -> dict[str, JsonValue]:
    try:
        if len(raw) > MAX_ANSWER:
            raise OtherActError("the answer is too long")
        require_one_line(raw)
        value = parse_document(raw)
        if isinstance(value, dict) and canonical(value) == raw:
            return value
    except MalformedError as error:
        raise OtherActError(f"the answer is no answer: {error.message}") from error
    raise OtherActError("the answer is no object in canonical bytes")


def _error_of(raw: bytes, value: Mapping[str, Any]) -> Errored:
    code, message = value.get("code"), value.get("message")
    if not isinstance(code, int) or isinstance(code, bool) or not isinstance(message, str):
        raise OtherActError("the answer is no error")
    return Errored(raw, code, message)


def opened(
    desk: StartDependencies, ask: StartServer, told: SealedServer, identity: ServerIdentity
) -> dict[Slot, str]:
    """Opens every sealed slot value; raises SecretMissingError or BadSecretError."""
    sealed = {one.slot: one for one in told.secrets}
    values: dict[Slot, str] = {}
    for slot in identity.slots:
        if slot.source is not None:
            continue
        found = sealed.get(slot.text)
        if found is None:
            raise SecretMissingError(f"the slot `{slot.text}` of server `{ask.server}` is empty")
        binding = Binding(
            namespace=ask.namespace,
            server=ask.server,
            identity=identity.digest,
            slot=slot.text,
            number=found.number,
        )
        values[slot] = desk.key.open(found.sealed, binding)
    return values


def hidden(values: Mapping[Slot, str]) -> frozenset[str]:
    """Returns the values that must not appear in an answer or log line."""
    return frozenset(one for slot, value in values.items() for one in hidden_in(slot, value))


class FilledSlots:
    """The slot values of one server of one connection."""

    def __init__(
        self,
        desk: StartDependencies,
        holder: Holder,
        ask: StartServer,
        *,
        keep: Callable[[Iterable[str]], None],
        begin: Callable[[Coroutine[None, None, None]], None],
        busy: Callable[[], bool],
    ) -> None:
        """Starts empty; `keep` gets each new secret (rule 4), `begin` runs a task while the server lives."""
        self._desk = desk
        self._holder = holder
        self._ask = ask
        self._keep = keep
        self._begin = begin
        self._busy = busy
        self._numbers: tuple[tuple[str, int], ...] = ()
        self._secrets: frozenset[str] = frozenset()
        self._owned: Owned | None = None
        self._minted: Minted | None = None
        self.arguments: dict[str, dict[str, str]] = {}
        """By tool: what goes into its slots."""

    @property
    def tokens(self) -> ServerTokens | None:
        return self._owned.tokens if self._owned is not None else None

    async def fill(self, told: SealedServer, identity: ServerIdentity) -> dict[Slot, str]:
        """Returns the slot values of a server about to start; raises TaskboundError if one is unavailable."""
        values = opened(self._desk, self._ask, told, identity)
        self._numbers = tuple(sorted((one.slot, one.number) for one in told.secrets))
        self._hide(hidden(values))
        values |= await self._credentials(told, identity)
        for slot, value in values.items():
            if slot.tool:
                self.arguments.setdefault(slot.tool, {})[slot.name] = value
        if identity.oauth is not None:
            secret = values.pop(identity.oauth.slot)
            self._owned = Owned(self._desk, self._holder, self._ask, told, keep=self._more)
            self._begin(self._owned.watch())
            await self._owned.begin(identity.oauth, secret)
        return values

    async def _credentials(self, told: SealedServer, identity: ServerIdentity) -> dict[Slot, str]:
        if not told.tasks or all(one.source is None for one in identity.slots):
            return stand_ins(identity.slots)  # 3
        self._minted = minted = Minted(self._desk, self._holder, self._ask, told, busy=self._busy)
        try:
            values = await minted.begin(identity)
        finally:
            self._hide(minted.secrets)
        self._begin(minted.watch())
        return values

    def _hide(self, values: frozenset[str]) -> None:
        self._secrets |= values
        self._keep(self._secrets)
        self._desk.kept(self, self._secrets)

    def _more(self, tokens: Iterable[str]) -> None:
        self._keep((*self._secrets, *tokens))

    async def during(self, start: Coroutine[None, None, Upstream]) -> Upstream:
        """Runs the start while the slot values are valid; returns the server."""
        return await (start if self._minted is None else self._minted.during(start))

    def serve(self, upstream: Upstream) -> None:
        for one in (self._owned, self._minted):
            if one is not None:
                one.serve(upstream)

    async def ready(self) -> None:
        """Makes a token available before a permit is requested (`minted`)."""
        if self._owned is not None:
            await self._owned.ready()

    def require_same(self, permit: Permit) -> None:
        """Raises SecretChangedError for a permit of another task or other values (rules 1 and 2)."""
        if permit.secrets != self._numbers:
            raise SecretChangedError(f"a secret of server `{self._ask.server}` was changed")
        for one in (self._owned, self._minted):
            if one is not None:
                one.require_owner(permit)

    def end(self) -> None:
        for one in (self._owned, self._minted):
            if one is not None:
                one.end()
        self._desk.kept(self, frozenset())
