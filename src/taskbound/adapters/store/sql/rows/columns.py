"""What stands in a column that holds more than a number or a text."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from taskbound.core.identity import Breadth, Grantable
from taskbound.core.scope import Scope, parse_scope
from taskbound.core.scope.algebra import Share
from taskbound.core.task import spent as entries

_TEXTS: Final = msgspec.json.Decoder(tuple[str, ...])
_JSON: Final = msgspec.json.Encoder()
_BASE: Final = msgspec.json.Decoder(tuple[tuple[str, int], ...])
_SHARES: Final = msgspec.json.Decoder(tuple[tuple[str, str, tuple[tuple[str, int], ...]], ...])
_CEILING: Final = b'"ceiling"'


def bound(raw: bytes) -> bytearray:
    """Bytes as the driver takes them without asking what they adapt to: 0.1 instead of 3 µs a value."""
    return bytearray(raw)


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


def write_base(base: tuple[tuple[str, int], ...]) -> str:
    """Amounts by limit, as what each limit of a child held when it was carved, for a column."""
    return _JSON.encode(base).decode()


def read_base(column: str) -> tuple[tuple[str, int], ...]:
    """Amounts by limit, of a column."""
    return _BASE.decode(column)


def write_shares(shares: tuple[Share, ...]) -> str:
    """What the grants of a child are charged to, for a column."""
    return _JSON.encode([(one.child, one.parent, one.taken) for one in shares]).decode()


def read_shares(column: str) -> tuple[Share, ...]:
    """What the grants of a child are charged to, of a column."""
    return tuple(
        [Share(child=child, parent=parent, taken=taken) for child, parent, taken in _SHARES.decode(column)]
    )


def write_spent(spent: tuple[entries.Spent, ...]) -> str:
    """What was spent of a task before its amendment, for a column."""
    return json_texts(tuple(map(entries.spent_text, spent)))


@lru_cache(maxsize=2048)
def read_spent(column: str) -> tuple[entries.Spent, ...]:
    """What was spent of a task before its amendment, of a column; one that was read is not compiled again."""
    return tuple(map(entries.read_spent, read_texts(column)))
