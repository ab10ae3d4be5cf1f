"""Characters that hide something from a reader: found, named, and placed.

Text is never changed and never refused for these; flags are facts for policy, and
screens show the characters as escapes (`escape_text` escapes exactly what stands here).

Rules:

1. A character alone: controls, bidi controls, what has no width, tags, variation
   selectors, private use, unassigned, half surrogates, spaces that aren't U+0020, and
   what passes for an ASCII character. Line feed and tab are `layout`: shown, but ordinary.
2. A text that isn't NFC: what another normalization would change.
3. A word of several scripts, and letters that pass for Latin ones throughout a text.
4. A combining mark on what is no letter, and more than five on one.
5. A space at an end, and 40 or more in a row: what follows may be out of sight.
6. Everything is looked at or flagged as `unread`: after 65,536 characters of strings that
   aren't ASCII, or 256 flags, one last flag says so, in constant time.

What is unassigned depends on the interpreter's Unicode version (`UNICODE_VERSION`).
What is not found stands in `script`.
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from taskbound.core.action.script import impostors, is_lookalike, is_mixed, script_of

if TYPE_CHECKING:
    from collections.abc import Iterator


UNICODE_VERSION: Final = unicodedata.unidata_version
"""The version of the character database behind these answers."""

_MARKS_ON_ONE: Final = 5
_SPACES_IN_ROW: Final = 40
_GAP: Final = re.compile(f" {{{_SPACES_IN_ROW},}}")
_WORD: Final = re.compile(r"[^\W_]+")


class TextKind(Enum):
    """What a text holds that a reader may not see."""

    BIDI = "bidi"
    CONFUSABLE = "confusable"
    CONTROL = "control"
    EDGE_SPACE = "edge-space"
    GAP = "gap"
    LAYOUT = "layout"
    LONE_SURROGATE = "lone-surrogate"
    MIXED_SCRIPT = "mixed-script"
    NOT_NFC = "not-nfc"
    ODD_SPACE = "odd-space"
    PRIVATE_USE = "private-use"
    STRAY_MARK = "stray-mark"
    TAG = "tag"
    UNASSIGNED = "unassigned"
    UNREAD = "unread"
    VARIATION_SELECTOR = "variation-selector"
    ZERO_WIDTH = "zero-width"


# Characters whose category doesn't say what they do.
_ALONE: Final = {
    **dict.fromkeys("\n\t", TextKind.LAYOUT),
    **dict.fromkeys(
        "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", TextKind.BIDI
    ),
    # Joiner, fillers, blanks: letters, marks and a symbol that show nothing.
    **dict.fromkeys("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0", TextKind.ZERO_WIDTH),
    **dict.fromkeys(map(chr, range(0xE0000, 0xE0080)), TextKind.TAG),
    **dict.fromkeys(map(chr, (*range(0x180B, 0x180E), 0x180F)), TextKind.VARIATION_SELECTOR),
    **dict.fromkeys(map(chr, range(0xFE00, 0xFE10)), TextKind.VARIATION_SELECTOR),
    **dict.fromkeys(map(chr, range(0xE0100, 0xE01F0)), TextKind.VARIATION_SELECTOR),
}
_BY_CATEGORY: Final = {
    "Cc": TextKind.CONTROL,
    "Cf": TextKind.ZERO_WIDTH,
    "Cn": TextKind.UNASSIGNED,
    "Co": TextKind.PRIVATE_USE,
    "Cs": TextKind.LONE_SURROGATE,
    "Zl": TextKind.CONTROL,
    "Zp": TextKind.CONTROL,
    "Zs": TextKind.ODD_SPACE,
}


@lru_cache(maxsize=4096)
def kind_of(char: str) -> TextKind | None:
    """What a character alone is (rule 1), or nothing to be seen."""
    if char.isascii() and char.isprintable():
        return None
    kind = _ALONE.get(char) or _BY_CATEGORY.get(unicodedata.category(char))
    return TextKind.CONFUSABLE if kind is None and is_lookalike(char) else kind


def kinds_in(text: str) -> frozenset[TextKind]:
    """What a text holds that a reader may not see; quick for a text that holds nothing.

    Works on the text's distinct characters where it can.
    """
    if text.isascii() and text.isprintable() and not _has_space_trick(text):
        return frozenset()
    chars = set(text)
    found = {kind for char in chars if (kind := kind_of(char))}
    if _has_space_trick(text):
        found.update(kind for _, kind in _spaces(text))
    if not text.isascii():
        found.update(kind for _, kind in _foreign(text, chars))
        if any(map(_is_mark, chars)):
            found.update(kind for _, kind in _stray_marks(text, frozenset()))
    return frozenset(found)


def places_in(text: str) -> frozenset[int]:
    """Where in the text the characters stand that a reader may not see.

    Empty exactly when `kinds_in` is.
    """
    chars = set(text)
    odd = {char for char in chars if kind_of(char)}
    places = {at for at, char in enumerate(text) if char in odd}
    places.update(at for at, _ in _spaces(text))
    if not text.isascii():
        places.update(at for at, _ in _foreign(text, chars))
        # Last: a mark must not hang on what is shown as something else.
        places.update(at for at, _ in _stray_marks(text, frozenset(places)))
    return frozenset(places)


def _has_space_trick(text: str) -> bool:
    return text[:1] == " " or text[-1:] == " " or " " * _SPACES_IN_ROW in text


def _spaces(text: str) -> Iterator[tuple[int, TextKind]]:
    """Spaces at the ends and in long rows (rule 5)."""
    for at in {0, len(text) - 1}:
        if text[at : at + 1] == " ":
            yield at, TextKind.EDGE_SPACE
    for gap in _GAP.finditer(text):
        for at in range(*gap.span()):
            yield at, TextKind.GAP


def _foreign(text: str, chars: set[str]) -> Iterator[tuple[int, TextKind]]:
    """What a text that isn't ASCII holds by its normalization and its scripts (rules 2, 3)."""
    if not unicodedata.is_normalized("NFC", text):
        for at, char in enumerate(text):
            if _is_unstable(char, text[at - 1 : at]):
                yield at, TextKind.NOT_NFC
    mixed: set[int] = set()
    if is_mixed({script for char in chars if (script := script_of(char))}):
        mixed.update(_mixed_words(text))
        for at in mixed:
            yield at, TextKind.MIXED_SCRIPT
    # What a mixed word shows as escapes gives no other letter away.
    rest = chars if not mixed else {char for at, char in enumerate(text) if at not in mixed}
    posing = impostors(rest)
    if posing:
        for at, char in enumerate(text):
            if char in posing:
                yield at, TextKind.CONFUSABLE


def _mixed_words(text: str) -> Iterator[int]:
    """The places of the letters beyond ASCII in words of several scripts."""
    for word in _WORD.finditer(text):
        if is_mixed({script for char in set(word[0]) if (script := script_of(char))}):
            for at in range(*word.span()):
                if not text[at].isascii():
                    yield at


def _is_unstable(char: str, before: str) -> bool:
    """Whether the character may change in NFC, or be joined to the one before it."""
    if _is_mark(char) or "\u1160" <= char <= "\u11ff" or unicodedata.normalize("NFC", char) != char:
        return True
    return len(unicodedata.normalize("NFC", before + char)) <= len(unicodedata.normalize("NFC", before))


def _is_mark(char: str) -> bool:
    return unicodedata.category(char).startswith("M")


def _stray_marks(text: str, hidden: frozenset[int]) -> Iterator[tuple[int, TextKind]]:
    """Combining marks without a letter that shows, or too many on one (rule 4)."""
    room = 0
    for at, char in enumerate(text):
        if at in hidden:
            room = 0
        elif not _is_mark(char):
            room = _MARKS_ON_ONE if char.isalpha() else 0
        elif room:
            room -= 1
        else:
            yield at, TextKind.STRAY_MARK
