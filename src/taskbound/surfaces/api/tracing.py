"""Spans of what is asked over the network: the operation, and its stages.

1. Only what came with a trace is traced, and only where spans are collected.
2. Stages are `prove` (who asks is found), `authorize` (the rules are asked) and `do` (its work).
3. Told are the operation, the namespace, what kind of principal asks, ids of task and action, the verdict
   and the error's code; nothing that was sent beside.
"""

from __future__ import annotations

import re
import secrets
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import TaskboundError
from taskbound.wire.connection import Fault
from taskbound.wire.trace import Span, Trace, parse_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskbound.surfaces.api.connection import Connection
    from taskbound.wire.envelope import Answer

__all__ = ["Traced", "Tracing", "stage"]

_ID: Final = re.compile(r"[a-z]{3}_[0-9A-Za-z]{1,40}", re.ASCII)
"""An id of ours; a client can write anything where one stands."""
_IDS: Final = ("task", "parent", "action")


@dataclass(slots=True)
class Traced:
    """An operation that is traced."""

    take: Callable[[Span], None]
    here: Trace
    attributes: dict[str, str | int] = field(default_factory=dict)
    code: str = ""
    """The error's, where it is refused."""

    def seated(self, seat: Connection) -> None:
        """Who asks is known (rule 3)."""
        self.attributes["taskbound.namespace"] = seat.namespace
        if seat.principal is not None:
            self.attributes["taskbound.principal"] = seat.principal.kind.value
        if seat.seat:
            self.attributes["taskbound.task"] = seat.seat

    def told(self, message: object) -> None:
        """What a message or an answer says of ids and of a verdict (rule 3)."""
        if isinstance(message, Fault):
            self.code = message.code
            return
        for name in _IDS:
            value = getattr(message, name, None)
            if isinstance(value, str) and _ID.fullmatch(value):
                key = "taskbound.action" if name == "action" else "taskbound.task"
                self.attributes[key] = value

    def answered(self, answer: Answer) -> None:
        """What the daemon answers; of an action that is its verdict."""
        self.told(answer)
        if str(self.attributes["taskbound.operation"]).startswith("action:"):
            self.attributes["taskbound.verdict"] = str(answer.__struct_config__.tag)


_traced: ContextVar[Traced | None] = ContextVar("_traced", default=None)


def _nothing() -> None:
    """Nobody collects anything."""


class Tracing:
    """Traces operations of the network; used in the loop."""

    def __init__(self) -> None:
        """Have spans taken by nobody."""
        self.take: Callable[[Span], None] | None = None
        """What takes spans; None where none is collected."""
        self.close: Callable[[], None] = _nothing
        """Sends what waits, when the daemon ends."""

    @contextmanager
    def operation(self, text: str, name: str, message: object) -> Iterator[Traced | None]:
        """An operation that was asked within this trace (rule 1)."""
        parent = parse_trace(text) if self.take is not None and text else None
        if self.take is None or parent is None or not parent.sampled:
            yield None
            return
        here = Trace(trace=parent.trace, span=secrets.token_hex(8))
        traced = Traced(self.take, here, {"taskbound.operation": name})
        traced.told(message)
        token, began = _traced.set(traced), time.time_ns()
        try:
            yield traced
        except TaskboundError as error:
            traced.code = error.code
            raise
        finally:
            _traced.reset(token)
            if traced.code:
                traced.attributes["taskbound.error"] = traced.code
            self.take(
                Span(
                    name=name,
                    trace=here.trace,
                    span=here.span,
                    parent=parent.span,
                    began=began,
                    ended=time.time_ns(),
                    attributes=traced.attributes,
                    failed=bool(traced.code),
                )
            )


@contextmanager
def stage(name: str) -> Iterator[None]:
    """A part of the operation that is traced here (rule 2); of none nothing is told."""
    traced = _traced.get()
    if traced is None:
        yield
        return
    began = time.time_ns()
    try:
        yield
    finally:
        traced.take(
            Span(
                name=name,
                trace=traced.here.trace,
                span=secrets.token_hex(8),
                parent=traced.here.span,
                began=began,
                ended=time.time_ns(),
            )
        )
