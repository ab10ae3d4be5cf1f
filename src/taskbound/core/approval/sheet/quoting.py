r"""Somebody's text between quotes, in pieces that may stand on several lines.

Rules:

1. Beyond ASCII only letters that run from left to right, and the marks that belong to their
   own writing, stand as themselves; and of these only what `action.text` finds nothing in.
   Everything else is an escape: digits, signs, dashes, quotes and emoji of every kind, Hebrew
   and Arabic letters (a terminal may turn what stands beside them around), marks that can be put on
   anything (they strike through), and modifier letters.
2. A space stands as itself only between two characters that show; two and more in a row are an
   escape. So two spaces in a row never come from a text.
3. Escapes are those of `action.escape`, and `\"` for the quote: no text can end its own quotes.
4. A character beyond ASCII counts two columns, the most that a terminal gives it; a letter and
   its marks are never parted, nor is an escape.
5. One text has one writing.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Final

from taskbound.core.action.text import places_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet


_SHORT: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_SHORT_ROW: Final = 3
_VISIBLE: Final = {"\\": r"\\", '"': r"\""}
_SPACES: Final = re.compile("  +")
_MARKS_ON_ONE: Final = 3
_ANYWHERE: Final = ("COMBINING ", "MODIFIER LETTER ", "VARIATION ")
"""How the names of letters and marks begin that belong to no writing of their own."""
_LEFT_TO_RIGHT: Final = frozenset({"L", "NSM"})


def is_plain(text: str) -> bool:
    """Whether each character of the text is shown as it is, and is a piece."""
    return text.isascii() and '"' not in text and "\\" not in text and not _hidden(text)


def pieces(text: str) -> Iterator[str]:
    """The text as it is shown, in pieces that stay together (rules 1 to 4)."""
    hidden = _hidden(text)
    cluster = ""
    for (char, is_hidden), row in groupby(enumerate(text), key=lambda it: (it[1], it[0] in hidden)):
        count = sum(1 for _ in row)
        if not is_hidden and not char.isascii() and _sort(char) == "mark":
            cluster += char * count
            continue
        if cluster:
            yield cluster
        cluster = ""
        if is_hidden:
            yield from _escape(char, count)
            continue
        shown = _VISIBLE.get(char, char)
        for _ in range(count - 1):
            yield shown
        cluster = shown
    if cluster:
        yield cluster


def columns(shown: str) -> int:
    """The most columns that a terminal gives to what is shown (rule 4)."""
    return len(shown) if shown.isascii() else sum(1 if char.isascii() else 2 for char in shown)


def _hidden(text: str) -> AbstractSet[int]:
    """Where what doesn't show as itself stands."""
    if text.isascii() and text.isprintable() and "  " not in text and text.strip(" ") == text:
        return frozenset()
    hidden = set(places_in(text))
    for gap in _SPACES.finditer(text):
        hidden.update(range(*gap.span()))  # 2
    room = 0
    for at, char in enumerate(text):
        sort = "" if at in hidden or char.isascii() else _sort(char)
        if sort == "mark" and room:
            room -= 1
        elif sort == "letter":
            room = _MARKS_ON_ONE
        else:
            room = 0
            if sort:
                hidden.add(at)
    return hidden


@lru_cache(maxsize=4096)
def _sort(char: str) -> str:
    """Of a character beyond ASCII: `letter` or `mark` when it may stand as itself (rule 1), or `sign`."""
    name, category = unicodedata.name(char, ""), unicodedata.category(char)
    if (
        not name
        or name.startswith(_ANYWHERE)
        or unicodedata.bidirectional(char) not in _LEFT_TO_RIGHT
        or (category == "Lo" and name.startswith("LATIN "))  # clicks that look like signs
    ):
        return "sign"
    return {"L": "letter", "M": "mark"}.get(category[0], "sign")


def _escape(char: str, count: int) -> Iterator[str]:
    if char in _SHORT and count <= _SHORT_ROW:
        for _ in range(count):
            yield _SHORT[char]
        return
    times = f"x{count}" if count > 1 else ""
    yield f"\\u{{{ord(char):X}{times}}}"
