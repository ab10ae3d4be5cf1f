"""Tokens and the keys that sign them, in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.action import ActionState
from taskbound.core.token import NEVER, TokenForm, TokenKeyState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.core.clock import Instant
    from taskbound.core.token import IssuingKey, Token

__all__ = ["MemoryTokens"]

_OPEN = frozenset({ActionState.PERMITTED, ActionState.SENT})
_ALONE = frozenset({TokenKeyState.NEXT, TokenKeyState.CURRENT})


class MemoryTokens:
    """Reads them of a snapshot, and writes them in a transaction."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def token(self, namespace: str, token: str) -> Token | None:
        """The token of this id."""
        return self._tables.live().tokens.get((namespace, token))

    def tokens(
        self, namespace: str, *, task: str = "", agent: str = "", limit: int = 50, before: str = ""
    ) -> tuple[Token, ...]:
        """Tokens, newest first."""
        found = [
            one
            for one in self._tables.live().tokens.values()
            if one.namespace == namespace
            and task in {"", one.task}
            and agent in {"", one.agent}
            and (not before or one.id < before)
        ]
        return tuple(sorted(found, key=lambda one: one.id, reverse=True)[:limit])

    def listed(self, number: int, now: Instant) -> tuple[Token, ...]:
        """The tokens of this status list that have not ended, by their places."""
        found = [
            one
            for one in self._tables.live().tokens.values()
            if one.list == number and one.form is not TokenForm.TRANSACTION and one.expires > now
        ]
        return tuple(sorted(found, key=lambda one: one.index))

    def is_told(self, namespace: str, task: str, action: str) -> bool:
        """Whether somebody may have a transaction token of this action."""
        return any(
            (one.namespace, one.task, one.action, one.unsigned) == (namespace, task, action, False)
            for one in self._tables.live().tokens.values()
        )

    def key(self, kid: str) -> IssuingKey | None:
        """The key of this name."""
        return self._tables.live().token_keys.get(kid)

    def all_keys(self) -> tuple[IssuingKey, ...]:
        """Every key, in the order in which they were made."""
        return tuple(sorted(self._tables.live().token_keys.values(), key=lambda one: (one.made, one.kid)))

    def insert(self, token: Token) -> None:
        """Write a new one."""
        tables = self._tables.live()
        place = (token.list, token.index)
        listed = token.form is not TokenForm.TRANSACTION
        if tables.tokens.get((token.namespace, token.id)) is not None:
            tables.conflict(f"the token `{token.id}`")
        if listed and tables.token_places.get(place) is not None:
            tables.conflict("a place in a status list")
        if listed:
            tables.token_places.put(place, token.id)
        tables.tokens.put((token.namespace, token.id), token)

    def revoke(
        self, namespace: str, tokens: Collection[str], at: Instant, why: str, *, unsigned: bool = False
    ) -> tuple[str, ...]:
        """Revoke those of these that are not yet."""
        rows = self._tables.live().tokens
        revoked: list[str] = []
        for one in sorted(set(tokens)):
            row = rows.get((namespace, one))
            if row is not None and row.revoked == NEVER:
                rows.put((namespace, one), replace(row, revoked=at, why=why, unsigned=unsigned))
                revoked.append(one)
        return tuple(revoked)

    def lock_tokens(self, namespace: str, tokens: Collection[str]) -> Mapping[str, Token]:
        """By id: those of these that exist; one transaction is after the other."""
        found = {name: self.token(namespace, name) for name in tokens}
        return {name: one for name, one in found.items() if one is not None}

    def sweep(self, before: Instant, *, limit: int) -> int:
        """Forget tokens that ended before this."""
        tables = self._tables.live()
        over = sorted(
            (one for one in tables.tokens.values() if one.expires < before and not self._is_open(one)),
            key=lambda one: one.expires,
        )[:limit]
        for one in over:
            tables.tokens.put((one.namespace, one.id), None)
            if one.form is not TokenForm.TRANSACTION:
                tables.token_places.put((one.list, one.index), None)
        return len(over)

    def _is_open(self, token: Token) -> bool:
        """Whether the outcome of its action is still to come."""
        action = self._tables.live().actions.get((token.namespace, token.action))
        return action is not None and action.state in _OPEN

    def lock_keys(self, *, moves: bool = False) -> tuple[IssuingKey, ...]:  # noqa: ARG002 - one lock
        """Every key; one transaction is after the other."""
        return self.all_keys()

    def put_key(self, key: IssuingKey, *, expect: TokenKeyState | None) -> None:
        """Write the key."""
        tables = self._tables.live()
        before = tables.token_keys.get(key.kid)
        if (None if before is None else before.state) is not expect:
            tables.conflict(f"the key `{key.kid}`")
        if key.state in _ALONE and any(
            one.state is key.state and one.kid != key.kid for one in tables.token_keys.values()
        ):
            tables.conflict(f"the {key.state.value} key")
        tables.token_keys.put(key.kid, key)
