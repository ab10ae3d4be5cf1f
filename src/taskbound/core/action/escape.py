r"""Text as a screen may show it: every character that could hide something as a visible escape.

Rules:

1. What `places_in` finds is written `\u{HEX}`; the same character several times in a row
   `\u{HEXxCOUNT}`; up to three line feeds, carriage returns or tabs in a row as `\n`, `\r`, `\t`.
2. A backslash is written `\\`, so that no text can imitate an escape.
3. What comes out is printable and NFC, and holds no character that would be escaped.
4. One text has one rendering, from which the text can be read back.
5. A sentence whose foreign parts were escaped where it was made gets what is still missing, and keeps the
   escapes that it has: escaping those again would double their backslashes. It can't be given back.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from taskbound.core.action.text import places_in

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet


_SHORT: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_SHORT_ROW: Final = 3


def escape_text(text: str) -> str:
    """The text with everything visible (rules 1 to 3)."""
    return _render(text, places_in(text))


def escape_rest(sentence: str) -> str:
    """The sentence with everything visible, of which parts were escaped before (rule 5)."""
    return escape_text(sentence).replace("\\\\", "\\")


def _render(text: str, places: AbstractSet[int]) -> str:
    parts = []
    for (char, hidden), row in groupby(enumerate(text), key=lambda it: (it[1], it[0] in places)):
        count = sum(1 for _ in row)
        if hidden:
            parts.append(_escape(char, count))
        else:
            parts.append(char * count if char != "\\" else r"\\" * count)
    return "".join(parts)


def _escape(char: str, count: int) -> str:
    if char in _SHORT and count <= _SHORT_ROW:
        return _SHORT[char] * count
    times = f"x{count}" if count > 1 else ""
    return f"\\u{{{ord(char):X}{times}}}"
