"""The end of authority: throwing the kill switch, and the feed of what ended."""

from __future__ import annotations

from taskbound.flows.revocation.feed import Feed
from taskbound.flows.revocation.switch import stop
from taskbound.flows.revocation.told import BOUND, FeedBehindError, FeedPage, FeedStaleError, OtherLogError

__all__ = [
    "BOUND",
    "Feed",
    "FeedBehindError",
    "FeedPage",
    "FeedStaleError",
    "OtherLogError",
    "stop",
]
