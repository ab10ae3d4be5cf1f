"""What kinds of token there are, as data: a kind says its `typ`, its claims and how long it may live.

No two kinds share a `typ` (RFC 8725bis §3.11), so that a token of one is never taken for one of another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.action import Limits
from taskbound.core.clock import Duration, days, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EVIDENCE", "KINDS", "SKEW", "ClaimForm", "TokenKind"]

SKEW: Final = seconds(30)
"""How far an issuer's clock may be ahead of ours."""


class ClaimForm(Enum):
    """What a claim is; an integer is never a boolean, a fraction, or a text of digits."""

    TEXT = "a text of 1 to 512 characters"
    TIME = "whole seconds since 1970, spelled as an integer"
    ONE = "one text, alone or the only one of a list"
    TEXTS = "a list of at most 64 texts"
    OBJECT = "an object"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKind:
    """One kind of token."""

    typ: str
    """What the header's `typ` must be, character by character."""
    lifetime: Duration
    """How long at most from `iat` to `exp`."""
    required: Mapping[str, ClaimForm] = field(default_factory=dict)
    """Claims that it must have beside those that every token has."""
    optional: Mapping[str, ClaimForm] = field(default_factory=dict)
    """Claims that it may have."""
    open: bool = False
    """Whether it may have claims that nobody declared; they are kept, and mean nothing here."""
    skew: Duration = SKEW
    """How far `iat` and `nbf` may lie ahead of now. It lengthens no token: `exp` is exact."""
    size: int = 16_384
    """Characters of the whole token."""
    limits: Limits = field(default_factory=lambda: Limits(size=12_288, depth=8, parts=256))
    """How much the payload may hold."""


EVIDENCE: Final = TokenKind(typ="taskbound-evidence+jwt", lifetime=days(90), open=True)
"""What an issuer outside says that a task rests on."""

KINDS: Final[tuple[TokenKind, ...]] = (EVIDENCE,)
"""Every kind that something here reads."""
