"""Texts of a kind of credential that leave a place to who asks: `orders:{tenant}`.

1. A place is the name of a parameter in braces. There is no other use of a brace.
2. What is put there is a word: letters, digits, `.`, `_`, `-` and `~`, with no `.` or `~` at its beginning.
   It can neither end the text that it stands in, nor lead to another place of a path.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.action.escape import escape_text
from taskbound.core.target.errors import BadKindError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


_PLACE: Final = re.compile(r"\{([a-z][a-z0-9_]{0,31})\}")
_WORD: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~-]{0,127}")
_SHOWN: Final = 80


def places_in(texts: Iterable[str]) -> tuple[str, ...]:
    """The names of all places in these texts, sorted (rule 1).

    Raises:
        BadKindError: A brace is no place.
    """
    found: set[str] = set()
    for one in texts:
        if set("{}") & set(_PLACE.sub("", one)):
            raise BadKindError(f"`{escape_text(one[:_SHOWN])}` has a brace that is no place of a parameter")
        found |= set(_PLACE.findall(one))
    return tuple(sorted(found))


def fill(text: str, context: Mapping[str, str]) -> str:
    """The text with what was asked for in its places (rule 2).

    Raises:
        BadKindError: A value can't stand there, or there is none.
    """
    for name in places_in([text]):
        value = context.get(name, "")
        if _WORD.fullmatch(value) is None:
            raise BadKindError(f"what was asked for as `{name}` is no word of letters, digits and `._~-`")
        text = text.replace(f"{{{name}}}", value)
    return text
