"""What stands in a column that holds more than a number or a text."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from taskbound.core.scope import Scope, parse_scope

__all__ = ["json_texts", "read_scope", "read_texts"]

_TEXTS: Final = msgspec.json.Decoder(tuple[str, ...])
_JSON: Final = msgspec.json.Encoder()


def json_texts(texts: object) -> str:
    """Texts, or sequences of them, as JSON."""
    return _JSON.encode(texts).decode()


def read_texts(column: str) -> tuple[str, ...]:
    """The texts of a column."""
    return _TEXTS.decode(column)


@lru_cache(maxsize=2048)
def read_scope(column: bytes) -> Scope:
    """The scope of a column; one that was read before is not compiled again."""
    return parse_scope(column)
