"""Pins servers and tools, and detects changes to what was pinned."""

from __future__ import annotations

from taskbound.flows.tool.errors import OtherDefinitionError, UnknownServerError, UpstreamExistsError
from taskbound.flows.tool.pin import Declaration, Difference, PinComparison, Pins

__all__ = [
    "Declaration",
    "Difference",
    "OtherDefinitionError",
    "PinComparison",
    "Pins",
    "UnknownServerError",
    "UpstreamExistsError",
]
