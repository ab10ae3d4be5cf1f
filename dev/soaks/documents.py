"""Random JSON values and random bytes that are nearly JSON, from a seed, made fast."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random

    from taskbound.core.action import JsonValue


_DEPTH: Final = 4
_WHOLE: Final = 2**53 - 1
_LETTERS: Final = (
    "abcxyz",
    'ABC "\\/',
    "\b\f\n\r\t\x00\x1f\x7f",
    "äöüß€",
    "\u2028\u2029\ufeff",
    "\U0001f600\U0001d518\U0010ffff",
    "\ue000\ufb33",
)
_PIECES: Final = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u", b"\\ud800", b"null", b"true", b"NaN",
    b"-Infinity", b"1e999", b"1e-400", b"-0", b"0123", b"1.", b".5", b"9007199254740993", b"\xff",
    b"\xed\xa0\x80", b"\x00", b"\xef\xbb\xbf", b" ", b"\n", b"\r", b'"a":1,"a":2', b'{"a":1,"\\u0061":2}',
    b"//", b"'", b"[" * 70,
)  # fmt: skip  # what breaks readers, side by side


def value(chance: random.Random, depth: int = 0) -> JsonValue:
    """A value with what makes canonical forms hard: floats of all sizes, keys of all planes."""
    kind = chance.randrange(5 if depth >= _DEPTH else 8)
    match kind:
        case 0:
            return chance.choice((None, True, False, 0, -0.0, 1e21, 1e-7, 5e-324, 1.7976931348623157e308))
        case 1:
            return chance.randint(-_WHOLE, _WHOLE)
        case 2:
            return _number(chance)
        case 3 | 4:
            return _text(chance)
        case 5 | 6:
            return {_text(chance): value(chance, depth + 1) for _ in range(chance.randrange(6))}
        case _:
            return [value(chance, depth + 1) for _ in range(chance.randrange(5))]


def nearly_json(chance: random.Random) -> bytes:
    """A document with a few pieces cut, doubled or put in that may break it."""
    raw = bytearray(json.dumps(value(chance), ensure_ascii=chance.random() < 1 / 2).encode())
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(raw) + 1)
        match chance.randrange(4):
            case 0:
                raw[at:at] = chance.choice(_PIECES)
            case 1:
                del raw[at : at + chance.randrange(5)]
            case 2:
                raw[at:at] = raw[at : at + chance.randrange(20)]
            case _:
                raw[at : at + 1] = bytes([chance.randrange(256)])
    return bytes(raw)


def _number(chance: random.Random) -> float:
    while True:
        found: float = struct.unpack("<d", chance.randbytes(8))[0]
        whole = found.is_integer() and _WHOLE < abs(found) < 1e21  # noqa: PLR2004 - ECMAScript's own bound
        if found - found == 0 and not whole:
            return found


def _text(chance: random.Random) -> str:
    return "".join(
        [chance.choice(chance.choice(_LETTERS)) for _ in range(chance.randrange(6))],
    )
