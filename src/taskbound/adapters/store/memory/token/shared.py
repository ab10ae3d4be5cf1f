"""Claims that are kept for services, in memory; one transaction is after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.clock import Instant
from taskbound.core.token.shared import SharedClaim, Tally

if TYPE_CHECKING:
    from taskbound.adapters.store.memory.rows import Tables

__all__ = ["MemorySharedClaims"]


class MemorySharedClaims:
    """Reads them from a snapshot, and writes them in a transaction."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def claim(self, namespace: str, service: str, txn: str) -> SharedClaim | None:
        """The claim of a service for a transaction."""
        return self._tables.live().shared_claims.get((namespace, service, txn))

    def due(self, before: Instant) -> tuple[tuple[str, str], ...]:
        """Which services have claims to be forgotten."""
        rows = self._tables.live().shared_claims.values()
        return tuple(sorted({(one.namespace, one.service) for one in rows if one.until < before}))

    def lock_tally(self, namespace: str, service: str) -> Tally:
        """What is kept of a service."""
        nothing = Tally(namespace=namespace, service=service, turn=0, claims=0, room=0, forgotten=Instant(-1))
        return self._tables.live().shared_tallies.get((namespace, service)) or nothing

    def lock_claim(self, namespace: str, service: str, txn: str) -> SharedClaim | None:
        """The claim as it stands."""
        return self.claim(namespace, service, txn)

    def insert(self, claim: SharedClaim) -> None:
        """Write a new claim."""
        if self.claim(claim.namespace, claim.service, claim.txn) is not None:
            self._tables.conflict(f"the claim for `{claim.txn}`")
        self._tables.shared_claims.put((claim.namespace, claim.service, claim.txn), claim)

    def put(self, claim: SharedClaim) -> None:
        """Write state and answer of a claim."""
        found = self.claim(claim.namespace, claim.service, claim.txn)
        if found is None:
            self._tables.conflict(f"the claim for `{claim.txn}`")
        self._tables.shared_claims.put((claim.namespace, claim.service, claim.txn), claim)

    def put_tally(self, tally: Tally) -> None:
        """Write what is kept of a service."""
        if self.lock_tally(tally.namespace, tally.service).turn >= tally.turn:
            self._tables.conflict(f"what is kept of service `{tally.service}`")
        self._tables.shared_tallies.put((tally.namespace, tally.service), tally)

    def drop(
        self, namespace: str, service: str, before: Instant, *, limit: int
    ) -> tuple[tuple[Instant, int], ...]:
        """Forget claims of a service."""
        rows = self._tables.live().shared_claims
        mine = [one for one in rows.values() if (one.namespace, one.service) == (namespace, service)]
        over = sorted((one for one in mine if one.until < before), key=lambda one: (one.until, one.txn))
        for one in over[:limit]:
            rows.put((namespace, service, one.txn), None)
        return tuple((one.until, one.room) for one in over[:limit])
