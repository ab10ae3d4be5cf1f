"""Server questions for clients of the modern revision: the call is answered with them and waits for a retry.

The answer is `input_required` with the questions and a state: 256 random bits, valid once, for one
connection (over HTTP: one task's seat), one task and one request (method, name, arguments, key). The
gateway refuses a forged, foreign, reused or late state and answers that don't match the questions; a
refused request consumes nothing. Unanswered questions are asked again under a new state. A result is
settled only when a client waits for it or its time has run out; stored bytes are bounded for each
connection. A polled call (`errands`) has no state: its questions stand in its status under keys that are
never reused, and unknown keys are ignored, as MCP requires.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import field
from hmac import compare_digest
from itertools import count
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.ports.upstream import Answered, NoAnswer
from taskbound.surfaces.gateway.asked.reading import (
    BadAnswersError,
    UnknownStateError,
    answer_bytes,
    labelled,
    wrong_answer,
)
from taskbound.wire.mcp.message import result_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.ports.upstream import UpstreamAnswer
    from taskbound.surfaces.gateway.call import Call
    from taskbound.surfaces.gateway.framing import Client
    from taskbound.wire.mcp.message import Request


_CHANCE: Final = 32
"""Random bytes in a state."""


def _nothing(_: Call) -> None:
    pass


@dataclass(frozen=True, slots=True, eq=False)
class _Put:
    number: int
    method: str
    params: bytes
    answer: Callable[[UpstreamAnswer], None]
    key: str
    """The server's or the gateway's key; another is used if that was used before."""


@dataclass(slots=True, eq=False)
class _Place:
    puts: dict[str, _Put] = field(default_factory=dict)
    """Unanswered questions by key."""
    used: set[str] = field(default_factory=set)
    """Every key used for a polled call."""
    keys: frozenset[str] = frozenset()
    """The keys asked under the state."""
    state: str = ""
    """Empty while the client waits."""
    back: asyncio.Event = field(default_factory=asyncio.Event)


class ParkedCalls:
    """The calls of one connection that wait for their clients' answers; used in the event loop."""

    def __init__(
        self,
        client: Client,
        leave: Callable[[Call], None],
        take: Callable[[Call, Request], None],
        *,
        look: Callable[[Call], None] = _nothing,
    ) -> None:
        self._look = look
        self._client = client
        self._leave = leave
        self._take = take
        self._places: dict[Call, _Place] = {}
        self._states: dict[str, Call] = {}
        self._numbers = count(1)

    @property
    def calls(self) -> tuple[Call, ...]:
        return tuple(self._states.values())

    def show(self, parent: Call, puts: Mapping[str, _Put]) -> None:
        """Asks these questions together, now or when the client returns."""
        errand = parent.errand
        gone = parent.id is None and parent not in self._places if errand is None else errand.over.is_set()
        if gone:  # the call is over, so no client would return
            for put in puts.values():
                put.answer(NoAnswer("taken-back", "the call is over"))
            return
        place = self._places.setdefault(parent, _Place())
        if errand is not None:
            self._ask_by_name(place, puts)
            self._look(parent)
            return
        place.puts |= puts
        if not place.state:
            self._ask(parent, place)

    def _ask(self, parent: Call, place: _Place) -> None:
        place.state = state = secrets.token_urlsafe(_CHANCE)
        place.keys = frozenset(place.puts)
        place.back.clear()
        self._states[state] = parent
        asked = parent.id
        line = result_line(parent.id_raw, _asking(place.puts, state))
        self._leave(parent)
        self._client.answer(line, asked)

    @staticmethod
    def _ask_by_name(place: _Place, puts: Mapping[str, _Put]) -> None:
        for key, put in puts.items():
            name = next(one for one in _names(key) if one not in place.used)
            place.used.add(name)
            place.puts[name] = put

    def asks(self, parent: Call) -> bool:
        return bool(self._asked_of(parent))

    def asked(self, parent: Call) -> bytes:
        """Returns the open questions, `inputRequests`, as JSON."""
        return _requests(self._asked_of(parent))

    def _asked_of(self, parent: Call) -> dict[str, _Put]:
        place = self._places.get(parent)
        return place.puts if place is not None and not place.state else {}

    def take_answers(self, parent: Call, answers: Mapping[str, JsonValue]) -> None:
        """Applies the answers to a polled call by key; applies none if one is invalid."""
        puts = self._asked_of(parent)
        given = {name: answer for name, answer in answers.items() if name in puts}
        ready = [(name, _read_answer(puts[name], answer)) for name, answer in given.items()]
        for name, answer in ready:
            puts.pop(name).answer(answer)
        self._look(parent)

    def come_back(self, state: str, digest: bytes, answers: Mapping[str, JsonValue]) -> Call:
        """Returns the call of a state after validating the answers; a refusal consumes nothing."""
        call = self._states.get(state)
        if call is None or not compare_digest(call.digest, digest):
            raise UnknownStateError("the state is of no question that is open for this request")
        place = self._places[call]
        if not answers.keys() <= place.keys:
            raise BadAnswersError("an answer is to what was not asked")
        for key, answer in answers.items():
            _read_answer(place.puts.get(key), answer)
        return call

    def go_on(self, call: Call, request: Request, answers: Mapping[str, JsonValue]) -> None:
        place = self._places[call]
        del self._states[place.state]
        place.state = ""
        self._take(call, request)
        given = [(put, one) for key, one in answers.items() if (put := place.puts.pop(key, None)) is not None]
        if place.puts:
            self._ask(call, place)
        for put, answer in given:
            if isinstance(answer, dict):
                put.answer(Answered(answer_bytes(answer), answer))
        place.back.set()

    def take_back(self, parent: Call, key: str, reason: str) -> None:
        """Withdraws a question; a late answer to it is ignored, not refused."""
        place = self._places.get(parent)
        puts = place.puts if place is not None else {}
        name = next((name for name, one in puts.items() if one.key == key), None)
        if name is not None:
            puts.pop(name).answer(NoAnswer("taken-back", reason))
            self._look(parent)

    def wake(self, parent: Call) -> None:
        """Wakes the waiters for this call's client after its state has changed."""
        place = self._places.get(parent)
        if place is not None:
            place.back.set()

    def is_away(self, parent: Call) -> bool:
        """Whether the client was asked a question and has not returned."""
        place = self._places.get(parent)
        return place is not None and bool(place.state)

    async def client(self, parent: Call, seconds: float) -> bool:
        """Waits until a client waits for the call; returns whether one does."""
        place = self._places.get(parent)
        if place is None:
            return True
        try:
            async with asyncio.timeout(seconds):
                while place.state and parent.cause is None:
                    place.back.clear()
                    await place.back.wait()
        except TimeoutError:
            return False
        return not place.state

    def over(self, parent: Call) -> None:
        place = self._places.pop(parent, None)
        if place is not None:
            self._states.pop(place.state, None)

    def next_number(self) -> int:
        return next(self._numbers)


class QuestionBatch:
    """The questions of one round: the client is asked all of them together, or none."""

    def __init__(self, parked: ParkedCalls, parent: Call, keys: Iterable[str]) -> None:
        self._parked = parked
        self._parent = parent
        self._due = set(keys)
        self._puts: dict[str, _Put] = {}
        self._back: dict[str, str] = {}
        """Questions withdrawn before they were asked, with the reason."""
        self._failed = False

    def way(self, key: str, question: Call) -> _Way:
        return _Way(self, key, question)

    def put(self, key: str, put: _Put) -> None:
        if key in self._back:
            put.answer(NoAnswer("taken-back", self._back.pop(key)))
            return
        self._due.discard(key)
        self._puts[key] = put
        self._look()

    def over(self, key: str) -> None:
        """Closes a question; if it was never asked, the whole round is dropped."""
        if key in self._due:
            self._due.discard(key)
            self._failed = True

    def take_back(self, key: str, reason: str) -> None:
        put = self._puts.pop(key, None)
        if put is not None:
            put.answer(NoAnswer("taken-back", reason))
        elif key in self._due:
            self._back[key] = reason
        else:
            self._parked.take_back(self._parent, key, reason)

    def _look(self) -> None:
        if not self._due and not self._failed:
            puts, self._puts = self._puts, {}
            self._parked.show(self._parent, puts)

    def next_number(self) -> int:
        return self._parked.next_number()


class _Way:
    def __init__(self, together: QuestionBatch, key: str, question: Call) -> None:
        self._together = together
        self._key = key
        self._question = question

    def call(self, tool: str, arguments: bytes, answer: Callable[[UpstreamAnswer], None], **_: object) -> int:
        """Asks, with the server's label first, once the other questions of the round are allowed too."""
        asked = self._question
        shown = labelled(tool, arguments, server=asked.server, action=asked.action)
        put = _Put(self._together.next_number(), tool, shown, answer, self._key)
        # Later, like every answer: the caller learns the number only when this has returned.
        asyncio.get_running_loop().call_soon(self._together.put, self._key, put)
        return put.number

    def cancel(self, number: int, reason: str) -> None:
        del number
        self._together.take_back(self._key, reason)

    def forget(self, number: int) -> None:
        del number
        self._together.take_back(self._key, "the server no longer waits for it")


def _names(key: str) -> Iterator[str]:
    yield key
    for number in count(2):
        yield f"{key}~{number}"


def _read_answer(put: _Put | None, answer: JsonValue) -> Answered:
    if not isinstance(answer, dict):
        raise BadAnswersError("an answer is no object")
    wrong = wrong_answer(put.method, answer) if put is not None else ""
    if wrong:
        raise BadAnswersError(f"an answer is not what MCP says: {wrong}")
    return Answered(answer_bytes(answer), answer)


def _asking(puts: Mapping[str, _Put], state: str) -> bytes:
    return b'{"inputRequests":%b,"requestState":%b,"resultType":"input_required"}' % (
        _requests(puts),
        canonical(state),
    )


def _requests(puts: Mapping[str, _Put]) -> bytes:
    asked = b",".join(
        b'%b:{"method":%b,"params":%b}' % (canonical(key), canonical(put.method), put.params)
        for key, put in puts.items()
    )
    return b"{%b}" % asked
