"""What both clients share: their settings, their lazily made parts, and the task of their block.

1. Construction does nothing: the first call finds, loads and connects the parts.
2. `Client` guards blocking functions, `AsyncClient` awaited ones.
3. Guarded functions called within a client's block, or its task's, belong to it.
4. A client has at most one task started by a block; a second block is refused, since its calls would run
   under the first one's purpose and scope. A task that was started and can't be bound is ended.
5. Over the network a named task is joined; otherwise one is started with the subject's token.
6. A block that is cancelled while its task starts over the network, or ends, leaves no task: `close` waits
   for its end.
7. Each part is made once, also with threads (`cached_property` doesn't ensure that from Python 3.12 on):
   with two keys, a task begun with one could not be ended with the other.
8. Threads and asyncio tasks may each have blocks of one client, also nested. The last block closes the
   client; a task's block ends its connections, and the next call makes new ones.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Protocol, Self, TypeVar, overload

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.sdk.guard.errors import NoTaskHereError, NotCarriedError, SignatureError, TaskNotStartedError
from taskbound.sdk.guard.flow import Holds
from taskbound.sdk.guard.guarded import Guards, current

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from ssl import SSLContext

    from taskbound.core.action.canonical import JsonValue
    from taskbound.sdk.guard.afar import HttpTransport
    from taskbound.sdk.guard.guarded import Guarded
    from taskbound.sdk.guard.holder import Granted
    from taskbound.sdk.guard.link import Place
    from taskbound.sdk.guard.near import SocketTransport
    from taskbound.sdk.guard.proof import Proof, ProofKey, SubjectToken
    from taskbound.sdk.guard.task import Order


P = ParamSpec("P")
R = TypeVar("R")
_before: ContextVar[tuple[Guards | None, ...]] = ContextVar("taskbound_before", default=())
"""What functions belonged to before each block that was entered in this context."""
_NEAR: Final = 2.0
"""Seconds between two signs of life of a task's block, on this machine."""


class made_once(cached_property[R]):  # noqa: N801 -- named as what it stands beside, `cached_property`
    """A cached property made once, also with threads (rule 7)."""

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> R: ...

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Self | R:
        if not isinstance(instance, Speaker):
            return self
        with instance.making:
            return super().__get__(instance, owner)


class Speaker(Guards):
    """What both clients share; each waits in its own way."""

    def __init__(self, told: ClientSettings, outside: MachineAccess) -> None:
        self._told = told
        self._outside = outside
        self._holds = Holds()
        self._blocks = 0
        self._turn = threading.RLock()
        """Held while blocks and calls begin, and while connections end that none of them needs (rule 8)."""
        self.making = threading.RLock()
        """Held while something is made (rule 7)."""
        self._begun = False
        """Whether a block of this client has started a task that it still runs in."""

    def _place(self) -> Place:
        return self._outside.place(self._told)

    @made_once
    def _afar(self) -> HttpTransport:
        from taskbound.sdk.guard.afar import HttpTransport  # noqa: PLC0415 -- rule 1

        told = self._told
        task = told.task or self._outside.task()
        if not task and told.subject is None:
            raise NoTaskHereError("no task is named, and over the network none is looked for")
        if told.proof is None:
            raise NoTaskHereError(
                "nothing proves the agent", remedy="give the client a `proof=` (`taskbound.Proof`)"
            )
        return HttpTransport(
            origin=told.origin,
            task=task,
            namespace=told.namespace or "default",
            domain=told.domain,
            proof=told.proof,
            key=self._outside.key(None if told.subject is None else told.subject.key),
            now=self._outside.now,
        )

    def _held(self) -> HttpTransport:
        if not self._told.origin:
            raise NoTaskHereError(
                "a token is handed on over the network", remedy="on one machine: `taskbound task delegate`"
            )
        return self._afar

    def _carrying(self) -> HttpTransport:
        if not self._told.origin:
            raise NotCarriedError(
                "this client asks over the daemon's socket, whose permits have no token",
                remedy="use the API on this machine: `Client('http://127.0.0.1:8700', proof=…)`",
            )
        return self._afar

    def _near(self, place: Place) -> SocketTransport:
        from taskbound.sdk.guard.near import SocketTransport  # noqa: PLC0415 -- rule 1

        return SocketTransport(namespace=place.namespace, agent=place.agent)

    def _starts_afar(self) -> SubjectToken | None:
        return None if self._told.task or self._outside.task() else self._told.subject

    def _every(self) -> float:
        return self._afar.every if self._told.origin else _NEAR

    def _claim(self, named: str) -> bool:
        """Whether a block must start a task; raises TaskNotStartedError if another block did (rule 4)."""
        with self._turn:
            if self._begun:
                raise TaskNotStartedError(
                    "a block of this client has started a task, and is not over",
                    remedy="call what belongs to that task within its block, and leave it before the next",
                )
            self._begun = not named
            return self._begun

    def _unclaim(self) -> None:
        with self._turn:
            self._begun = False

    def _into(self) -> None:
        _before.set((*_before.get(), current.get()))
        current.set(self)
        self._came()

    def _out(self) -> bool:
        if before := _before.get():  # none in another context than it was entered in
            _before.set(before[:-1])
            current.set(before[-1])
        return self._went()

    def _came(self) -> None:
        with self._turn:
            self._blocks += 1
        if (web := vars(self).get("_web")) is not None:
            web.open()

    def _went(self) -> bool:
        with self._turn:
            self._blocks -= 1
            return self._blocks == 0

    def _is_needed(self, *, running: bool) -> bool:
        with self._turn:
            return running or self._blocks > 0

    def _to_rest(self, *, idle: bool, joined: bool) -> tuple[Any, ...]:
        """Returns the connections to close (rule 8); `idle`: no call runs and nothing is owed."""
        if not joined:
            self._holds.over()
        if not self._went() or not idle or not self._holds.are_none:
            return ()
        return self._spoken_over()

    def _spoken_over(self) -> tuple[Any, ...]:
        return tuple(one for name in ("_link", "_web") if (one := vars(self).get(name)) is not None)

    def _wanted(self, function: Guarded[P, R], *, awaited: bool) -> None:
        if function.is_awaited is not awaited:
            kind = "an `AsyncClient`" if function.is_awaited else "a `Client`"
            raise SignatureError(
                f"`{function.tool}` is for {kind}",
                remedy="guard what is awaited by an AsyncClient, and what blocks by a Client",
            )  # 2


class MachineAccess(Protocol):
    """A client's access to the machine."""

    def place(self, told: ClientSettings) -> Place:
        """Returns the daemon's address and the agent; raises TaskboundError."""

    def task(self) -> str:
        """Returns the task that the environment names, or ""."""

    def key(self, file: Path | None) -> ProofKey:
        """Returns a new key or the file's; raises TaskboundError."""

    def now(self) -> float:
        """Returns seconds since 1970, for proofs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """A client's settings."""

    origin: str = ""
    """`https://HOST[:PORT]` of the API; empty for the daemon of this machine."""
    agent: str = ""
    task: str = ""
    namespace: str = ""
    home: str = ""
    proof: Proof | None = None
    subject: SubjectToken | None = None
    """Whose token starts the tasks of a client that is over the network."""
    domain: str = ""
    """The trust domain, over the network; the origin's host where it is not said."""
    trust: SSLContext | None = None
    """Whom to believe instead of the system's authorities."""
    wait: float = 0.0
    """Seconds that people may take, should they have to be asked; 0 raises `HeldError` at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskHandle:
    """The task of a block."""

    id: str
    purpose: str
    """Empty for one that was joined over the network."""
    deadline: int
    """Instant, µs since 1970."""
    joined: bool
    """Whether it existed before; its starter ends it."""


def order_of(  # noqa: PLR0913, PLR0917 -- what a task is made of
    purpose: str,
    template: str,
    scope: Mapping[str, JsonValue] | None,
    seconds: int,
    evidence: Sequence[str],
    heartbeat: int,
    grace: int,
) -> Order:
    """Returns the task to be started; raises MalformedError if its scope can't be encoded."""
    from taskbound.sdk.guard.task import Order  # noqa: PLC0415 -- rule 1

    if scope is not None:
        canonical(dict(scope))  # what can't be written is refused here
    return Order(
        purpose=purpose,
        template=template,
        scope=scope,
        seconds=seconds,
        evidence=tuple(evidence),
        heartbeat=heartbeat,
        grace=grace,
    )


def handle_afar(granted: Granted, purpose: str, *, joined: bool) -> TaskHandle:
    return handle_of(purpose, granted.task, granted.deadline, joined=joined)


def handle_of(purpose: str, task: str, deadline: int, *, joined: bool) -> TaskHandle:
    return TaskHandle(id=task, purpose=purpose, deadline=deadline, joined=joined)
