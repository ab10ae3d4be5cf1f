"""What a feed tells whoever asks what follows a place, and why it does not (rules of `revocation.feed`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, UnavailableError

if TYPE_CHECKING:
    from taskbound.core.revocation.feed import Entry


BOUND: Final = seconds(5)
"""How old what a feed says may be (design 4, law 10)."""


class FeedStaleError(UnavailableError):
    """What this daemon knows of the log is older than it may be."""

    code = "feed-stale"
    remedy = "refuse what rests on it, and ask again; `taskbound doctor` says what is wrong with the store"


class FeedBehindError(UnavailableError):
    """Another daemon told more of the log than this one has seen."""

    code = "feed-behind"
    remedy = "ask again in a moment"


class OtherLogError(DeniedError):
    """The log has another record in that place, or none: the store was restored or replaced."""

    code = "other-log"
    remedy = "keep what was heard as ended, forget the position, and read from the beginning of what is kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPage:
    """What follows a place."""

    entries: tuple[Entry, ...]
    """In the order of their places."""
    through: int
    """The place through which everything was looked at; -1 in an empty log."""
    mark: bytes
    """That place's leaf hash; empty in an empty log."""
    age: int
    """Microseconds since all that was durable had been looked at (rule 2)."""
    more: bool
    """Whether there are entries behind these already."""
