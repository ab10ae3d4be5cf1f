"""Whoever signs tokens: a process that holds the keys, and reads what it signs for itself.

The port is there for security: the process that decides and records reaches no key, and what it asks to have
signed is only ever the name of a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from taskbound.core.clock import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeKey:
    """A key that was made, and signs nothing yet."""

    kid: str
    public: bytes
    """A JWK as canonical JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedList:
    """A status list token, and until when it is believed."""

    text: str
    until: Instant


class TokenSigner(Protocol):
    """Signs what rows say.

    MUST read the row and everything that it rests on anew from the store, MUST make the claims from what it
    read, and MUST sign nothing that doesn't hold at that instant.
    """

    def sign_token(self, namespace: str, token: str) -> str:
        """The token of this row, as the compact text.

        Raises:
            DeniedError: The row doesn't hold, or is not what was issued.
            UnavailableError: It can't be read or signed now; nothing was signed.
        """

    def sign_status_list(self, number: int) -> SignedList:
        """The status list of this number, with what every row in it says now.

        Raises:
            DeniedError: There is no such list now.
            UnavailableError: It can't be read or signed now.
        """

    def make_key(self) -> MadeKey:
        """A new key, durable before this returns.

        Raises:
            UnavailableError: It can't be made.
        """

    def look(self, issuer: str) -> None:
        """Return where tokens of this issuer could be signed: it is the signer's, and the store can be read.

        Raises:
            UnavailableError: None could be, and why.
        """

    def destroy_keys(self) -> tuple[str, ...]:
        """Destroy the private halves that nothing is signed with any more, as the store says; their names.

        Raises:
            UnavailableError: One can't be.
        """
