"""The span of each request, where spans are collected.

1. A client's `traceparent` is gone on with if it is one, and what it says of being kept is heeded; else a
   trace begins here (`wire.trace`, rules 1 and 2).
2. The name is the route's, and never what a client wrote.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.wire.trace import NO_SPAN, Span, Trace, parse_trace

if TYPE_CHECKING:
    from collections.abc import Callable


_FAILED: Final = 500


@dataclass(frozen=True, slots=True)
class Traced:
    """One request that is traced, or is not."""

    take: Callable[[Span], None] | None
    here: Trace | None = None
    parent: str = NO_SPAN
    began: int = 0

    @property
    def text(self) -> str:
        """What the daemon is told; empty where nothing is traced."""
        return "" if self.here is None else self.here.text

    def answered(self, verb: str, route: str, status: int) -> None:
        """The request is over (rule 2)."""
        if self.take is None or self.here is None or not self.here.sampled:
            return
        told: dict[str, str | int] = {"http.request.method": verb, "http.route": route}
        self.take(
            Span(
                name=f"{verb} {route}".strip() or "request",
                trace=self.here.trace,
                span=self.here.span,
                parent=self.parent,
                began=self.began,
                ended=time.time_ns(),
                attributes={**told, "http.response.status_code": status},
                failed=status >= _FAILED,
                serves=True,
            )
        )


class Tracing:
    """Begins the span of each request."""

    def __init__(self, take: Callable[[Span], None] | None) -> None:
        """Have spans taken there; by nobody, and then none is made."""
        self._take = take

    def begin(self, traceparent: str) -> Traced:
        """A request that came with this header, or with none (rule 1)."""
        if self._take is None:
            return Traced(None)
        said = parse_trace(traceparent)
        own = Trace(trace=secrets.token_hex(16), span=secrets.token_hex(8))
        if said is None:
            return Traced(self._take, own, NO_SPAN, time.time_ns())
        return Traced(self._take, replace(said, span=own.span), said.span, time.time_ns())
