"""What `taskbound doctor` says of the keys that sign tokens: how old they are, and whether one follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import days, hours
from taskbound.wire.token import ListTokenKeys, TokenKeyRow, TokenKeyRows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.sdk.client import Client

__all__ = ["look_at_token_keys", "tell_token_keys"]

_OLD: Final = days(2)
"""A key signs for a day; one that is twice as old was not rotated when it should have been."""


def look_at_token_keys(client: Client, now: int) -> Iterator[tuple[str, str, str, str]]:
    """Level, name, text and advice of what was found; nothing where no token was ever asked for."""
    return tell_token_keys(client.ask(ListTokenKeys(), TokenKeyRows).rows, now)


def tell_token_keys(rows: Sequence[TokenKeyRow], now: int) -> Iterator[tuple[str, str, str, str]]:
    """The same of these keys, at an instant in microseconds since the epoch."""
    if not rows:
        return
    states = {one.state: one for one in rows}
    current = states.get("current")
    if current is None:
        yield "bad", "token-key", "no key signs tokens", "see `taskbound token key list`, and rotate"
        return
    age = now - (current.used or current.made)
    text = f"the key that signs tokens has done so for {max(age, 0) // hours(1)} hours"
    if age > _OLD:
        yield (
            "warn",
            "token-key",
            text,
            "see the signer's log, or `taskbound token key rotate`",
        )
    elif "next" not in states:
        yield "warn", "token-key", f"{text}, and none is ready to follow it", "see the signer's log"
    else:
        yield "ok", "token-key", f"{text}; the next one is ready", ""
