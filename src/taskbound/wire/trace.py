"""Which trace a request belongs to (W3C Trace Context), and what is told of one part of it.

1. A `traceparent` is of version 00 and strict (§3.2.2): lower case, no id of zeros. Anything else is none,
   and a trace of our own begins: nobody is refused for it.
2. Nothing is decided by it, and nothing of it is believed: it only names what belongs together.
3. A span's attributes are names of operations, ids, verdicts and codes, each bounded: no arguments, no token,
   no proof, no text of a person's.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


NO_SPAN: Final = "0" * 16
"""The parent of a trace's first span."""
_PARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII)
_SAMPLED: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A place in a trace: the span that what follows belongs to."""

    trace: str
    """32 hexadecimal digits."""
    span: str
    """16 of them."""
    sampled: bool = True
    """Whether its caller keeps it; what isn't kept is not exported here either."""

    @property
    def text(self) -> str:
        """As `traceparent` says it."""
        return f"00-{self.trace}-{self.span}-{int(self.sampled):02x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One part of a trace that is over."""

    name: str
    trace: str
    span: str
    parent: str
    began: int
    """Nanoseconds since the epoch, as `ended`."""
    ended: int
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    failed: bool = False
    serves: bool = False
    """Whether it is the answer to a request from elsewhere, and no part within."""


def parse_trace(text: str) -> Trace | None:
    """The place that a `traceparent` names; None for what is none (rule 1)."""
    found = _PARENT.fullmatch(text)
    if found is None or set(found[1]) == {"0"} or found[2] == NO_SPAN:
        return None
    return Trace(trace=found[1], span=found[2], sampled=bool(int(found[3], 16) & _SAMPLED))
