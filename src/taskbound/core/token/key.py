"""The keys that sign tokens, status lists, and claims that are used once.

Of `key`:

1. `next → current → retired`, each once, and from each to `revoked`, which is for good. One key is current at
   most.
2. Published are the next, the current, and a retired one until its last token has ended; a revoked one never
   is.
3. A next one is taken into use ten minutes after it was made, so that everybody who fetches keys by then has
   it; at once only where the current one was revoked, or somebody forces it: whoever finds an unknown `kid`
   then fetches anew.
4. A key signs for a day.

Of `status`:

1. Two bits a token, since a paused task is suspended and not gone (§7.1): 0 valid, 1 invalid for good, 2
   suspended. The first token has the lowest bits of the first byte (§4.1).
2. There is a list for every fifteen minutes; a token is in the list of when it ends, so that those of one
   list end at about the same time. A place is drawn by chance, has one token ever, and says nothing of when
   or how many (§13).
3. A list is for all namespaces: a bit says nothing of whose token it is.
4. What a list says ends with it, at most a minute after it was signed; it is to be fetched again after ten
   seconds.

Of `claim`:

1. What was shown is known by the SHA-256 of its kind and of everything that makes it one of a kind, each part
   with its length: no two of them share a digest because their parts were cut elsewhere.
2. The first use takes it; whoever comes after it, of whatever process, finds it taken.
3. It stays taken to the end of its window, skew and all: the caller says when that is (I-41).
4. What was forgotten leaves behind how far windows were forgotten. Whatever is shown with a window that ended
   by then may have been used, and is refused as if it had been: no clock of anybody's decides that.
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
from taskbound.core.token.claims import LONGEST
from taskbound.core.token.errors import ReplayedError, TokenKeyRevokedError
from taskbound.core.token.values import NEVER
from taskbound.core.transition import Transitions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


KEY_NOTICE: Final = minutes(10)
"""How long a key is known before it signs (rule 3)."""
KEY_DAY: Final = days(1)
"""How long a key signs (rule 4)."""
_LAST: Final = seconds(LONGEST + 60)
"""How long after its end a key is published: the life of a token, and a minute for clocks that differ."""


class TokenKeyState(Enum):
    """What a key is for now."""

    NEXT = "next"
    CURRENT = "current"
    RETIRED = "retired"
    REVOKED = "revoked"


class TokenKeyEvent(Enum):
    """What can happen to a key."""

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
    """A key that signs tokens: its public half, and what it is for."""

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
    """The key after the event (rule 1).

    Raises:
        WrongStateError: The event can't happen to it now.
    """
    state = TOKEN_KEY_TRANSITIONS.advance(key.state, event)
    match event:
        case TokenKeyEvent.USE:
            return replace(key, state=state, used=now)
        case TokenKeyEvent.RETIRE:
            return replace(key, state=state, retired=now)
        case TokenKeyEvent.REVOKE:
            return replace(key, state=state, revoked=now, why=why)


def require_not_revoked(key: IssuingKey | None) -> IssuingKey:
    """The key of a token, which was not revoked.

    Raises:
        TokenKeyRevokedError: It was, or nobody knows it.
    """
    if key is None or key.state is TokenKeyState.REVOKED:
        raise TokenKeyRevokedError("the key that signed the token is none of ours any more")
    return key


def is_published(key: IssuingKey, now: Instant) -> bool:
    """Whether the key stands in the document of keys (rule 2)."""
    match key.state:
        case TokenKeyState.NEXT | TokenKeyState.CURRENT:
            return True
        case TokenKeyState.RETIRED:
            return now < key.retired + _LAST
        case TokenKeyState.REVOKED:
            return False


def rotation_due(keys: Iterable[IssuingKey], now: Instant) -> bool:
    """Whether the next key is to be taken into use, or one is to be made (rules 3 and 4)."""
    held = {one.state: one for one in keys}
    current, following = held.get(TokenKeyState.CURRENT), held.get(TokenKeyState.NEXT)
    if current is None or following is None:
        return True
    return now >= current.used + KEY_DAY and now >= following.made + KEY_NOTICE


BITS: Final = 2
SIZE: Final = 1 << 20
"""Places of a list: 256 KiB before it is compressed."""
LIFE: Final = 60
"""Seconds for which a list is believed (rule 4)."""
TTL: Final = 5
"""Seconds after which it is fetched again (rule 4): nobody who reads lists alone is later (I-43)."""
_WINDOW: Final = minutes(15)
_AHEAD: Final = seconds(3600)
"""How long before its window a list is published already."""


class Status(Enum):
    """What a list says of a token (§7.1)."""

    VALID = 0
    INVALID = 1
    SUSPENDED = 2


def list_of(expires: Instant) -> int:
    """The number of the list in which a token stands that ends then (rule 2)."""
    return expires // _WINDOW


def window_of(number: int) -> tuple[int, int]:
    """From when and until when tokens end that stand in this list, in microseconds since the epoch."""
    return number * _WINDOW, (number + 1) * _WINDOW


def is_listed(number: int, now: Instant) -> bool:
    """Whether there is a list of this number now: a few are, and no other is looked for."""
    start, end = window_of(number)
    return start - _AHEAD <= now < end


def place_of(chance: str) -> int:
    """A place in a list, drawn from 256 bits of chance (rule 2)."""
    return int.from_bytes(sha256(chance.encode()).digest()[:8]) % SIZE


def pack_statuses(statuses: Mapping[int, Status], *, bits: int = BITS, size: int = SIZE) -> str:
    """The `lst` of a list: zlib, then base64url without padding (§4.1, §4.2).

    Args:
        statuses: By place; what is not there is valid.
        bits: The width of an entry.
        size: How many there are, a multiple of 8.
    """
    held = bytearray(size * bits // 8)
    for place, status in statuses.items():
        held[place * bits // 8] |= status.value << place * bits % 8  # 1
    return urlsafe_b64encode(zlib.compress(bytes(held), 9)).rstrip(b"=").decode()


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
