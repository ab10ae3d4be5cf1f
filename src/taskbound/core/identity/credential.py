"""What a workload shows: bytes that nobody believes yet."""

from __future__ import annotations

import hashlib
from dataclasses import field
from typing import TYPE_CHECKING

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from taskbound.core.identity.proof import WorkloadKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What was shown, by its kind; no repr has it, as who has a token's text has the token."""

    kind: WorkloadKind
    raw: bytes = field(repr=False)
    """A token's compact text (ASCII), or a certificate (DER) with whose key TLS was done."""
    chain: tuple[bytes, ...] = field(default=(), repr=False)
    """Certificates (DER) that came with it, in their order; none with a token."""

    @property
    def digest(self) -> str:
        """SHA-256 of what was shown, in hex: what records say of it."""
        return hashlib.sha256(self.raw).hexdigest()
