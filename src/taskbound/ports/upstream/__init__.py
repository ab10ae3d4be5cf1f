"""Upstream servers: what a gateway is owed by whoever starts and speaks to them, and what they answer."""

from __future__ import annotations

from taskbound.ports.upstream.server import Upstream, UpstreamEvents
from taskbound.ports.upstream.start import StartUpstream
from taskbound.ports.upstream.values import (
    Answered,
    Errored,
    Logged,
    NoAnswer,
    NotSent,
    Question,
    Told,
    Turn,
    UpstreamAnswer,
    errored,
)

__all__ = [
    "Answered",
    "Errored",
    "Logged",
    "NoAnswer",
    "NotSent",
    "Question",
    "StartUpstream",
    "Told",
    "Turn",
    "Upstream",
    "UpstreamAnswer",
    "UpstreamEvents",
    "errored",
]
