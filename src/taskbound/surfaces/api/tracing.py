"""Spans of what is asked over the network: the operation, and its stages.

1. Only what came with a trace is traced, and only where spans are collected.
2. Stages are `prove` (who asks is found), `authorize` (the rules are asked) and `do` (its work). Of an action
   `evaluate` and `commit` are told beside (`flows.decision.watched`), and of a token `sign`: what is shared
   with others is told to each, with the number of those who shared it.
3. Told are the operation, the namespace, what kind of principal asks, ids of task and action, the verdict
   and the error's code; nothing that was sent beside.
4. What the daemon logs of such a request names its trace. The request's task in the loop ends with it, and so
   does that name: what is logged last, behind its operation, has it too.
"""

from __future__ import annotations

import re
import secrets
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.wire.connection import Fault
from taskbound.wire.trace import Span, Trace, parse_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskbound.ports.token import MadeKey, SignedList, TokenSigner
    from taskbound.surfaces.api.connection import Connection
    from taskbound.wire.envelope import Answer


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

    @contextmanager
    def stage(self, name: str, *, group: int = 0) -> Iterator[None]:
        """A part of it, shared with others of a group or with nobody (rule 2); from any thread."""
        began = time.time_ns()
        try:
            yield
        finally:
            self.take(
                Span(
                    name=name,
                    trace=self.here.trace,
                    span=secrets.token_hex(8),
                    parent=self.here.span,
                    began=began,
                    ended=time.time_ns(),
                    attributes={"taskbound.group": group} if group else {},
                )
            )

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
_named: ContextVar[str] = ContextVar("_named", default="")
"""The trace that lines of the log name (rule 4)."""


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
        _named.set(here.trace)
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
    with traced.stage(name):
        yield


def watching() -> Traced | None:
    """The operation that is traced here; None for none."""
    return _traced.get()


def trace_here() -> str:
    """The trace that what is logged here belongs to; empty for none (rule 4)."""
    return _named.get()


class TracedSigner:
    """Whoever signs tokens, with a stage around each token (rule 2)."""

    def __init__(self, signer: TokenSigner) -> None:
        """Have this one sign."""
        self._signer = signer

    def sign_token(self, namespace: str, token: str) -> str:
        """The token of this row, as the compact text."""
        with stage("sign"):
            return self._signer.sign_token(namespace, token)

    def sign_status_list(self, number: int) -> SignedList:
        """The status list of this number."""
        return self._signer.sign_status_list(number)

    def make_key(self) -> MadeKey:
        """A new key."""
        return self._signer.make_key()

    def look(self, issuer: str) -> None:
        """Return where tokens of this issuer could be signed."""
        self._signer.look(issuer)

    def destroy_keys(self) -> tuple[str, ...]:
        """Destroy what is signed with no more."""
        return self._signer.destroy_keys()
