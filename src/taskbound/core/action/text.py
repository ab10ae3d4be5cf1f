r"""Finds, names and escapes characters that a reader of a text would not see or would mistake.

Text is never changed or refused for these characters. Flags are facts for policy; screens show the
characters as escapes (`escape_text`). Flagged are:

1. Single characters: controls, bidi controls, zero-width characters, tags, variation selectors, private use,
   unassigned characters (by `UNICODE_VERSION`), lone surrogates, spaces other than U+0020, and look-alikes of
   ASCII. Line feed and tab are `layout`.
2. Text that is not NFC.
3. A word of several scripts, and words whose letters all look like Latin ones. A script is the first word of
   the letter's Unicode name. Not found: look-alikes within one script (`l` and `1`, `rn` and `m`) or within
   East Asian writing, foreign digits, and words with letters outside the look-alike tables.
4. A combining mark without a letter, and more than five on one letter.
5. A space at either end, and 40 or more spaces in a row, which may push text out of sight.
6. After 65,536 non-ASCII characters of one text, or for a value after 256 flags, 25,000 strings or 100,000
   non-ASCII characters, a last flag says `unread`. So cost is bounded, and a flood hides nothing.

Flags are ordered as in the canonical text. Escapes are `\u{HEX}`, `\u{HEXxCOUNT}` for repeats, `\n`, `\r`,
`\t` for up to three in a row, and `\\`; the result is printable NFC and can be converted back.
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from taskbound.core.action.canonical import JsonValue


# Words that mix these are ordinary (UTS 39 §5.2, "highly restrictive").
_EAST_ASIAN: Final = frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC"})

# Letters of another script that look like a Latin one, by code point.
_LATIN_SHAPED: Final = {
    "CYRILLIC": frozenset(
        "\u0405\u0406\u0408\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423"
        "\u0425\u0430\u0435\u043a\u043e\u0440\u0441\u0443\u0445\u0455\u0456\u0458\u0461\u0474"
        "\u0475\u04ae\u04af\u04bb\u04bd\u04c0\u04cf\u0501\u050c\u051a\u051b\u051c\u051d"
    ),
    "GREEK": frozenset(
        "\u037f\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5"
        "\u03a7\u03b1\u03b3\u03b9\u03ba\u03bd\u03bf\u03c1\u03c5\u03f3"
    ),
    "ARMENIAN": frozenset("\u053c\u054d\u054f\u0555\u0570\u0578\u057d\u0581\u0584\u0585"),
    "CHEROKEE": frozenset(
        "\u13a0\u13a1\u13a2\u13a5\u13aa\u13ab\u13ac\u13b3\u13b5\u13b7\u13bb\u13c0\u13c2\u13c3"
        "\u13cf\u13d2\u13d4\u13d9\u13da\u13de\u13df\u13e2\u13e6\u13e7\u13e9\u13ed\u13ee\u13f0"
        "\u13f4"
    ),
    "LISU": frozenset(map(chr, range(0xA4D0, 0xA4F8))),
}

# Characters that pass for an ASCII one, though no case or compatibility mapping says so.
_ASCII_SHAPED: Final = frozenset(
    "\u03f2\u03f9"  # Greek lunate sigmas
    "\u0251\u0261\u0131\u0237"  # Latin alpha, script g, dotless i and j
    "\u01c0\u01c3\u2223"  # clicks and a bar that look like | and !
    "\u2044\u2215\u29f8"  # slashes
    "\u2216\u29f5"  # backslashes
    "\u02d0\u2236\ua789"  # colons
    "\u2212"  # minus
)


@lru_cache(maxsize=4096)
def script_of(char: str) -> str:
    """Returns the script of a letter; empty for a character of no script or of all."""
    category = unicodedata.category(char)
    if not category.startswith("L") or category == "Lm" or unicodedata.normalize("NFKC", char) != char:
        return ""
    return unicodedata.name(char, "").partition(" ")[0]


def is_mixed(scripts: AbstractSet[str]) -> bool:
    return len(scripts) > 1 and not scripts <= _EAST_ASIAN


def is_lookalike(char: str) -> bool:
    """Returns whether a non-ASCII character passes for ASCII by shape, case mapping or compatibility form."""
    if char in _ASCII_SHAPED or char.lower()[0].isascii():
        return True
    upper = char.upper()
    if len(upper) == 1 and upper.isascii():
        return True
    form = unicodedata.normalize("NFKC", char)
    return form != char and form.isascii() and (len(form) == 1 or form.strip(".") != "")


def impostors(chars: Iterable[str]) -> frozenset[str]:
    """Returns the letters of each script that, in this text, has only letters that look like Latin ones."""
    by_script: dict[str, set[str]] = {script: set() for script in _LATIN_SHAPED}
    for char in chars:
        script = script_of(char)
        if script in by_script:
            by_script[script].add(char)
    return frozenset(
        char for script, found in by_script.items() if found <= _LATIN_SHAPED[script] for char in found
    )


UNICODE_VERSION: Final = unicodedata.unidata_version
"""The version of the character database behind these answers."""

_MARKS_ON_ONE: Final = 5
_SPACES_IN_ROW: Final = 40
_GAP: Final = re.compile(f" {{{_SPACES_IN_ROW},}}")
_WORD: Final = re.compile(r"[^\W_]+")


class TextKind(Enum):
    """The kinds of hidden or misleading characters."""

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
    if char.isascii() and char.isprintable():
        return None
    kind = _ALONE.get(char) or _BY_CATEGORY.get(unicodedata.category(char))
    return TextKind.CONFUSABLE if kind is None and is_lookalike(char) else kind


def kinds_in(text: str) -> frozenset[TextKind]:
    """Returns the kinds that a text holds; works on the distinct characters where possible, for speed."""
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
    """Returns the positions of flagged characters; empty exactly if `kinds_in` is."""
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
    for at in {0, len(text) - 1}:
        if text[at : at + 1] == " ":
            yield at, TextKind.EDGE_SPACE
    for gap in _GAP.finditer(text):
        for at in range(*gap.span()):
            yield at, TextKind.GAP


def _foreign(text: str, chars: set[str]) -> Iterator[tuple[int, TextKind]]:
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
    for word in _WORD.finditer(text):
        if is_mixed({script for char in set(word[0]) if (script := script_of(char))}):
            for at in range(*word.span()):
                if not text[at].isascii():
                    yield at


def _is_unstable(char: str, before: str) -> bool:
    """Returns whether NFC may change the character or join it to the one before."""
    if _is_mark(char) or "\u1160" <= char <= "\u11ff" or unicodedata.normalize("NFC", char) != char:
        return True
    return len(unicodedata.normalize("NFC", before + char)) <= len(unicodedata.normalize("NFC", before))


def _is_mark(char: str) -> bool:
    return unicodedata.category(char).startswith("M")


def _stray_marks(text: str, hidden: frozenset[int]) -> Iterator[tuple[int, TextKind]]:
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


_SHORT: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_SHORT_ROW: Final = 3


def escape_text(text: str) -> str:
    return _render(text, places_in(text))


def escape_rest(sentence: str) -> str:
    """Escapes what is still hidden in a sentence and keeps its escapes; not reversible."""
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


_FLAGS: Final = 256
_WORK: Final = 100_000
_WORK_PER_STRING: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFlag:
    """One kind of flagged character in one string or key."""

    path: str
    """A JSON pointer (RFC 6901) whose keys are written as `escape_text` writes them: safe to show."""
    kind: TextKind
    in_key: bool = False
    """Whether it stands in the last key of the path, and not in the value there."""


def flag_text(value: JsonValue) -> tuple[TextFlag, ...]:
    flags: list[TextFlag] = []
    work = _WORK
    for path, text, in_key in _strings(value, ()):
        work -= _WORK_PER_STRING + (0 if text.isascii() else len(text))
        if work < 0 or len(flags) >= _FLAGS:
            flags.append(TextFlag(path=_pointer(path), kind=TextKind.UNREAD))  # 6
            break
        kinds = kinds_in(text)
        if kinds:
            pointer = _pointer(path)
            ordered = sorted(kinds, key=lambda kind: kind.value)
            flags.extend(TextFlag(path=pointer, kind=kind, in_key=in_key) for kind in ordered)
    return tuple(flags)


def _strings(
    value: JsonValue, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], str, bool]]:
    if isinstance(value, str):
        yield path, value, False
    elif isinstance(value, dict):
        for key in sorted(value):
            inner = (*path, key)
            yield inner, key, True
            if isinstance(value[key], str | dict | list):
                yield from _strings(value[key], inner)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            if isinstance(item, str | dict | list):
                yield from _strings(item, (*path, at))


def _pointer(path: tuple[str | int, ...]) -> str:
    return "".join(f"/{_step(key)}" for key in path)


def _step(key: str | int) -> str:
    return escape_text(str(key)).replace("~", "~0").replace("/", "~1")
