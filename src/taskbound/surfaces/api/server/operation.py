"""Binds handlers to the messages that ask for them.

A handler is declared as `@operation(MESSAGE)`. Its name is the message's tag, its right that of its row in
`core.policy.operations`. A message without a row cannot be bound, so no operation has a default right.

Short handlers leave to the binding what they have in common:
1. `@from_snapshot(MESSAGE)`: the handler answers from one snapshot, beside the loop.
2. `@as_person(MESSAGE)`, `@as_giver(MESSAGE)`: the handler runs in the worker, where the operation was
   authorized again and the actor was proven right before. A message whose row has another right cannot be
   bound so. A handler that returns nothing answers with `Done`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from taskbound.core.dataclass import dataclass
from taskbound.core.policy.operation import Right
from taskbound.core.policy.operations import OPERATIONS as NAMED
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from taskbound.core.policy.operation import Operation as PolicyOperation
    from taskbound.flows.means import Actor, Adapters, TaskChange
    from taskbound.ports.store import Snapshot
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.wire.envelope import Answer

A = TypeVar("A")
W = TypeVar("W", bound="Callable[..., Awaitable[Answer]]")
H = TypeVar("H", bound="Callable[..., None]")
PersonHandler: TypeAlias = "Callable[[PersonAct, A], Answer | Ended | None]"
GiverHandler: TypeAlias = "Callable[[GiverAct, A], Answer | Ended | None]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of the daemon."""

    name: str
    """`api:word:verb`."""
    right: Right
    policy: PolicyOperation
    """Its row in the table for policies."""
    work: Callable[..., Awaitable[Answer]] | None = None
    hand: Callable[..., None] | None = None
    """Queues its job in a lane that answers, without a task of the loop for each call."""
    injects: bool = False
    """Whether an egress' connection that belongs to a task may ask for it too (`injecting`)."""


BOUND: Final[dict[type[Any], Operation]] = {}
"""The operations of all imported modules, by the message that asks for them."""


def operation(*asks: type[Any], injects: bool = False) -> Callable[[W], W]:
    """Binds a handler to these messages."""

    def bind(work: W) -> W:
        for ask in asks:
            _bind(ask, work=work, injects=injects)
        return work

    return bind


def handed(ask: type[Any]) -> Callable[[H], H]:
    """Binds a handler that queues its job in a lane."""

    def bind(hand: H) -> H:
        _bind(ask, hand=hand)
        return hand

    return bind


@dataclass(frozen=True, slots=True)
class _Request:
    daemon: Daemon
    connection: Connection

    @property
    def namespace(self) -> str:
        """Returns the namespace of the caller."""
        return self.connection.namespace

    @property
    def adapters(self) -> Adapters:
        """Returns what the flows work with."""
        return self.daemon.adapters


@dataclass(frozen=True, slots=True)
class Reading(_Request):
    """A request, and the snapshot that answers it (rule 1)."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class PersonAct(_Request):
    """A request of a person who was proven right before (rule 2)."""

    actor: Actor


@dataclass(frozen=True, slots=True)
class GiverAct(PersonAct):
    """A request of an actor that sets grantable scopes (rule 2)."""

    owns: bool
    """Whether the actor's account owns the data directory."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An answer that is sent after the connections of these tasks were notified."""

    moved: Sequence[TaskChange]
    answer: Answer


def from_snapshot(ask: type[A]) -> Callable[[Callable[[Reading, A], Answer]], Callable[[Reading, A], Answer]]:
    """Binds a handler that answers from one snapshot (rule 1)."""

    def bind(handler: Callable[[Reading, A], Answer]) -> Callable[[Reading, A], Answer]:
        async def work(daemon: Daemon, connection: Connection, message: A) -> Answer:
            def read() -> Answer:
                with daemon.adapters.store.read() as snapshot:
                    return handler(Reading(daemon, connection, snapshot), message)

            return await daemon.read(read)

        _bind(ask, work=work)
        return handler

    return bind


def as_person(ask: type[A]) -> Callable[[PersonHandler[A]], PersonHandler[A]]:
    """Binds a handler that acts for a proven person (rule 2)."""

    def bind(handler: PersonHandler[A]) -> PersonHandler[A]:
        async def work(daemon: Daemon, connection: Connection, message: A) -> Answer:
            def act() -> Answer | Ended | None:
                return handler(PersonAct(daemon, connection, daemon.require_person(connection)), message)

            return _told(daemon, await daemon.first(act))

        _bind(ask, work=work, right=Right.PERSON)
        return handler

    return bind


def as_giver(ask: type[A]) -> Callable[[GiverHandler[A]], GiverHandler[A]]:
    """Binds a handler that acts for a proven person or the account that owns the data directory (rule 2)."""

    def bind(handler: GiverHandler[A]) -> GiverHandler[A]:
        async def work(daemon: Daemon, connection: Connection, message: A) -> Answer:
            def act() -> Answer | Ended | None:
                return handler(GiverAct(daemon, connection, *daemon.require_giver(connection)), message)

            return _told(daemon, await daemon.first(act))

        _bind(ask, work=work, right=Right.GIVER)
        return handler

    return bind


def _told(daemon: Daemon, found: Answer | Ended | None) -> Answer:
    if isinstance(found, Ended):
        daemon.tell_ended(found.moved)
        return found.answer
    return Done() if found is None else found


def _bind(
    ask: type[Any],
    *,
    work: Callable[..., Awaitable[Answer]] | None = None,
    hand: Callable[..., None] | None = None,
    injects: bool = False,
    right: Right | None = None,
) -> None:
    name = str(ask.__struct_config__.tag)
    if name not in NAMED or ask in BOUND:
        raise LookupError(f"`{name}` has no row in core.policy.operations, or two handlers")
    if right not in {None, NAMED[name].right}:
        raise LookupError(f"`{name}` has another right in core.policy.operations than its handler")
    BOUND[ask] = Operation(
        name=f"api:{name}", right=NAMED[name].right, policy=NAMED[name], work=work, hand=hand, injects=injects
    )
