"""Secrets that come back: whether text that a server said holds one.

Rules:

1. Looked for is the value verbatim, with JSON's escapes undone (also of JSON in JSON), percent-encoded
   (once), and as Base64 in its three alignments, in both alphabets, whatever white space stands in it.
2. Anything else that a server makes of it goes unseen: another encoding, a part of it, its letters apart or
   turned around, a sum over it, a half in this answer and a half in the next. Who was given a secret can
   tell it.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Leaks"]

_ESCAPED: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_PERCENT: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_SPACE: Final = b" \t\n\r\f\v"
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_NESTED: Final = 4
"""So many times a JSON document is taken out of a string of another."""
_WHOLE: Final = 3
"""Bytes that four characters of Base64 stand for."""


class Leaks:
    """Looks for some values; none of them is in its repr."""

    def __init__(self, values: Iterable[str]) -> None:
        """Look for these; each has `core.tool.MIN_SECRET` bytes at least."""
        whole = [one.encode() for one in values]
        self._plain = tuple(whole)
        self._coded = tuple({part for one in whole for part in _alignments(one)})

    def found_in(self, *texts: bytes | str) -> bool:
        """Whether a value stands in one of these."""
        return any(self._in(one.encode() if isinstance(one, str) else one) for one in texts)

    def _in(self, text: bytes) -> bool:
        views = [text]
        while b"\\" in views[-1] and len(views) <= _NESTED:
            views.append(_unescaped(views[-1]))
        views += [_PERCENT.sub(_byte, one) for one in views if b"%" in one]
        if any(value in one for one in views for value in self._plain):
            return True
        dense = [one.translate(_URL_SAFE, _SPACE) for one in views]
        return any(value in one for one in dense for value in self._coded)


def _alignments(value: bytes) -> Iterable[bytes]:
    """What surely stands in the Base64 of any text that holds the value, by where it begins."""
    for skip in range(_WHOLE):
        head = (_WHOLE - skip) % _WHOLE
        body = value[head:]
        whole = body[: len(body) - len(body) % _WHOLE]
        if whole:
            yield b64encode(whole)


def _byte(found: re.Match[bytes]) -> bytes:
    return bytes([int(found.group(1), 16)])


def _unescaped(text: bytes) -> bytes:
    """Every JSON string in the text without its escapes; what is none stands as it was."""
    return _ESCAPED.sub(lambda one: b"\n" + _decoded(one.group(0)) + b"\n", text)


def _decoded(string: bytes) -> bytes:
    if b"\\" not in string:
        return string[1:-1]
    try:
        found = json.loads(string)
    except ValueError:
        return string
    return str(found).encode("utf-8", "replace")
