"""Secrets that come back: whether text that a server said holds one.

Rules:

1. Looked for is the value verbatim, with JSON's escapes undone (also of JSON in JSON), percent-encoded
   (once), as Base64 in its three alignments, in both alphabets, and as hexadecimal digits in either case,
   whatever white space stands in these two.
2. Anything else that a server makes of it goes unseen: another encoding, a part of it, its letters apart or
   turned around, a sum over it, a half in this answer and a half in the next. Who was given a secret can
   tell it.
3. It takes time in proportion to the text, whatever the text is: no one is to be held up by another's words.
   So escapes are undone wherever they stand. What of the text is a string is not asked: the search for the
   ends of strings can begin at each quote, and go on to the end of the text.
4. What is cut short here, for a reason or as last words, is looked through for a part of a value where it may
   have been cut (`cut_in`): the server said the whole of it, and nobody sees more than was left.
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
    """Looks for some values; none of them is in its repr."""

    def __init__(self, values: Iterable[str]) -> None:
        """Look for these; each has `core.tool.MIN_SECRET` bytes at least."""
        whole = [one.encode() for one in values]
        self._plain = tuple(whole)
        self._coded = tuple({part for one in whole for part in _alignments(one)})
        self._digits = tuple(one.hex().encode() for one in whole)

    def beside(self, others: Leaks) -> Leaks:
        """Looks for these, and for those of the others too."""
        found = Leaks(())
        found._plain = self._plain + others._plain
        found._coded = self._coded + others._coded
        found._digits = self._digits + others._digits
        return found

    def found_in(self, *texts: bytes | str) -> bool:
        """Whether a value stands in one of these."""
        return any(self._in(one.encode() if isinstance(one, str) else one) for one in texts)

    def cut_in(self, *texts: str) -> bool:
        """Whether a value stands in one of these, or was cut at an end of one or before an ellipsis (rule 4).

        For short texts: each end is compared with each value.
        """
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
    """Whether the part begins or ends within the value, or is one of it."""
    sizes = range(_LEFT, min(len(value), len(part) + 1))
    within = len(part) >= _LEFT and part in value
    return within or any(part.endswith(value[:one]) or part.startswith(value[-one:]) for one in sizes)


def _alignments(value: bytes) -> Iterable[bytes]:
    """What surely stands in the Base64 of any text that holds the value, by where it begins."""
    for skip in range(_WHOLE):
        head = (_WHOLE - skip) % _WHOLE
        body = value[head:]
        whole = body[: len(body) - len(body) % _WHOLE]
        if whole:
            yield b64encode(whole)


def _bytes(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex(found[0].replace(b"%", b"").decode())


def _unescaped(text: bytes) -> bytes:
    """The text with JSON's escapes undone, wherever they stand (rule 3)."""
    text = text.replace(b"\\\\", _BACKSLASH)
    for escape, meant in _ESCAPES:
        text = text.replace(escape, meant)
    return _CODES.sub(_characters, text).replace(_BACKSLASH, b"\\")


def _characters(found: re.Match[bytes]) -> bytes:
    return str(json.loads(b'"%b"' % found[0])).encode("utf-8", "replace")
