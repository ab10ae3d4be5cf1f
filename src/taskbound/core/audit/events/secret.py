"""Events of upstream servers' secrets; see `core.audit.events`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = ["UpstreamSecretSet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSecretSet:
    """A slot of a server was filled, or emptied; the value is known to the egress alone."""

    kind: ClassVar[str] = "upstream-secret-set"
    upstream: str
    server: str
    """Digest of the identity that it was sealed for."""
    slot: str
    number: int
    sealed: str
    """SHA-256 of what was sealed, in hexadecimal; empty when the value was taken away."""
    by: str
    proof: str
