"""Trace contexts (W3C Trace Context) and spans.

1. A `traceparent` is version 00 and strict (§3.2.2): lower case, no id of zeros. An invalid one is ignored,
   and a trace of our own begins.
2. It is untrusted, only correlates, and decides nothing.
3. A span's attributes are operation names, ids, verdicts and codes, bounded: no arguments, tokens, proofs or
   personal text.
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
    """A position in a trace: the parent span."""

    trace: str
    """32 hexadecimal digits."""
    span: str
    """16 of them."""
    sampled: bool = True
    """Whether its caller keeps it; what isn't kept is not exported here either."""

    @property
    def text(self) -> str:
        """Returns the `traceparent`."""
        return f"00-{self.trace}-{self.span}-{int(self.sampled):02x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One finished part of a trace."""

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
    """Parses a `traceparent`; None if it is invalid (rule 1)."""
    found = _PARENT.fullmatch(text)
    if found is None or set(found[1]) == {"0"} or found[2] == NO_SPAN:
        return None
    return Trace(trace=found[1], span=found[2], sampled=bool(int(found[3], 16) & _SAMPLED))
