"""How long a body of HTTP/1.1 is said to be: once, as a number (RFC 9112 §6.3).

Libraries take several equal lengths for one, or the first of two that differ. Another reader on the way may
not, so each head is looked at as it was written, wherever one is read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from email.message import Message


_LENGTH: Final = re.compile(
    rb"^content-length[ \t]*:[ \t]*([^\r\n]*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)


def read_lengths(raw: bytes) -> Sequence[bytes]:
    """The value of each `Content-Length` line of a head."""
    return _LENGTH.findall(raw)


def has_one_length(values: Sequence[bytes]) -> bool:
    """Whether a length is said once at most, as a number: `5, 5` is none."""
    return len(values) <= 1 and all(one.isdigit() for one in values)


def require_one_framing(headers: Message) -> None:
    """Go on only with a body that ends in one place for every reader: by one length, or by chunks.

    Raises:
        ValueError: It says two lengths, or a length beside chunks.
    """
    lengths = [one.encode("latin-1", "replace") for one in headers.get_all("content-length", [])]
    if not has_one_length(lengths) or (lengths and "transfer-encoding" in headers):
        raise ValueError("the body is framed in two ways")
