"""The oracle of what screens show: from a text as `escape_text` wrote it back to the text."""

from __future__ import annotations

import re
from typing import Final

from taskbound.core.action import escape_text

_LONG: Final = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}
_ESCAPE: Final = re.compile(r"\\(?:([\\nrt])|u\{([0-9A-F]{1,6})(?:x([1-9][0-9]{0,6}))?\})?")
_LAST: Final = 0x10FFFF
_LONGEST: Final = 1_048_576
"""Of no character a text that is shown has more in a row."""


class NotShownError(Exception):
    """No text is shown so."""


def unescape_text(shown: str) -> str:
    """The text that was shown so.

    Raises:
        NotShownError: No text is shown so.
    """
    text = _ESCAPE.sub(_meaning, shown)
    if escape_text(text) != shown:
        raise NotShownError(shown)
    return text


def _meaning(escape: re.Match[str]) -> str:
    short, code, count = escape.groups()
    if short is not None:
        return _LONG[short]
    if code is None or int(code, 16) > _LAST or int(count or 1) > _LONGEST:
        raise NotShownError(escape[0])
    return chr(int(code, 16)) * int(count or 1)
