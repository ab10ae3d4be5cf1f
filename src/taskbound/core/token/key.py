"""Token signing keys, status lists, and single-use claims (replay protection).

`key`: States: `next → current → retired`, and from each `revoked`, which is final. At most one key is
current. Published are the next and current keys, and a retired one until its last token expires; never a
revoked one. A next key becomes current ten minutes after creation, so clients can fetch it; at once if the
current key was revoked or the rotation is forced. A key signs for a day.

`status`: Two bits per token (§7.1): 0 valid, 1 invalid for good, 2 suspended. The first token has the
lowest bits of the first byte (§4.1). Lists cover 15 minutes of expiry times. A token's random index is
never reused and reveals no order or count (§13). Lists span all namespaces. A list is valid for at most a
minute; verifiers fetch it again after ten seconds.

`claim`: A claim is known by the SHA-256 of its kind and length-prefixed parts. The first use takes it,
across processes. It stays taken to the end of its window including clock skew, given by the caller (I-41).
Forgetting old claims records up to when. A claim whose window ended by then is refused as used,
independent of clocks.
"""

from __future__ import annotations

import zlib
from base64 import urlsafe_b64encode
from dataclasses import replace
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, days, minutes, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.token.errors import ReplayedError, TokenKeyRevokedError
from taskbound.core.token.values import LONGEST, NEVER
from taskbound.core.transition import Transitions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


KEY_NOTICE: Final = minutes(10)
"""How long a key is known before it signs."""
KEY_DAY: Final = days(1)
"""How long a key signs."""
_LAST: Final = seconds(LONGEST + 60)
"""How long after its end a key is published: the life of a token, and a minute for clocks that differ."""


class TokenKeyState(Enum):
    """State of a signing key."""

    NEXT = "next"
    CURRENT = "current"
    RETIRED = "retired"
    REVOKED = "revoked"


class TokenKeyEvent(Enum):
    """Events that change the state of a signing key."""

    USE = "use"
    RETIRE = "retire"
    REVOKE = "revoke"


TOKEN_KEY_TRANSITIONS: Final[Transitions[TokenKeyState, TokenKeyEvent]] = Transitions(
    word="the key",
    moves={
        (TokenKeyState.NEXT, TokenKeyEvent.USE): TokenKeyState.CURRENT,
        (TokenKeyState.CURRENT, TokenKeyEvent.RETIRE): TokenKeyState.RETIRED,
        **{
            (state, TokenKeyEvent.REVOKE): TokenKeyState.REVOKED
            for state in (TokenKeyState.NEXT, TokenKeyState.CURRENT, TokenKeyState.RETIRED)
        },
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuingKey:
    """The public half of a token signing key, with its state."""

    kid: str
    public: bytes
    """A JWK (RFC 7517) as canonical JSON, with nothing private."""
    state: TokenKeyState
    made: Instant
    used: Instant = NEVER
    """Since when it signs."""
    retired: Instant = NEVER
    revoked: Instant = NEVER
    why: str = ""
    """Why it was revoked."""


def move_key(key: IssuingKey, event: TokenKeyEvent, now: Instant, why: str = "") -> IssuingKey:
    """Returns the key after the event; raises WrongStateError."""
    state = TOKEN_KEY_TRANSITIONS.advance(key.state, event)
    match event:
        case TokenKeyEvent.USE:
            return replace(key, state=state, used=now)
        case TokenKeyEvent.RETIRE:
            return replace(key, state=state, retired=now)
        case TokenKeyEvent.REVOKE:
            return replace(key, state=state, revoked=now, why=why)


def require_not_revoked(key: IssuingKey | None) -> IssuingKey:
    if key is None or key.state is TokenKeyState.REVOKED:
        raise TokenKeyRevokedError("the key that signed the token is unknown")
    return key


def is_published(key: IssuingKey, now: Instant) -> bool:
    match key.state:
        case TokenKeyState.NEXT | TokenKeyState.CURRENT:
            return True
        case TokenKeyState.RETIRED:
            return now < key.retired + _LAST
        case TokenKeyState.REVOKED:
            return False


def rotation_due(keys: Iterable[IssuingKey], now: Instant) -> bool:
    """True if a key must be created or become current."""
    held = {one.state: one for one in keys}
    current, following = held.get(TokenKeyState.CURRENT), held.get(TokenKeyState.NEXT)
    if current is None or following is None:
        return True
    return now >= current.used + KEY_DAY and now >= following.made + KEY_NOTICE


BITS: Final = 2
SIZE: Final = 1 << 20
"""Places of a list: 256 KiB before it is compressed."""
LIFE: Final = 60
"""Seconds for which a list is believed."""
TTL: Final = 5
"""Seconds until verifiers fetch a list again; bounds the delay of a revocation (I-43)."""
_WINDOW: Final = minutes(15)
_AHEAD: Final = seconds(3600)
"""How long before its window a list is published already."""


class Status(Enum):
    """A token's status in a list (§7.1)."""

    VALID = 0
    INVALID = 1
    SUSPENDED = 2


def list_of(expires: Instant) -> int:
    return expires // _WINDOW


def window_of(number: int) -> tuple[int, int]:
    """First and last expiry of tokens in this list, in microseconds since the epoch."""
    return number * _WINDOW, (number + 1) * _WINDOW


def is_listed(number: int, now: Instant) -> bool:
    start, end = window_of(number)
    return start - _AHEAD <= now < end


def place_of(chance: str) -> int:
    """An index in a list, drawn from 256 random bits."""
    return int.from_bytes(sha256(chance.encode()).digest()[:8]) % SIZE


def pack_statuses(statuses: Mapping[int, Status], *, bits: int = BITS, size: int = SIZE) -> str:
    """The `lst` of a list: zlib, base64url without padding (§4.1, §4.2); missing entries are valid."""
    held = bytearray(size * bits // 8)
    for place, status in statuses.items():
        held[place * bits // 8] |= status.value << place * bits % 8
    return urlsafe_b64encode(zlib.compress(bytes(held), 9)).rstrip(b"=").decode()


class ClaimKind(Enum):
    """Kinds of single-use claims."""

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
    """One single-use claim."""

    namespace: str
    kind: ClaimKind
    digest: str
    """SHA-256 in hexadecimal."""
    until: Instant
    """When its window has ended, skew and all."""


class Use(Enum):
    """Whether a use was the first."""

    FIRST = "first"
    AGAIN = "again"
    LATE = "late"
    """Unknown: uses in its window may have been forgotten."""


def claim_of(namespace: str, kind: ClaimKind, *parts: str, until: Instant) -> Claim:
    digest = sha256(kind.value.encode())
    for part in parts:
        each = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(each))
        digest.update(each)
    return Claim(namespace=namespace, kind=kind, digest=digest.hexdigest(), until=until)


def require_first(use: Use, kind: ClaimKind) -> None:
    """Raises ReplayedError unless this was the first use."""
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
