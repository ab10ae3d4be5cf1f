"""What was answered under a key, in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.identity.answered import Answered


class AnsweredWrites(Protocol):
    """Keeps them, for a while."""

    def begin(self, row: Answered, *, now: Instant) -> Answered | None:
        """Keep a key without an answer; or what is kept under it already, which then stays as it is.

        MUST be one conditional statement, so that of all that begin one key at once, in whatever process,
        exactly one does. One whose time is over by `now` counts as none.
        """

    def finish(self, row: Answered) -> None:
        """Keep the answer of one that was begun; nothing when it is not there any more."""

    def forget(self, row: Answered) -> None:
        """Forget one that has no answer."""

    def sweep(self, before: Instant, *, limit: int) -> int:
        """Forget those, of every namespace, whose time was over before this, `limit` at most; how many."""
