"""The keys that sign tokens: one signs, the next is known before it does, and the last one still verifies.

1. `next → current → retired`, each once, and from each to `revoked`, which is for good. One key is current at
   most.
2. Published are the next, the current, and a retired one until its last token has ended; a revoked one never
   is.
3. A next one is taken into use ten minutes after it was made, so that everybody who fetches keys by then has
   it; at once only where the current one was revoked, or somebody forces it: whoever finds an unknown `kid`
   then fetches anew.
4. A key signs for a day.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, days, minutes, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.token.errors import TokenKeyRevokedError
from taskbound.core.token.issuing import LONGEST
from taskbound.core.token.values import NEVER
from taskbound.core.transition import Transitions

if TYPE_CHECKING:
    from collections.abc import Iterable


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
