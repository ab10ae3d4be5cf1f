"""The end of authority: throwing the kill switch, and the feed of what ended."""

from __future__ import annotations

from taskbound.flows.revocation.feed import (
    BOUND,
    Feed,
    FeedBehindError,
    FeedPage,
    FeedStaleError,
    OtherLogError,
)
from taskbound.flows.revocation.switch import stop

__all__ = [
    "BOUND",
    "Feed",
    "FeedBehindError",
    "FeedPage",
    "FeedStaleError",
    "OtherLogError",
    "stop",
]
