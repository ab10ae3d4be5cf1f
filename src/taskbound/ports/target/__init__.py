"""What is owed by systems in which credentials are minted, and by what keeps them in the store."""

from __future__ import annotations

from taskbound.ports.target.discovery import Discovers, Discovery
from taskbound.ports.target.errors import (
    NameTakenError,
    RenewalUnsupportedError,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)
from taskbound.ports.target.keeping import MAX_KEPT, Keeps
from taskbound.ports.target.starting import Restarts
from taskbound.ports.target.store import StoredTarget, TargetReads, TargetWrites
from taskbound.ports.target.system import (
    Gone,
    Left,
    Minted,
    MintOrder,
    Shown,
    Target,
)

__all__ = [
    "MAX_KEPT",
    "Discovers",
    "Discovery",
    "Gone",
    "Keeps",
    "Left",
    "MintOrder",
    "Minted",
    "NameTakenError",
    "RenewalUnsupportedError",
    "Restarts",
    "Shown",
    "StoredTarget",
    "Target",
    "TargetReads",
    "TargetRefusedError",
    "TargetUnavailableError",
    "TargetUnreachedError",
    "TargetWrites",
]
