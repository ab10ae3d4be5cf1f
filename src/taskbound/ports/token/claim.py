"""What was used once, in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.token import Claim, Use


class ClaimWrites(Protocol):
    """Uses them."""

    def use(self, claims: Sequence[Claim]) -> tuple[Use, ...]:
        """Which use of each this is, in their order; of two that are the same, the one before is the first.

        MUST be one conditional statement for each, so that of all that use one at once, in whatever process,
        exactly one is the first. One that was used before MUST NOT keep the others from being kept. One whose
        window ended by when those of its kind and namespace were forgotten is late, and MUST NOT be the
        first, also where it is forgotten at the same time.
        """

    def sweep(self, before: Instant, *, limit: int) -> int:
        """Forget those, of every namespace, whose window ended before this, `limit` at most; how many.

        MUST keep, in the same transaction, when the last window of those that it forgot ended, by namespace
        and kind; that never becomes earlier.
        """
