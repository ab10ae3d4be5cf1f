"""What stands in a column that holds more than a number or a text."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from taskbound.core.identity import Breadth, Grantable
from taskbound.core.scope import Scope, parse_scope

__all__ = ["json_texts", "read_grantable", "read_scope", "read_texts", "write_grantable"]

_TEXTS: Final = msgspec.json.Decoder(tuple[str, ...])
_JSON: Final = msgspec.json.Encoder()
_CEILING: Final = b'"ceiling"'


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


def write_grantable(grantable: Grantable) -> bytes | None:
    """What somebody may grant, for a column."""
    match grantable:
        case Breadth.NOTHING:
            return None
        case Breadth.CEILING:
            return _CEILING
        case Scope():
            return grantable.canonical


def read_grantable(column: bytes | None) -> Grantable:
    """What somebody may grant, of a column."""
    if column is None:
        return Breadth.NOTHING
    return Breadth.CEILING if column == _CEILING else read_scope(column)
