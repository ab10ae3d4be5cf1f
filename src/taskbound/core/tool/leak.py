"""Detection of secrets in a server's answers.

1. Searched forms: verbatim, JSON escapes undone (also nested), percent-encoded once, Base64 in three
   alignments and both alphabets, hex in either case; white space is ignored in the last two.
2. Other transformations (encodings, splitting, reordering) are not detected; a server that was given a secret
   can leak it.
3. The time is linear in the text. Escapes are therefore undone everywhere, without locating JSON strings.
4. Texts that were truncated here are also searched for partial values at the cut (`cut_in`).
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


_ESCAPES: Final = (
    (b'\\"', b'"'),
    (b"\\/", b"/"),
    (b"\\b", b"\b"),
    (b"\\f", b"\f"),
    (b"\\n", b"\n"),
    (b"\\r", b"\r"),
    (b"\\t", b"\t"),
)
_BACKSLASH: Final = b"\xff"
"""Stands for one that was escaped, until all else is undone: no byte of UTF-8."""
_CODES: Final = re.compile(rb"(?:\\u[0-9A-Fa-f]{4})++")
_PERCENT: Final = re.compile(rb"(?:%[0-9A-Fa-f]{2})++")
_SPACE: Final = b" \t\n\r\f\v"
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_NESTED: Final = 4
"""So many times a JSON document is taken out of a string of another."""
_LEFT: Final = 8
"""Bytes of a value that are found where it was cut: fewer stand in texts that have nothing to do with it."""
_CUT: Final = "…"
"""Stands where a text was cut."""
_WHOLE: Final = 3
"""Bytes that four characters of Base64 stand for."""


class Leaks:
    """Searches for some values; its repr omits them."""

    def __init__(self, values: Iterable[str]) -> None:
        whole = [one.encode() for one in values]
        self._plain = tuple(whole)
        self._coded = tuple({part for one in whole for part in _alignments(one)})
        self._digits = tuple(one.hex().encode() for one in whole)

    def beside(self, others: Leaks) -> Leaks:
        """Searches for these and the other's values."""
        found = Leaks(())
        found._plain = self._plain + others._plain
        found._coded = self._coded + others._coded
        found._digits = self._digits + others._digits
        return found

    def found_in(self, *texts: bytes | str) -> bool:
        """True if one of the texts contains a value."""
        return any(self._in(one.encode() if isinstance(one, str) else one) for one in texts)

    def cut_in(self, *texts: str) -> bool:
        """True if a short text contains a value, or part of one at an end or before an ellipsis (rule 4)."""
        parts = (one.encode() for text in texts for one in text.split(_CUT))
        return self.found_in(*texts) or any(_cut(value, one) for one in parts for value in self._plain)

    def _in(self, text: bytes) -> bool:
        views = [text]
        while b"\\" in views[-1] and len(views) <= _NESTED:
            views.append(_unescaped(views[-1]))
        views += [_PERCENT.sub(_bytes, one) for one in views if b"%" in one]
        return any(map(self._stands_in, views))

    def _stands_in(self, view: bytes) -> bool:
        if any(value in view for value in self._plain):
            return True
        dense = view.translate(_URL_SAFE, _SPACE)
        if any(value in dense for value in self._coded):
            return True
        small = dense.lower()
        return any(value in small for value in self._digits)


def _cut(value: bytes, part: bytes) -> bool:
    sizes = range(_LEFT, min(len(value), len(part) + 1))
    within = len(part) >= _LEFT and part in value
    return within or any(part.endswith(value[:one]) or part.startswith(value[-one:]) for one in sizes)


def _alignments(value: bytes) -> Iterable[bytes]:
    for skip in range(_WHOLE):
        head = (_WHOLE - skip) % _WHOLE
        body = value[head:]
        whole = body[: len(body) - len(body) % _WHOLE]
        if whole:
            yield b64encode(whole)


def _bytes(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex(found[0].replace(b"%", b"").decode())


def _unescaped(text: bytes) -> bytes:
    text = text.replace(b"\\\\", _BACKSLASH)
    for escape, meant in _ESCAPES:
        text = text.replace(escape, meant)
    return _CODES.sub(_characters, text).replace(_BACKSLASH, b"\\")


def _characters(found: re.Match[bytes]) -> bytes:
    return str(json.loads(b'"%b"' % found[0])).encode("utf-8", "replace")
