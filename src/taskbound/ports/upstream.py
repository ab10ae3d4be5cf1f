"""Upstream MCP servers."""

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
    """Unsolicited messages of a server; called in the loop, MUST return at once."""

    def tools_changed(self) -> None:
        pass

    def listed(self, kind: str) -> None:
        pass

    def updated(self, uri: str) -> None:
        pass

    def logged(self, params: Mapping[str, JsonValue]) -> None:
        """It logs outside any identifiable call."""

    def asked(self, question: Question) -> None:
        """It asks its caller; the question must be answered."""

    def withdrawn(self, question: Question) -> None:
        pass

    def ended(self, reason: str, detail: str) -> None:
        """Its connection ended; called once, after every open call was answered."""


class Upstream(Protocol):
    """One server, over one connection or many. All of it belongs to one event loop."""

    @property
    def era(self) -> str:
        pass

    @property
    def methods(self) -> tuple[str, ...]:
        """Returns the methods it offers besides tools (`core.tool.METHOD_NAMES`)."""

    @property
    def logs(self) -> bool:
        pass

    @property
    def alive(self) -> bool:
        pass

    @property
    def unsent(self) -> int:
        """Returns the bytes sent and not yet taken by it."""

    async def list_tools(self) -> tuple[bytes, ...]:
        """MUST be bounded in time, pages and bytes, and raise `UnavailableError` beyond."""

    async def list_entries(self, method: str) -> tuple[bytes, ...]:
        """Returns entries of `prompts/list` and the like, as `list_tools`; MUST be empty if it has none."""

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
        turn: QuestionRound | None = None,
    ) -> int:
        """Sends a call, or the method that `tool` names, and returns its number.

        MUST send `arguments` byte for byte, and of the client's only `key`, its name for this act, unless
        empty, besides slot values. `action` names the permit. MUST call `answer` exactly once and never
        before this returns; `NotSent` only if no byte was written. `progress` gets notifications before
        `answer`; without it no progress token MUST be sent. `logged` gets the call's log messages before
        `answer`, of a server that does not name the call only while no other is open; others go to
        `UpstreamEvents.logged`. A modern server gets its level. It MUST get `turn` byte for byte, and without
        it that the caller cannot be asked; a legacy one learns at start.

        If the server continues the call as its own task, the adapter MUST wait for it, and no task name MUST
        leave. A question of such a task is an `Answered` that `is_working`: answers continue under the same
        number, and with `cancel` the task MUST be cancelled.
        """

    async def log_from(self, level: str) -> None:
        """Legacy only. MUST be bounded in time, and raise `UnavailableError` if not confirmed."""

    async def unsubscribe(self, uri: str) -> None:
        """Ends a subscription. MUST be bounded in time and raise nothing."""

    def cancel(self, number: int, reason: str) -> None:
        """Asks it to stop working on a call; an answer may still come."""

    def forget(self, number: int) -> None:
        """Abandons a call: `answer` MUST NOT be called."""

    def pause(self) -> None:
        """Stops reading from it until `resume`, as the consumer does not keep up."""

    def resume(self) -> None:
        pass

    def kill(self, reason: str) -> None:
        """Kills it and its descendants at once. Open calls get `NoAnswer`, unsent ones may get `NotSent`."""

    async def close(self) -> None:
        """Ends it gracefully, then by force, in bounded time."""


class StartUpstream(Protocol):
    """Starts or reaches pinned servers."""

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
        """Returns the ready server of the pinned era; `name` is its pinned name.

        `offers` are the canonical client capabilities that a legacy server gets. Requests beyond them MUST be
        refused and never reach `events`, and so MUST requests of a modern server. `task` is only for slots
        that credentials fill. MUST compare every pinned file right before the start, pass only declared and
        essential environment, and for a URL speak only to the pinned one with the pinned key. MUST raise
        `DeniedError` for a mismatch, `UnavailableError` if it does not start; nothing may be left running.
        """


@dataclass(frozen=True, slots=True)
class Answered:
    """The server returned a result."""

    raw: bytes
    """Exactly the bytes of the result: one JSON object."""
    value: dict[str, JsonValue]
    """The same, strictly read."""
    is_working: bool = False
    """Whether it asks, and the server goes on with the call until it is answered, or the call cancelled."""


@dataclass(frozen=True, slots=True)
class Errored:
    """The server returned a JSON-RPC error."""

    raw: bytes
    """Exactly the bytes of the error object."""
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No acceptable answer can come: the outcome is unknown."""

    code: str
    reason: str
    """Our own text, for the caller."""
    detail: str = ""
    """What else is known, in the server's own words, escaped: for a log and a person, not for a model."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the call was sent."""

    code: str
    reason: str
    """Our own text, for the caller."""
    detail: str = ""
    """What else is known, escaped: for a log and a person, not for a model."""


@dataclass(frozen=True, slots=True)
class Logged:
    """What a caller wants of its call's log messages."""

    level: str
    """From which of MCP's levels on; empty for nothing, which a server is not told."""
    told: Told


UpstreamAnswer: TypeAlias = Answered | Errored | NoAnswer | NotSent
Told: TypeAlias = "Callable[[Mapping[str, JsonValue]], None]"
"""Hears the parameters of one notification of progress or of a log, strictly read and not yet judged."""


def errored(code: int, message: str) -> Errored:
    return Errored(canonical({"code": code, "message": message}), code, message)


class AnswerQuestion(Protocol):
    """Answers a server's question once; later answers, or after its end, are dropped."""

    def __call__(self, found: Answered | Errored, *, action: str = "") -> None:
        """Sends the answer: the outcome of `action`, or our own error if empty."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A legacy server's request to its caller."""

    number: int
    """The call in whose exchange it came; 0 where the way to the server does not tell calls apart."""
    method: str
    """Of `core.tool.QUESTION_NAMES`."""
    params: Mapping[str, JsonValue]
    """Strictly read and not yet judged."""
    answer: AnswerQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionRound:
    """What a modern server is told with a call about possible and earlier questions."""

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
