"""Claims that the daemon keeps for services, in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.token.shared import SharedClaim, Tally


class SharedClaimReads(Protocol):
    """Reads them."""

    def claim(self, namespace: str, service: str, txn: str) -> SharedClaim | None:
        """The claim of a service for a transaction."""

    def due(self, before: Instant) -> tuple[tuple[str, str], ...]:
        """Namespace and name of each service that has claims which were remembered until before this."""


class SharedClaimWrites(SharedClaimReads, Protocol):
    """Writes them; each service's for themselves, once its tally is locked."""

    def lock_tally(self, namespace: str, service: str) -> Tally:
        """What is kept of a service, also of one of which nothing is.

        MUST be locked until the end of the transaction against everybody who locks it, also where it was not
        there before: of those who come at once, of whatever daemon, each sees what the one before wrote.
        """

    def lock_claim(self, namespace: str, service: str, txn: str) -> SharedClaim | None:
        """As `claim`, as it stands now that the tally is locked."""

    def insert(self, claim: SharedClaim) -> None:
        """Write a new claim. MUST raise `ConflictError` where the service has one for the transaction."""

    def put(self, claim: SharedClaim) -> None:
        """Write state and answer of one that is there. MUST raise `ConflictError` where it is not."""

    def put_tally(self, tally: Tally) -> None:
        """Write what is kept of a service, whose tally is locked."""

    def drop(
        self, namespace: str, service: str, before: Instant, *, limit: int
    ) -> tuple[tuple[Instant, int], ...]:
        """Forget claims of it that were remembered until before this, the oldest first, `limit` at most.

        Returns until when each was remembered, and how much room it took.
        """
