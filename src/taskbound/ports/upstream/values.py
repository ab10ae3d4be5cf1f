"""What can come of a request to an upstream server, what it asks, who hears of its progress and its logs."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action.canonical import JsonValue


@dataclass(frozen=True, slots=True)
class Answered:
    """The server answered with a result."""

    raw: bytes
    """Exactly the bytes of the result: one JSON object."""
    value: dict[str, JsonValue]
    """The same, strictly read."""
    is_working: bool = False
    """Whether it asks, and the server goes on with the call until it is answered, or the call cancelled."""


@dataclass(frozen=True, slots=True)
class Errored:
    """The server answered with a JSON-RPC error."""

    raw: bytes
    """Exactly the bytes of the error object."""
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No answer can come any more, or none that can be believed: what happened is unknown."""

    code: str
    reason: str
    """In words of ours, for whoever made the call."""
    detail: str = ""
    """What else is known, in the server's own words, escaped: for a log and a person, not for a model."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the call left: the server was not reached, or can't be."""

    code: str
    reason: str
    """In words of ours, for whoever made the call."""
    detail: str = ""
    """What else is known, escaped: for a log and a person, not for a model."""


@dataclass(frozen=True, slots=True)
class Logged:
    """What a caller wants to hear of what is logged of its call."""

    level: str
    """From which of MCP's levels on; empty for nothing, which a server is not told."""
    told: Told


UpstreamAnswer: TypeAlias = Answered | Errored | NoAnswer | NotSent
Told: TypeAlias = "Callable[[Mapping[str, JsonValue]], None]"
"""Hears the parameters of one notification of progress or of a log, strictly read and not yet judged."""


def errored(code: int, message: str) -> Errored:
    """A JSON-RPC error of ours."""
    return Errored(canonical({"code": code, "message": message}), code, message)


class AnswerQuestion(Protocol):
    """Answers a server's question, once; what comes after that, or after the server's end, is dropped."""

    def __call__(self, found: Answered | Errored, *, action: str = "") -> None:
        """Give this answer: the recorded outcome of `action`, or an error of ours where that is empty."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What a legacy server asks of the one who called it: a request of the server's."""

    number: int
    """The call in whose exchange it came; 0 where the way to the server does not tell calls apart."""
    method: str
    """Of `core.tool.QUESTION_NAMES`."""
    params: Mapping[str, JsonValue]
    """Strictly read and not yet judged."""
    answer: AnswerQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a modern server is told with a call of what can be asked, and of what it asked for before."""

    offers: bytes = b"{}"
    """The capabilities of the one who calls, canonical."""
    answers: bytes = b""
    """`inputResponses`, one JSON object; empty where nothing was answered."""
    actions: Mapping[str, str] = field(default_factory=dict)
    """The action that each answer is the outcome of, by its key, for who has to see it first."""
    state: bytes = b""
    """`requestState`, byte for byte as the server wrote it; empty where it gave none."""
    goes_on: Callable[[], None] | None = None
    """Called once, before the answer, where the server goes on with the call as a task of its own, as far as
    that is known here; returns at once."""
