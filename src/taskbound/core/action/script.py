"""Which writing a letter belongs to, and which characters look like a Latin one.

The standard library has no script property, so a letter's script is the first word of
its Unicode name; that tells apart all that matters here (`OLD …` and `TAI …` scripts
share a word). The tables of look-alikes are short and hold only close matches.

Not found, and so said: Latin letters that look like other Latin letters or digits
(`l` and `1`, `rn` and `m`); look-alikes within East Asian writing; foreign
digits; words of another script whose letters are not all in the table; a single
language's own letters put together to look like another word.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet


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
    """The script of a letter, or nothing for what belongs to none or to all."""
    category = unicodedata.category(char)
    if not category.startswith("L") or category == "Lm" or unicodedata.normalize("NFKC", char) != char:
        return ""
    return unicodedata.name(char, "").partition(" ")[0]


def is_mixed(scripts: AbstractSet[str]) -> bool:
    """Whether letters of these scripts in one word are out of the ordinary."""
    return len(scripts) > 1 and not scripts <= _EAST_ASIAN


def is_lookalike(char: str) -> bool:
    """Whether a character beyond ASCII passes for an ASCII one: by shape, case or form.

    The Kelvin sign and the long s turn into ASCII when their case changes; full-width,
    mathematical, circled and raised forms have a compatibility mapping to it.
    """
    if char in _ASCII_SHAPED or char.lower()[0].isascii():
        return True
    upper = char.upper()
    if len(upper) == 1 and upper.isascii():
        return True
    form = unicodedata.normalize("NFKC", char)
    return form != char and form.isascii() and (len(form) == 1 or form.strip(".") != "")


def impostors(chars: Iterable[str]) -> frozenset[str]:
    """Of a text's distinct characters, the letters of each script that has no letter of its own shape there.

    A Cyrillic word of the letters that look like `a`, `p` and `e` passes for `ape`, and nothing
    in the text gives it away; with one letter that Latin has not, a reader sees what it is.
    """
    by_script: dict[str, set[str]] = {script: set() for script in _LATIN_SHAPED}
    for char in chars:
        script = script_of(char)
        if script in by_script:
            by_script[script].add(char)
    return frozenset(
        char for script, found in by_script.items() if found <= _LATIN_SHAPED[script] for char in found
    )
