"""The exact bytes of an object's members: what is passed on is what was received.

Reading and writing JSON again changes it (`1e2`, escapes, long fractions). So what only
passes through, a result, an id, is cut out of the message that `parse_document` has read.
"""

from __future__ import annotations

import json
import re
from typing import Final

from taskbound.core.action.errors import (
    DuplicateKeyError,
    NotAnObjectError,
    NotJsonError,
)
from taskbound.core.action.escape import escape_text

_OPEN: Final = re.compile(r"[ \t\n\r]*\{")
_KEY: Final = re.compile(r'[ \t\n\r]*("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\n\r]*:[ \t\n\r]*', re.DOTALL)
_NEXT: Final = re.compile(r"[ \t\n\r]*([,}])")
_END: Final = re.compile(r"[ \t\n\r]*\Z")
# Numbers are only passed over, never computed.
_READER: Final = json.JSONDecoder(parse_int=str, parse_float=str)
_SHOWN: Final = 64


def members(raw: bytes) -> dict[str, bytes]:
    """The raw bytes of each member's value of a JSON object, by key, in the order received.

    Args:
        raw: One document that `parse_document` has read without an error; this repeats none of
            its limits. For a nested object, pass the slice that this gave for it.

    Raises:
        NotAnObjectError: The document is something else.
        MalformedError: It isn't JSON after all.
    """
    try:
        return _split(raw, raw.decode())
    except (ValueError, RecursionError) as error:
        raise NotJsonError("the document can't be cut into its members") from error


def _split(raw: bytes, text: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    at, mark = _open(text)
    while mark == ",":
        key, start = _read_key(text, at)
        _, end = _READER.raw_decode(text, start)
        if key in found:
            raise DuplicateKeyError(
                f"the key `{escape_text(key[:_SHOWN])}` stands more than once in one object"
            )
        # When all is ASCII, places in the text are places in the bytes.
        found[key] = raw[start:end] if len(text) == len(raw) else text[start:end].encode()
        at, mark = _next(text, end)
    if _END.match(text, at) is None:
        raise NotJsonError("the document doesn't end with the object")
    return found


def _open(text: str) -> tuple[int, str]:
    """Where the first key is looked for, and `,` for "here it comes" or `}` for none."""
    brace = _OPEN.match(text)
    if brace is None:
        raise NotAnObjectError("the document is not a JSON object")
    after = _NEXT.match(text, brace.end())
    return (after.end(), "}") if after and after[1] == "}" else (brace.end(), ",")


def _read_key(text: str, at: int) -> tuple[str, int]:
    """The key that begins here, and where its value does."""
    found = _KEY.match(text, at)
    if found is None:
        raise NotJsonError("a key with its value was expected")
    written = found[1]
    key: str = _READER.decode(written) if "\\" in written else written[1:-1]
    return key, found.end()


def _next(text: str, at: int) -> tuple[int, str]:
    """What follows a value, `,` or `}`, and the place behind it."""
    found = _NEXT.match(text, at)
    if found is None:
        raise NotJsonError("a comma or the object's end was expected")
    return found.end(), found[1]
