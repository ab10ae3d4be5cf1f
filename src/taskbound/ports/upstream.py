"""Ports of upstream servers."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool import ServerIdentity


class UpstreamEvents(Protocol):
    """What a server says unasked, as far as a gateway cares."""

    def tools_changed(self) -> None:
        """It says that its list of tools changed; called in the loop, MUST return at once."""

    def listed(self, kind: str) -> None:
        """It says that its list of `prompts` or `resources` changed; called as `tools_changed`."""

    def updated(self, uri: str) -> None:
        """It says that what is under this URI is another, as it was asked to; called as `tools_changed`."""

    def logged(self, params: Mapping[str, JsonValue]) -> None:
        """It logs, and nobody can say for which call; called in the loop, MUST return at once."""

    def asked(self, question: Question) -> None:
        """It asks the one who called it; called in the loop, MUST return at once, and see to an answer."""

    def withdrawn(self, question: Question) -> None:
        """It wants no answer to this any more."""

    def ended(self, reason: str, detail: str) -> None:
        """It is gone, or its connection can't be used; called once, after every open call was answered."""


class Upstream(Protocol):
    """One server that is spoken to, over one connection or many. All of it belongs to one event loop."""

    @property
    def era(self) -> str:
        """The revision of MCP that it speaks."""

    @property
    def methods(self) -> tuple[str, ...]:
        """What it says that it can be asked for beside its tools (`core.tool.METHOD_NAMES`)."""

    @property
    def logs(self) -> bool:
        """Whether it says that it logs."""

    @property
    def alive(self) -> bool:
        """Whether calls can be sent to it."""

    @property
    def unsent(self) -> int:
        """Bytes that were sent to it and that it has not taken yet."""

    async def list_tools(self) -> tuple[bytes, ...]:
        """Every tool object that it lists now, each exactly as received.

        MUST end within bounds of time, pages and bytes, and raise `UnavailableError` beyond
        them; any other error is taken as a server that can't be used.
        """

    async def list_entries(self, method: str) -> tuple[bytes, ...]:
        """What it lists by `prompts/list` and the like, as `list_tools`; MUST be empty if it has none."""

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
        turn: Turn | None = None,
    ) -> int:
        """Send one call, or the request that `tool` names when it is a method, and return its number.

        MUST send `arguments` byte for byte, and nothing of the client's beside them but `key`, the client's
        own name for this act, when it is not empty, and what is in the slots of the server. `action` names
        the permit that it is made under, for who has to see it first. MUST call `answer` exactly once, never
        before this returned; with `NotSent` only when not one byte of the call was written. `progress`
        hears, before `answer`, what it notifies of under a token of this call; without `progress` no token
        MUST be sent.
        `logged` hears, before `answer`, what is logged in this call: by a server that does not say in which,
        while no other is open. A modern server is told its level. What else is logged is for
        `UpstreamEvents.logged`. A modern server MUST be told what `turn` says, byte for byte, and without it
        that the one who calls can be asked nothing; a legacy one hears of it at its start alone.

        Where the server goes on with the call as a task of its own, it MUST be waited for, and no name of a
        task MUST leave. What such a task asks is an `Answered` that `is_working`: the call that brings the
        answers goes on under the same number, and with `cancel` in its place the task MUST be cancelled.
        """

    async def log_from(self, level: str) -> None:
        """Have a legacy server that logs log from this level on, of MCP's list.

        MUST do nothing for any other, end within bounds of time, and raise `UnavailableError` when the server
        does not say that it does.
        """

    async def unsubscribe(self, uri: str) -> None:
        """Have it say nothing more of a URI that `resources/subscribe` was called for.

        MUST end within bounds of time and raise nothing: what it says all the same nobody listens to.
        """

    def cancel(self, number: int, reason: str) -> None:
        """Ask it to stop working on a call; an answer may still come."""

    def forget(self, number: int) -> None:
        """Nobody waits for this call any more: `answer` MUST NOT be called, a late answer is dropped."""

    def pause(self) -> None:
        """Read nothing more from it until `resume`: whoever its answers are for does not keep up."""

    def resume(self) -> None:
        """Read on."""

    def kill(self, reason: str) -> None:
        """End it and all that it started, at once.

        Open calls are answered with `NoAnswer`, those of which nothing was sent may be with `NotSent`.
        """

    async def close(self) -> None:
        """End it in peace, then by force, all within bounds."""


class StartUpstream(Protocol):
    """Starts servers as they are pinned, or reaches them."""

    async def __call__(
        self,
        identity: ServerIdentity,
        *,
        era: str,
        events: UpstreamEvents,
        name: str = "",
        offers: bytes = b"{}",
        task: str = "",
    ) -> Upstream:
        """The server, started or reached, of the pinned era, ready for calls; `name` is what it is pinned as.

        `offers` are the capabilities, canonical, that a legacy server is told its clients have. What it asks
        beside them MUST be refused, and never reach `events`; so MUST what a modern one asks by requests.

        `task` is the one that it is started for, where credentials fill slots of it; nothing else is of it.

        MUST compare every pinned file right before the start, and give the server no other
        environment than is declared, save for what every program needs. MUST speak to no other server
        than the pinned URL's, and believe no other key than the pinned one. MUST raise
        `DeniedError` when something pinned is different, `UnavailableError` when the server
        does not start; then nothing of it runs any more.
        """


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
