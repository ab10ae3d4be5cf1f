"""The keys that sign tokens, wherever they are kept: in files, in a token of PKCS #11, in a server of keys.

They are reachable from the signer's process alone. Which of them signs, and when one is taken out of use, is
decided by who holds them (`core.token.key`): a store only makes, finds, uses and destroys.
"""

from __future__ import annotations

from typing import Protocol

from taskbound.ports.signer import SignerUnavailableError


class TokenKeyGoneError(SignerUnavailableError):
    """The store has no key of this name that can sign: it was destroyed, or never was in it."""

    code = "token-key-gone"
    remedy = "have a new key made and taken into use; tokens of the one that is gone can still be verified"


class TokenKeyWeakError(SignerUnavailableError):
    """A key of the store could leave it or do more than sign, or is another than its name says."""

    code = "token-key-weak"
    remedy = (
        "take the key out of use and destroy it, and see who can change keys there; then have a new one made"
    )


class TokenKey(Protocol):
    """A key for ES256 (RFC 7518 §3.4) that stays where it is."""

    @property
    def kid(self) -> str:
        """Its name: the thumbprint of its public half (RFC 7638)."""

    @property
    def public(self) -> bytes:
        """Its public half: a JWK (RFC 7517) as canonical JSON, with `kid`, `alg` and `use`."""

    def sign(self, message: bytes) -> bytes:
        """The signature: `r` and `s`, 32 bytes each, and of the two `s` that are right the lower one.

        MUST be of exactly this message by exactly this key, and MUST NOT wait longer than some seconds.

        Raises:
            TokenKeyGoneError: The store has the key no longer.
            SignerUnavailableError: The store can't be reached, doesn't answer, or lets nobody in.
        """


class TokenKeyStore(Protocol):
    """Where such keys are."""

    def make(self) -> TokenKey:
        """A new key.

        MUST be durable on return. MUST be one whose private half can't be taken out, where the store knows
        such keys.

        Raises:
            SignerUnavailableError: It can't be made.
        """

    def open(self, kid: str) -> TokenKey:
        """The key of this name.

        MUST be found also after a new start of everything. MUST NOT give another one, whoever put it there.

        Raises:
            TokenKeyGoneError: There is none.
            TokenKeyWeakError: It could leave the store, or is another than its name says.
            SignerUnavailableError: The store can't say.
        """

    def kids(self) -> tuple[str, ...]:
        """The names of all keys that are there, in order.

        Raises:
            SignerUnavailableError: The store can't say.
        """

    def destroy(self, kid: str) -> None:
        """Destroy the key of this name for good; nothing, where there is none.

        MUST be durable on return: no later start may find it.

        Raises:
            SignerUnavailableError: It may still be there.
        """
