"""Binds handlers to the messages that ask for them.

A handler is declared as `@operation(MESSAGE)`. Its name is the message's tag, its right that of its row in
`core.policy.operations`. A message without a row cannot be bound, so no operation has a default right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from taskbound.core.dataclass import dataclass
from taskbound.core.policy.operations import OPERATIONS as NAMED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from taskbound.core.policy.operation import Operation as PolicyOperation
    from taskbound.core.policy.operation import Right
    from taskbound.wire.envelope import Answer

W = TypeVar("W", bound="Callable[..., Awaitable[Answer]]")
H = TypeVar("H", bound="Callable[..., None]")


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


def _bind(
    ask: type[Any],
    *,
    work: Callable[..., Awaitable[Answer]] | None = None,
    hand: Callable[..., None] | None = None,
    injects: bool = False,
) -> None:
    name = str(ask.__struct_config__.tag)
    if name not in NAMED or ask in BOUND:
        raise LookupError(f"`{name}` has no row in core.policy.operations, or two handlers")
    BOUND[ask] = Operation(
        name=f"api:{name}", right=NAMED[name].right, policy=NAMED[name], work=work, hand=hand, injects=injects
    )
