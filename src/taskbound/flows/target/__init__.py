"""Targets: declared, tested before anything is asked for in them, taken away once nothing is left."""

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
