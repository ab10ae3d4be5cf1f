"""The claims of a service: what was done with which token, remembered where it survives the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.token import Claim
    from taskbound.core.token.served import Beginning, ServedAnswer, Serving


class Claims(Protocol):
    """Remembers what was begun and answered (`core.token.served`); MUST be safe from any thread.

    MUST be shared by all processes of the service, and survive each of them.
    """

    def begin(self, serving: Serving, now: Instant) -> Beginning:
        """Begin this request, or say what is known of it.

        MUST give `Begun` to one of those who ask, of all threads and processes, and only when that is
        durable. MUST raise `OtherRequestError` for another request of the same transaction,
        `ServedForgottenError` where that may have been forgotten, and `ClaimsUnavailableError` where it
        can't be written; then nothing is done.
        """

    def answer(self, serving: Serving, answer: ServedAnswer) -> None:
        """Keep what was answered to what was begun here.

        MUST raise `ClaimsUnavailableError` where it can't be written; a repeat is then told that nobody
        knows.
        """

    def lose(self, serving: Serving) -> None:
        """Say of what was begun here that nobody knows what came of it; raises as `answer`."""

    def use(self, claim: Claim, now: Instant) -> None:
        """Use what serves once.

        MUST raise `ReplayedError` where it was used, or may have been; `ClaimsUnavailableError` as `begin`.
        """

    def close(self) -> None:
        """Release what is held; what was begun here and not answered is lost from now on."""
