"""Spans of network requests: the operation and its stages.

1. Only requests with a trace context are traced, and only if spans are collected.
2. Stages are `prove`, `authorize` and `do`; for an action also `evaluate` and `commit`
   (`flows.decision.watched`), for a token `sign`. A shared stage appears in each trace with the size of the
   group.
3. Attributes are operation, namespace, kind of principal, ids of task and action, verdict and error code; no
   request content.
4. Log lines of a request have its trace id, also those after its operation, until its asyncio task ends.
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
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.wire.envelope import Answer


_ID: Final = re.compile(r"[a-z]{3}_[0-9A-Za-z]{1,40}", re.ASCII)
"""An id of ours; a client can write anything where one stands."""
_IDS: Final = ("task", "parent", "action")


@dataclass(slots=True)
class Traced:
    """A traced operation."""

    take: Callable[[Span], None]
    here: Trace
    attributes: dict[str, str | int] = field(default_factory=dict)
    code: str = ""
    """The error's, where it is refused."""

    @contextmanager
    def stage(self, name: str, *, group: int = 0) -> Iterator[None]:
        """A stage, shared with others of a group if `group` is set (rule 2); any thread."""
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
        """Notes the principal (rule 3)."""
        self.attributes["taskbound.namespace"] = seat.namespace
        if seat.principal is not None:
            self.attributes["taskbound.principal"] = seat.principal.kind.value
        if seat.seat:
            self.attributes["taskbound.task"] = seat.seat

    def told(self, message: object) -> None:
        """Notes the ids and the verdict of a message or an answer (rule 3)."""
        if isinstance(message, Fault):
            self.code = message.code
            return
        for name in _IDS:
            value = getattr(message, name, None)
            if isinstance(value, str) and _ID.fullmatch(value):
                key = "taskbound.action" if name == "action" else "taskbound.task"
                self.attributes[key] = value

    def answered(self, answer: Answer) -> None:
        """Notes the daemon's answer, and for an action its verdict."""
        self.told(answer)
        if str(self.attributes["taskbound.operation"]).startswith("action:"):
            self.attributes["taskbound.verdict"] = str(answer.__struct_config__.tag)


_traced: ContextVar[Traced | None] = ContextVar("_traced", default=None)
_named: ContextVar[str] = ContextVar("_named", default="")
"""The trace that lines of the log name (rule 4)."""


def _nothing() -> None:
    pass


class Tracing:
    """Traces operations of the network; used in the loop."""

    def __init__(self) -> None:
        self.take: Callable[[Span], None] | None = None
        """What takes spans; None where none is collected."""
        self.close: Callable[[], None] = _nothing
        """Sends what waits, when the daemon ends."""

    @contextmanager
    def operation(self, text: str, name: str, message: object) -> Iterator[Traced | None]:
        """A span for an operation within this trace context (rule 1)."""
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
    """A stage of the current traced operation (rule 2); does nothing without one."""
    traced = _traced.get()
    if traced is None:
        yield
        return
    with traced.stage(name):
        yield


def watching() -> Traced | None:
    """Returns the current traced operation, or None."""
    return _traced.get()


def trace_here() -> str:
    """Returns the trace id for log lines here; empty for none (rule 4)."""
    return _named.get()


class TracedSigner:
    """A token signer with a stage around each signature (rule 2)."""

    def __init__(self, signer: TokenSigner) -> None:
        self._signer = signer

    def sign_token(self, namespace: str, token: str) -> str:
        """Signs the token of this row and returns its compact form."""
        with stage("sign"):
            return self._signer.sign_token(namespace, token)

    def sign_status_list(self, number: int) -> SignedList:
        """Signs the status list of this number."""
        return self._signer.sign_status_list(number)

    def make_key(self) -> MadeKey:
        """Makes a new key."""
        return self._signer.make_key()

    def look(self, issuer: str) -> None:
        """Returns if tokens of this issuer could be signed, else raises."""
        self._signer.look(issuer)

    def destroy_keys(self) -> tuple[str, ...]:
        """Destroys the keys that are no longer used."""
        return self._signer.destroy_keys()
