"""What is used once: a proof of possession, a client's assertion, a code, a token that serves once.

1. What was shown is known by the SHA-256 of its kind and of everything that makes it one of a kind, each part
   with its length: no two of them share a digest because their parts were cut elsewhere.
2. The first use takes it; whoever comes after it, of whatever process, finds it taken.
3. It stays taken to the end of its window, skew and all: the caller says when that is (I-41).
4. What was forgotten leaves behind how far windows were forgotten. Whatever is shown with a window that ended
   by then may have been used, and is refused as if it had been: no clock of anybody's decides that.
"""

from __future__ import annotations

from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING

from taskbound.core.dataclass import dataclass
from taskbound.core.token.errors import ReplayedError

if TYPE_CHECKING:
    from taskbound.core.clock import Instant


class ClaimKind(Enum):
    """What is used once."""

    DPOP = "dpop"
    """A DPoP proof (RFC 9449 §11.1)."""
    ASSERTION = "assertion"
    """A client's assertion (RFC 7523 §3)."""
    CODE = "code"
    """An authorization code (RFC 6749 §4.1.2)."""
    TOKEN = "token"  # noqa: S105 - a kind, and no secret
    """A token that serves once, by its issuer and `jti`."""
    SHOWN = "shown"
    """What was shown to a service that keeps its claims here, by the service and what it calls it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One thing that is used once."""

    namespace: str
    kind: ClaimKind
    digest: str
    """SHA-256 in hexadecimal (rule 1)."""
    until: Instant
    """When its window has ended, skew and all (rule 3)."""


class Use(Enum):
    """Which use of it this was."""

    FIRST = "first"
    AGAIN = "again"
    LATE = "late"
    """Nobody can tell any more: what was used in its window may have been forgotten (rule 4)."""


def claim_of(namespace: str, kind: ClaimKind, *parts: str, until: Instant) -> Claim:
    """The claim of what these parts make one of a kind (rule 1), such as a key's thumbprint and a `jti`."""
    digest = sha256(kind.value.encode())
    for part in parts:
        each = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(each))
        digest.update(each)
    return Claim(namespace=namespace, kind=kind, digest=digest.hexdigest(), until=until)


def require_first(use: Use, kind: ClaimKind) -> None:
    """Go on only with the first use (rules 2 and 4).

    Raises:
        ReplayedError: It was used before, or nobody can tell any more.
    """
    if use is Use.LATE:
        raise ReplayedError(
            f"whether this {_WORDS[kind]} was used before is not known any more:"
            " the store was put back from a copy a moment ago, or another daemon's clock is ahead",
            remedy="make a new proof: after a restore one is taken within three minutes;"
            " else have the clocks of all daemons' machines agree",
        )
    if use is not Use.FIRST:
        raise ReplayedError(f"this {_WORDS[kind]} was used before")


_WORDS = {
    ClaimKind.DPOP: "DPoP proof",
    ClaimKind.ASSERTION: "client assertion",
    ClaimKind.CODE: "code",
    ClaimKind.TOKEN: "token",
    ClaimKind.SHOWN: "proof",
}
