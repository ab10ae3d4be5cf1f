"""One open call, and why it may be interrupted."""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import structs

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.ports.upstream import Logged, QuestionRound, Told, UpstreamAnswer
    from taskbound.sdk.arrival import Arrival
    from taskbound.surfaces.gateway.binding import ServerHandle
    from taskbound.surfaces.gateway.errands.kept import DeferredCall
    from taskbound.surfaces.gateway.framing import ClientSession
    from taskbound.surfaces.gateway.link import Asked
    from taskbound.wire.action import Changed, Narrowed
    from taskbound.wire.mcp.message import Id


class InterruptReason(Enum):
    """Why a call is interrupted."""

    CANCELLED = "cancelled by the client"
    LEFT = "the client went away"
    ENDED = "the task has ended"
    PAUSED = "the task is paused"
    STOPPED = "everything is stopped"
    LOST = "the daemon is lost"
    LATE = "it was read for too long"
    EXPIRED = "its client did not come back for it in time"
    UNANSWERED = "the question was not answered in time"
    BESIDE = "another question of the same round was not answered"


_SILENT: Final = frozenset({InterruptReason.CANCELLED, InterruptReason.LEFT})
"""Causes after which the client gets no answer."""


class CallRoute(Protocol):
    """The path of a call: a part of `ports.upstream.Upstream`, or the client that a server asks (`asked`)."""

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
        turn: QuestionRound | None = None,
    ) -> int:
        """Sends the call and returns its number."""

    def cancel(self, number: int, reason: str) -> None:
        """Asks the receiver to stop working on the call."""

    def forget(self, number: int) -> None:
        """Drops any later answer."""


@dataclass(slots=True, kw_only=True, eq=False)
class Call:
    """An open call: a `tools/call`, a request beside it (`asking`), or a question (`asked`)."""

    id: Id | None
    """None for a call of the gateway itself, and for one whose client was asked and is away."""
    id_raw: bytes
    """The client's id exactly as it wrote it."""
    request: str
    """The id as canonical text; with the connection it identifies the presentation."""
    key: str
    tool: str
    server: str
    """The part of the tool's name before `__`."""
    own: str
    """The part after it: the server's name for the tool, or a method of `core.tool.METHOD_NAMES`."""
    arguments: bytes
    """Canonical bytes, which are decided and sent."""
    modern: bool
    token: str = ""
    """The name of the token that its client presented last; empty over a pipe."""
    progress: int | str | None = None
    """The client's progress token, for notifications while the call is held or makes progress."""
    level: str = ""
    """The log level that a modern client requested for the call."""
    talk: ClientSession | None = None
    """The subscriptions of a legacy client, which hold for all of its calls."""
    turns: int = 0
    """How many notifications were sent while the call was held."""
    action: str = ""
    task: str = ""
    asked: Asked | None = None
    held: str = ""
    changed: tuple[Changed, ...] = ()
    """What approvers narrowed, compared with the client's arguments."""
    cause: InterruptReason | None = None
    words: str = ""
    """How the task ended, when that is the cause."""
    read: tuple[str, ...] | None = None
    """The actions that read its operands, for the next question to the daemon."""
    reading: Call | None = None
    running: ServerHandle | None = None
    number: int = 0
    waiting: Arrival[UpstreamAnswer] | None = None
    timer: asyncio.TimerHandle | None = None
    digest: bytes = b""
    """Digest of the client's request: a retry with a state must be the same request."""
    offers: Mapping[str, JsonValue] = field(default_factory=dict)
    towards: CallRoute | None = None
    """The client, if the call is a server's question; None if it goes to its server."""
    questions: set[Call] = field(default_factory=set)
    asked_for: int = 0
    knows_tasks: bool = False
    """Whether its client accepts an MCP task as the answer (2026-07-28)."""
    patience: asyncio.TimerHandle | None = None
    """The timer after which its client must poll for it."""
    errand: DeferredCall | None = None
    """Set once its client polls for it."""
    was_sent: bool = False
    """Whether it was sent: its result is then the server's and not only a refusal of the gateway."""

    def narrow(self, narrowed: Narrowed) -> None:
        """Replaces the call by the narrower action: for the decision and for sending."""
        first = {one.place: one.before for one in self.changed}
        self.changed = tuple(
            structs.replace(one, before=first.pop(one.place, one.before)) for one in narrowed.changed
        ) + tuple(one for one in self.changed if one.place in first)
        self.arguments, self.held, self.key = bytes(narrowed.arguments), narrowed.action, ""

    @property
    def way(self) -> CallRoute | None:
        """Returns the call's path, or None while its server does not run."""
        return self.towards or (self.running.upstream if self.running is not None else None)

    @property
    def is_heard(self) -> bool:
        """Whether its client can be notified now; of polling clients only those of 2025-11-25 can."""
        return self.id is not None or (self.errand is not None and not self.modern)

    @property
    def is_held(self) -> bool:
        return bool(self.held) and not self.was_sent

    @property
    def is_sent(self) -> bool:
        return self.cause is None and self.waiting is not None and not self.waiting.done()

    @property
    def is_left(self) -> bool:
        return self.cause in _SILENT
