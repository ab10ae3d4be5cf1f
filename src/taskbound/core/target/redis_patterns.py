"""Patterns of Redis keys and channels with parameters.

1. A pattern is text with the globs `*`, `?` and `[…]` and parameters `{name}` that the kind has. Other braces
   are literal, as in hash tags. There is no backslash: `[*]` is a star. A class is ASCII, because servers
   read bytes, and does not end with `-`, which they would read as a range that goes beyond the `]`.
2. A value stands only for itself: its globs are quoted. No parameter is within `[…]`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from taskbound.core.action.text import escape_text
from taskbound.core.target.errors import BadKindError, BadParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping


_MOST_PATTERN: Final = 256
_SHOWN: Final = 80
_REMEMBERED: Final = 1_024
"""Patterns whose pieces are remembered: each mint of a kind has the same ones."""
_RANGES: Final = r"(?:[!-Z^-~]-[!-Z^-~]|[!-Z^-~](?!-))+"
"""Of a class: characters and ranges, each as a server reads it."""
_PIECE: Final = re.compile(r"\[\^?(?!\^)" + _RANGES + r"\]|\{([a-z][a-z0-9_]{0,62})\}|[^\[\]\\]")
"""A class, a place, or a character (rule 1)."""
_GLOBS: Final = frozenset("*?[]\\")


def filled(pattern: str, parameters: tuple[str, ...], values: Mapping[str, str]) -> str:
    """Returns the pattern with parameters filled in (rule 2); raises BadParameterError for a bad value."""
    return "".join(
        _quoted(name, values.get(name, "")) if name in parameters else piece
        for piece, name in _pieces(pattern)
    )


@lru_cache(maxsize=_REMEMBERED)
def _pieces(pattern: str) -> tuple[tuple[str, str], ...]:
    return tuple((found[0], found[1] or "") for found in _PIECE.finditer(pattern))


def places_of(pattern: str) -> frozenset[str]:
    return frozenset(name for _, name in _pieces(pattern) if name)


def require_pattern(pattern: str, parameters: tuple[str, ...]) -> None:
    shown = escape_text(pattern[:_SHOWN])
    if not 1 <= len(pattern) <= _MOST_PATTERN or not is_plain(pattern):
        raise BadKindError(
            f"`{shown}` is no pattern: 1 to {_MOST_PATTERN} characters, no space and none of control"
        )
    if "".join(piece for piece, _ in _pieces(pattern)) != pattern:
        raise BadKindError(
            f"`{shown}` is no pattern: it has a backslash, or a bracket alone; `[*]` is a star, and `-`"
            " stands first in brackets, `[-a-z]`"
        )
    for piece, _ in _pieces(pattern):
        if piece.startswith("[") and any(f"{{{one}}}" in piece for one in parameters):
            raise BadKindError(f"`{shown}` is no pattern: no place of a parameter is within `[…]`")  # 2


def may_begin(pattern: str, parameters: tuple[str, ...], start: str) -> bool:
    plain = ""
    for piece, name in _pieces(pattern):
        if name in parameters or piece[0] in "*?[":
            break
        plain += piece
    else:
        return plain.startswith(start)
    return plain.startswith(start) or start.startswith(plain)


def may_be(pattern: str, parameters: tuple[str, ...], word: str) -> bool:
    """Returns whether the pattern may match the word in any case."""
    whole = ""
    for piece, name in _pieces(pattern):
        if name in parameters or piece == "*":
            whole += ".*"
        else:
            whole += "." if piece == "?" or piece[0] == "[" else re.escape(piece)
    return re.fullmatch(whole, word, re.IGNORECASE) is not None


def _quoted(name: str, value: str) -> str:
    if not value or not is_plain(value):
        raise BadParameterError(f"`{name}` is a text without spaces and characters of control")
    return "".join(f"\\{one}" if one in _GLOBS else one for one in value)


def is_plain(text: str) -> bool:
    """Returns whether the text is printable without spaces, which the server refuses in patterns."""
    return text.isprintable() and not any(one.isspace() for one in text)
