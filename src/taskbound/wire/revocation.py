"""The kill switch, and the feed of what ended."""

from __future__ import annotations

from taskbound.wire.frame import Message


class Stop(Message, frozen=True, tag="revocation:stop", tag_field="op"):
    """Throw the kill switch, or lift it. A person's act, from outside any gateway or run."""

    stopped: bool
    reason: str = ""


class ReadFeed(Message, frozen=True, tag="revocation:feed", tag_field="op"):
    """Ask what ended, was stopped or came back behind a place of the log, and wait for it.

    Who begins names no mark, and hears of the last ten minutes.
    """

    after: int = -1
    """The place through which everything was heard."""
    mark: str = ""
    """That place's mark, as it was told with it; empty for who begins."""
    limit: int = 1000
    """How many entries at most, to 1,000."""
    wait: int = 0
    """Milliseconds to wait for one, to 2,000: longer would outlive what an enforcement point may rest on."""


class FeedEntry(Message, frozen=True):
    """One thing that ended, was stopped or is back (`core.revocation.feed`)."""

    place: int
    at: int
    """Microseconds since the epoch, by the clock of the daemon that recorded it."""
    about: str
    """`namespace`, `task`, `agent`, `person`, `admission`, `session`, `token` or `key`."""
    id: str
    """Empty for the whole namespace."""
    turn: str
    """`over`, `stopped` or `back`."""


class FeedRows(Message, frozen=True, tag="feed", tag_field="is"):
    """What follows the place, in the order of the log: of the namespace that asks, and of keys."""

    namespace: str
    entries: tuple[FeedEntry, ...]
    through: int
    """The place through which all records were looked at, whether they are entries or not; -1 for none."""
    mark: str
    """That place's mark, in hex: to be shown with the next question."""
    age: int
    """Microseconds since the daemon had seen all that was recorded; a fresh one says less than a second."""
    more: bool
    """Whether there are entries behind these already: ask on at once."""
