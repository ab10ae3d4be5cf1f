"""Services: who was said to be one, what they enforce, and which keys prove them."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from taskbound.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAdded:
    """Somebody said that there is a service."""

    kind: ClassVar[str] = "service-added"
    service: str
    owner: str
    audience: str
    tools: tuple[str, ...]
    """What it enforces: names of tools, or `server__*`."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceChanged:
    """Somebody else answers for it, or it enforces something else."""

    kind: ClassVar[str] = "service-changed"
    service: str
    owner: str
    tools: tuple[str, ...]
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceKeyChanged:
    """A key proves the service from now on, or not any more."""

    kind: ClassVar[str] = "service-key-changed"
    service: str
    key: str
    """Its thumbprint (RFC 7638)."""
    removed: bool
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRemoved:
    """There is no such service any more, and none of its keys proves anything."""

    kind: ClassVar[str] = "service-removed"
    service: str
    keys: tuple[str, ...]
    """Those that counted until now."""
    by: str
    proof: str


ServiceEvent: TypeAlias = ServiceAdded | ServiceChanged | ServiceKeyChanged | ServiceRemoved
"""Whatever is recorded of services."""
