"""Server questions for clients of the legacy revisions: requests that the gateway sends on the call's path.

A request id is random, so no client of a seat can answer another client's question. An answer counts once,
and only from the session that was asked; the gateway drops any other answer. For a polled call (`errands`)
the question goes out on the request that waits for the result, also one that arrives later, and names its
MCP task.
"""

from __future__ import annotations

import secrets
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.ports.upstream import Answered, Errored, NoAnswer
from taskbound.surfaces.gateway.asked.reading import answer_bytes, labelled
from taskbound.wire.mcp.message import Failure, Result, asking_line, notice_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from taskbound.core.action.canonical import JsonValue
    from taskbound.ports.upstream import UpstreamAnswer
    from taskbound.surfaces.gateway.call import Call
    from taskbound.surfaces.gateway.framing import Client
    from taskbound.wire.mcp.message import Id


@dataclass(slots=True)
class _Open:
    number: int
    parent: Call
    line: bytes
    answer: Callable[[UpstreamAnswer], None]
    to: Id | None = None
    """The client's request that the question was sent on."""


class OpenQuestions:
    """The open questions of one connection's clients; used in the event loop."""

    def __init__(self, client: Client, *, look: Callable[[Call], None]) -> None:
        self._client = client
        self._look = look
        self._numbers = count(1)
        self._names: dict[int, str] = {}
        self._open: dict[str, _Open] = {}

    def way(self, parent: Call, question: Call) -> _Way:
        return _Way(self, parent, question)

    def put(self, parent: Call, method: str, params: bytes, answer: Callable[[UpstreamAnswer], None]) -> int:
        """Sends a question; `answer` is called once."""
        number, name = next(self._numbers), f"taskbound-{secrets.token_urlsafe(16)}"
        self._names[number] = name
        one = self._open[name] = _Open(number, parent, asking_line(name, method, params), answer)
        self._say(one)
        self._look(parent)
        return number

    def asks(self, parent: Call) -> bool:
        return any(one.parent is parent for one in self._open.values())

    def reach(self, parent: Call) -> None:
        """Sends the questions that could not be sent before, on the request that waits now."""
        for one in [one for one in self._open.values() if one.parent is parent]:
            was_heard = self._client.is_one if one.to is None else self._client.can_hear(one.to)
            if not was_heard:
                self._say(one)

    def _say(self, one: _Open) -> None:
        errand = one.parent.errand
        if errand is None:
            one.to = one.parent.id
        else:
            one.to = next((to for to in reversed(errand.waiting) if self._client.can_hear(to)), None)
        if errand is None or one.to is not None or self._client.is_one:
            self._client.tell(one.line, one.to)

    def answered(self, message: Result | Failure, within: Collection[Id] | None = None) -> bool:
        """Returns whether a question was open; `within`: open ids of the session, None: one client."""
        name = message.id
        one = self._open.get(name) if isinstance(name, str) else None
        if one is None or (within is not None and one.to not in within):
            return False
        self.forget(one.number)
        one.answer(answer_of(message))
        return True

    def take_back(self, number: int, reason: str) -> None:
        name = self._names.pop(number, "")
        one = self._open.pop(name, None)
        if one is not None:
            said = canonical({"reason": reason, "requestId": name})
            self._client.tell(notice_line("notifications/cancelled", said), one.to)
            one.answer(NoAnswer("taken-back", reason))
            self._look(one.parent)

    def forget(self, number: int) -> None:
        one = self._open.pop(self._names.pop(number, ""), None)
        if one is not None:
            self._look(one.parent)


class _Way:
    def __init__(self, posed: OpenQuestions, parent: Call, question: Call) -> None:
        self._posed = posed
        self._parent = parent
        self._question = question

    def call(self, tool: str, arguments: bytes, answer: Callable[[UpstreamAnswer], None], **_: object) -> int:
        asked = self._question
        errand = self._parent.errand
        name = errand.name if errand is not None else ""
        shown = labelled(tool, arguments, server=asked.server, action=asked.action, task=name)
        return self._posed.put(self._parent, tool, shown, answer)

    def cancel(self, number: int, reason: str) -> None:
        self._posed.take_back(number, reason)

    def forget(self, number: int) -> None:
        self._posed.forget(number)


def answer_of(message: Result | Failure) -> UpstreamAnswer:
    try:
        match message:
            case Failure(raw=raw, code=code, message=words):
                error: dict[str, JsonValue] = msgspec.json.decode(raw, type=dict[str, Any])
                return Errored(answer_bytes(error), code, words)
            case Result(value=value) if isinstance(value, dict):
                return Answered(answer_bytes(value), value)
            case _:
                return NoAnswer("not-the-protocol", "the client's answer is no object")
    except MalformedError as wrong:
        return NoAnswer(wrong.code, wrong.message)
