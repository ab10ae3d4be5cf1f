"""Tokens and the keys that sign them, in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.token import IssuingKey, Token, TokenKeyState


class TokenReads(Protocol):
    """Reads tokens of one namespace at a time, and keys and status lists, which all namespaces share."""

    def token(self, namespace: str, token: str) -> Token | None:
        """The token of this id."""

    def tokens(
        self, namespace: str, *, task: str = "", agent: str = "", limit: int = 50, before: str = ""
    ) -> tuple[Token, ...]:
        """Tokens, newest first; empty filters take all; `before` is the last id of the page before."""

    def listed(self, number: int, now: Instant) -> tuple[Token, ...]:
        """Of every namespace: the tokens of this status list that have not ended, by their places."""

    def is_told(self, namespace: str, task: str, action: str) -> bool:
        """Whether somebody may have a transaction token of this action of this task.

        MUST count one that is over or revoked, unless it was revoked as unsigned.
        """

    def key(self, kid: str) -> IssuingKey | None:
        """The key of this name."""

    def all_keys(self) -> tuple[IssuingKey, ...]:
        """Every key, whatever it is for, in the order in which they were made."""


class TokenWrites(TokenReads, Protocol):
    """Writes them."""

    def insert(self, token: Token) -> None:
        """Write a new one, not revoked.

        MUST raise `ConflictError` when its id is known in the namespace, or its place in its list is
        another's.
        """

    def sweep(self, before: Instant, *, limit: int) -> int:
        """Forget tokens that ended before this, those that ended first; how many, `limit` at most.

        MUST keep those of an action whose outcome is still to come (`is_told`).
        """

    def revoke(
        self, namespace: str, tokens: Collection[str], at: Instant, why: str, *, unsigned: bool = False
    ) -> tuple[str, ...]:
        """Revoke those of these that are not yet; their ids, in order. `unsigned`: nobody has their texts.

        MUST be one conditional statement for each: the first revocation stands, with its words.
        """

    def lock_tokens(self, namespace: str, tokens: Collection[str]) -> Mapping[str, Token]:
        """By id: those of these that exist, whatever they are worth, locked against change."""

    def lock_keys(self, *, moves: bool = False) -> tuple[IssuingKey, ...]:
        """As `all_keys`, locked until the end of the transaction; `moves` for who changes one."""

    def put_key(self, key: IssuingKey, *, expect: TokenKeyState | None) -> None:
        """Write the key.

        MUST raise `ConflictError` when its state is not `expect`, None for one that must not be there, and
        when another one is current, or next, as it is to be.
        """
