"""Targets: declared, tested before use, and removed once nothing is left in them."""

from __future__ import annotations

from taskbound.flows.target.targets import Targets
from taskbound.flows.target.testing import (
    TargetExistsError,
    TargetInUseError,
    UnderTest,
    UnknownTargetError,
    note_canary,
)

__all__ = [
    "TargetExistsError",
    "TargetInUseError",
    "Targets",
    "UnderTest",
    "UnknownTargetError",
    "note_canary",
]
