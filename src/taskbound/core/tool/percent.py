"""A text in a part of a URL, and back: UTF-8, percent-encoded (RFC 3986, section 2.1).

1. What is unreserved there stands as it is; every other byte is `%` and two capital hexadecimal digits.
2. Read, a `%` that begins no such triple is refused, and so is what is no UTF-8.
"""

from __future__ import annotations

import re
from typing import Final

_OPEN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_TRIPLE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")


def encoded(text: str) -> str:
    """The text as it stands in a URL (rule 1).

    Raises:
        UnicodeEncodeError: It holds half a surrogate pair.
    """
    return "".join(chr(one) if one in _OPEN else f"%{one:02X}" for one in text.encode())


def decoded(text: str) -> str:
    """The text that this stands for.

    Raises:
        ValueError: It stands for none (rule 2).
    """
    raw = text.encode()
    if b"%" in _TRIPLE.sub(b"", raw):
        raise ValueError("a `%` that begins no byte")
    return _TRIPLE.sub(lambda found: bytes((int(found[1], 16),)), raw).decode()
