"""Where a daemon runs, and for whom."""

from __future__ import annotations

from dataclasses import dataclass, field

from taskbound.core.decision import Allowance

__all__ = ["Place"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a daemon runs, and for whom."""

    home: str
    pid: int
    owner_uid: int
    """The account that owns the data directory."""
    gateways: frozenset[tuple[int, str, str]] = frozenset()
    """Accounts without a person that may run a gateway: (uid, namespace, agent)."""
    egress: int | None = None
    api: int | None = None
    """The accounts of an egress, and of an API, that others run."""
    allowance: Allowance = field(default_factory=Allowance)
    """How many refusals of one agent are recorded one by one."""
