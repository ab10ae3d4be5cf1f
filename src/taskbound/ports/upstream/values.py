"""What can come of one request to an upstream server, and who hears of its progress and its logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action.canonical import JsonValue

__all__ = ["Answered", "Errored", "Logged", "NoAnswer", "NotSent", "Told", "UpstreamAnswer"]


@dataclass(frozen=True, slots=True)
class Answered:
    """The server answered with a result."""

    raw: bytes
    """Exactly the bytes of the result: one JSON object."""
    value: dict[str, JsonValue]
    """The same, strictly read."""


@dataclass(frozen=True, slots=True)
class Errored:
    """The server answered with a JSON-RPC error."""

    raw: bytes
    """Exactly the bytes of the error object."""
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No answer can come any more, or none that can be believed: what happened is unknown."""

    code: str
    reason: str
    """In words of ours, for whoever made the call."""
    detail: str = ""
    """What else is known, in the server's own words, escaped: for a log and a person, not for a model."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the call left: the server was not reached, or can't be."""

    code: str
    reason: str
    """In words of ours, for whoever made the call."""
    detail: str = ""
    """What else is known, escaped: for a log and a person, not for a model."""


@dataclass(frozen=True, slots=True)
class Logged:
    """What a caller wants to hear of what is logged of its call."""

    level: str
    """From which of MCP's levels on; empty for nothing, which a server is not told."""
    told: Told


UpstreamAnswer: TypeAlias = Answered | Errored | NoAnswer | NotSent
Told: TypeAlias = "Callable[[Mapping[str, JsonValue]], None]"
"""Hears the parameters of one notification of progress or of a log, strictly read and not yet judged."""
