"""Questions to clients of the modern revision: their call is answered with what is asked, and waits for them.

1. The client's request is answered `input_required`, with the questions and with a state of ours. The call
   stays what it is: permitted once, sent, open. Whoever comes back with that state, the same request and the
   answers waits for it from then on.
2. A state is 256 bits of chance and says nothing: a server's own state stays here. It is of one connection
   (over HTTP, of a task's seat), of one task and of one request (method, what it names, arguments, key), and
   is used once. One that is tampered with, another's, used before or late is refused, and so are answers that
   are not what MCP says or that nobody asked for; what was refused has used nothing up.
3. What is not answered with the others is asked again, under another state.
4. A result that is there while nobody waits is not settled before somebody does, or the time for it is over:
   nobody could be given it. So many bytes of a connection are kept so; what is more is not waited with.
   Nothing is asked for a call that is over.
5. Of a call that its client comes back for by name (`errands`), the questions stand in what the client is
   told of it, each under a key that is never used again, and are answered by these keys, one or many at once.
   There is no state: the name is one. A key that is not asked just now is passed over, as MCP says.
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
    from taskbound.ports.upstream import Logged, Told, Turn, UpstreamAnswer
    from taskbound.surfaces.gateway.call import Call
    from taskbound.surfaces.gateway.framing import Client
    from taskbound.wire.mcp.message import Request


_CHANCE: Final = 32
"""Bytes of chance in a state."""


def _nothing(_: Call) -> None:
    """Nobody is told."""


@dataclass(frozen=True, slots=True, eq=False)
class _Put:
    number: int
    method: str
    params: bytes
    answer: Callable[[UpstreamAnswer], None]
    key: str
    """What its server, or we, called it; it is asked under another key where that was used (rule 5)."""


@dataclass(slots=True, eq=False)
class _Place:
    """One call that waits, or waited, for its client."""

    puts: dict[str, _Put] = field(default_factory=dict)
    """By the key under which it is asked: what is not answered."""
    used: set[str] = field(default_factory=set)
    """Every key under which anything was asked of a client that comes back by name."""
    keys: frozenset[str] = frozenset()
    """What was asked under the state."""
    state: str = ""
    """Empty while the client waits."""
    back: asyncio.Event = field(default_factory=asyncio.Event)


class Parked:
    """The calls of one connection whose clients are asked so; used in the loop."""

    def __init__(
        self,
        client: Client,
        leave: Callable[[Call], None],
        take: Callable[[Call, Request], None],
        *,
        look: Callable[[Call], None] = _nothing,
    ) -> None:
        """Start with none.

        Args:
            client: Who is answered.
            leave: Called when a call's client waits no more.
            take: Called when a client waits for a call, by this request.
            look: Called when the questions of a call are others.
        """
        self._look = look
        self._client = client
        self._leave = leave
        self._take = take
        self._places: dict[Call, _Place] = {}
        self._states: dict[str, Call] = {}
        self._numbers = count(1)

    @property
    def calls(self) -> tuple[Call, ...]:
        """Those whose clients are asked just now."""
        return tuple(self._states.values())

    def show(self, parent: Call, puts: Mapping[str, _Put]) -> None:
        """Ask these together (rule 1), at once or when the client is back."""
        errand = parent.errand
        gone = parent.id is None and parent not in self._places if errand is None else errand.over.is_set()
        if gone:  # the call is over, and nobody would come back
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
        place.state = state = secrets.token_urlsafe(_CHANCE)  # 2
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
            name = next(one for one in _names(key) if one not in place.used)  # 5
            place.used.add(name)
            place.puts[name] = put

    def asks(self, parent: Call) -> bool:
        """Whether the client of a call that it comes back for is asked something."""
        return bool(self._asked_of(parent))

    def asked(self, parent: Call) -> bytes:
        """What it is asked: `inputRequests`, as JSON (rule 5)."""
        return _requests(self._asked_of(parent))

    def _asked_of(self, parent: Call) -> dict[str, _Put]:
        place = self._places.get(parent)
        return place.puts if place is not None and not place.state else {}

    def take_answers(self, parent: Call, answers: Mapping[str, JsonValue]) -> None:
        """Answer what the client of a call is asked, by its keys (rule 5).

        Raises:
            BadAnswersError: An answer is none; nothing is answered then.
            MalformedError: One has no bytes that can go to a server.
        """
        puts = self._asked_of(parent)
        given = {name: answer for name, answer in answers.items() if name in puts}
        ready = [(name, _read_answer(puts[name], answer)) for name, answer in given.items()]
        for name, answer in ready:
            puts.pop(name).answer(answer)
        self._look(parent)

    def come_back(self, state: str, digest: bytes, answers: Mapping[str, JsonValue]) -> Call:
        """The call that a state is of, once the answers to it are known to be such (rule 2).

        Raises:
            UnknownStateError: There is none for this request.
            BadAnswersError: The answers are none.
            MalformedError: One has no bytes that can go to a server.
        """
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
        """Go on with a call whose client is back, by this request of it."""
        place = self._places[call]
        del self._states[place.state]
        place.state = ""
        self._take(call, request)
        given = [(put, one) for key, one in answers.items() if (put := place.puts.pop(key, None)) is not None]
        if place.puts:
            self._ask(call, place)  # 3
        for put, answer in given:
            if isinstance(answer, dict):
                put.answer(Answered(answer_bytes(answer), answer))
        place.back.set()

    def take_back(self, parent: Call, key: str, reason: str) -> None:
        """Ask this no more; who answers it all the same is not refused for it."""
        place = self._places.get(parent)
        puts = place.puts if place is not None else {}
        name = next((name for name, one in puts.items() if one.key == key), None)
        if name is not None:
            puts.pop(name).answer(NoAnswer("taken-back", reason))
            self._look(parent)

    def wake(self, parent: Call) -> None:
        """Something has become of the call: whoever waits for its client looks up."""
        place = self._places.get(parent)
        if place is not None:
            place.back.set()

    def is_away(self, parent: Call) -> bool:
        """Whether its client was asked something, and is not back."""
        place = self._places.get(parent)
        return place is not None and bool(place.state)

    async def client(self, parent: Call, seconds: float) -> bool:
        """Wait until somebody waits for the call (rule 4), and say whether one does."""
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
        """The call is over; its state is no state any more."""
        place = self._places.pop(parent, None)
        if place is not None:
            self._states.pop(place.state, None)

    def next_number(self) -> int:
        """A number for one question."""
        return next(self._numbers)


class Together:
    """Questions of one round: the client is asked all of them at once, or none."""

    def __init__(self, parked: Parked, parent: Call, keys: Iterable[str]) -> None:
        """Wait for what becomes of each."""
        self._parked = parked
        self._parent = parent
        self._due = set(keys)
        self._puts: dict[str, _Put] = {}
        self._back: dict[str, str] = {}
        """What was taken back before it was put, and why."""
        self._failed = False

    def way(self, key: str, question: Call) -> _Way:
        """The way of one of them."""
        return _Way(self, key, question)

    def put(self, key: str, put: _Put) -> None:
        """It may be asked."""
        if key in self._back:
            put.answer(NoAnswer("taken-back", self._back.pop(key)))
            return
        self._due.discard(key)
        self._puts[key] = put
        self._look()

    def over(self, key: str) -> None:
        """Nothing more becomes of it; if it was never asked, none of them is."""
        if key in self._due:
            self._due.discard(key)
            self._failed = True

    def take_back(self, key: str, reason: str) -> None:
        """Ask it no more."""
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
        """A number for one question."""
        return self._parked.next_number()


class _Way:
    """One question's way (`call.Way`)."""

    def __init__(self, together: Together, key: str, question: Call) -> None:
        self._together = together
        self._key = key
        self._question = question

    def call(  # noqa: PLR0913 -- as a server is called (`ports.upstream.Upstream.call`)
        self,
        tool: str,
        arguments: bytes,
        answer: Callable[[UpstreamAnswer], None],
        *,
        key: str = "",
        progress: Told | None = None,
        logged: Logged | None = None,
        action: str = "",
        turn: Turn | None = None,
    ) -> int:
        """Ask, with the label before it, once the others of the round may be asked too."""
        del key, progress, logged, action, turn
        asked = self._question
        shown = labelled(tool, arguments, server=asked.server, action=asked.action)
        put = _Put(self._together.next_number(), tool, shown, answer, self._key)
        # Later, as every answer: whoever calls does not know the number before this returned.
        asyncio.get_running_loop().call_soon(self._together.put, self._key, put)
        return put.number

    def cancel(self, number: int, reason: str) -> None:
        """Ask no more."""
        del number
        self._together.take_back(self._key, reason)

    def forget(self, number: int) -> None:
        """Drop whatever answer may come."""
        del number
        self._together.take_back(self._key, "nobody waits for it")


def _names(key: str) -> Iterator[str]:
    """Keys under which a question can be asked: its own, if that was never used."""
    yield key
    for number in count(2):
        yield f"{key}~{number}"


def _read_answer(put: _Put | None, answer: JsonValue) -> Answered:
    """An answer of a client, once it is known to be one to this, or to what is not asked any more."""
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
