"""Who acts, in the store, and whoever can tell what proves it."""

from __future__ import annotations

from taskbound.ports.identity.identities import IdentityReads, IdentityWrites, PublicHalf, Signatures

__all__ = ["IdentityReads", "IdentityWrites", "PublicHalf", "Signatures"]
