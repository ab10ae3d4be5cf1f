"""The strict JSON reader for untrusted bytes: returns one value or raises one named error.

Rules, in the order in which they are applied:

1. At most 1 MiB, and not empty.
2. UTF-8 (RFC 8259 §8.1) without a byte order mark.
3. Arrays and objects are nested at most 64 deep and number at most 65,536. This is checked before parsing, so
   that deep or long input can neither exhaust the stack nor hold up other callers.
4. RFC 8259 without extensions: no comments, trailing commas or bare control characters.
5. No duplicate key in an object, whatever its spelling (RFC 7493 §2.3).
6. No NaN, no infinity, no number that overflows to one.
7. Whole numbers within ±(2^53 - 1), in any spelling; only zero may read as zero (`1e-400` is refused). From
   1e21 on, a number written with an exponent may be larger. Fractions round to the nearest double.
8. No lone surrogate (RFC 7493 §2.1).
9. Only whitespace after the document.

A whole number becomes an `int` in any spelling (`1`, `1.0`, `10e-1`), so reading the output of `canonical`
returns the judged value with the same types.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import accumulate
from math import isinf
from typing import TYPE_CHECKING, Final, NoReturn

from taskbound.core.action.canonical import EXPONENT_FROM, MAX_INTEGER
from taskbound.core.action.errors import (
    ByteOrderMarkError,
    DuplicateKeyError,
    EmptyDocumentError,
    LoneSurrogateError,
    NotAnObjectError,
    NotFiniteError,
    NotJsonError,
    NotUtf8Error,
    NumberRangeError,
    TooDeepError,
    TooLargeError,
    TooManyPartsError,
    TrailingDataError,
)
from taskbound.core.action.text import escape_text
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue


_MARK: Final = b"\xef\xbb\xbf"
_SPACE: Final = " \t\n\r"
_BRACKETS: Final = b"[]{}"
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(_BRACKETS))
_CHUNK: Final = 4096
_SHOWN: Final = 64
_MAX_DIGITS: Final = 16
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_NONZERO: Final = re.compile(r"^[^eE]*[1-9]")
_MARKED: Final = re.compile("[eE]")

# For bytes.translate: each opening bracket becomes 1 and each closing one -1 (a signed byte).
_STEPS: Final = bytes.maketrans(_BRACKETS, b"\x01\xff\x01\xff")
_OPENING: Final = b"\x01"
# And: each digit becomes 0, an exponent mark e; signs and points are deleted.
_NUMERALS: Final = bytes.maketrans(b"123456789E", b"000000000e")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits on size, depth and number of arrays and objects."""

    size: int = 1_048_576
    """Bytes."""
    depth: int = 64
    """Arrays and objects inside each other; a single value has depth 0."""
    parts: int = 65_536
    """Arrays and objects in all."""


LIMITS: Final = Limits()


def parse_document(raw: bytes, *, limits: Limits = LIMITS) -> JsonValue:
    """Returns the value of the bytes. Raises the `MalformedError` of the first broken rule."""
    require_size(raw, limits=limits)  # 1
    text = _decode(raw).strip(_SPACE)  # 2
    if not text:
        raise EmptyDocumentError("there is no document")  # 1
    require_shape(raw, limits=limits)  # 3
    value, end = _read(raw, text)  # 4, 5, 6, 7
    if b"\\u" in raw and _SURROGATE_ESCAPE.search(raw):
        _require_whole_characters(value)  # 8
    if end != len(text):
        raise TrailingDataError(  # 9
            "something stands behind the end of the document", where=_place(raw, text, end)
        )
    return value


def parse_object(raw: bytes, *, limits: Limits = LIMITS) -> dict[str, JsonValue]:
    """Like `parse_document`, and raises NotAnObjectError if the document is not an object."""
    value = parse_document(raw, limits=limits)
    if not isinstance(value, dict):
        raise NotAnObjectError("the document is not a JSON object")
    return value


def require_size(raw: bytes, *, limits: Limits = LIMITS) -> None:
    """Raises TooLargeError if the bytes exceed the limit (rule 1)."""
    if len(raw) > limits.size:
        raise TooLargeError(f"the document has {len(raw)} bytes; at most {limits.size} are read")


def require_shape(raw: bytes, *, limits: Limits = LIMITS) -> None:
    """Checks rule 3 in linear time without reading a value; raises TooDeepError or TooManyPartsError."""
    if raw.count(b"[") + raw.count(b"{") <= limits.depth:
        return
    if b"\\" in raw:
        # From the left, so that the second of two backslashes never escapes a quote.
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = b"".join(raw.split(b'"')[::2]).translate(_STEPS, _NOT_BRACKETS)
    steps = memoryview(outside).cast("b")
    depth = 0
    for at in range(0, len(steps), _CHUNK):
        depths = list(accumulate(steps[at : at + _CHUNK], initial=depth))
        if max(depths) > limits.depth:
            raise TooDeepError(f"arrays and objects stand more than {limits.depth} deep in each other")
        depth = depths[-1]
    if outside.count(_OPENING) > limits.parts:
        raise TooManyPartsError(f"there are more than {limits.parts} arrays and objects")


def _decode(raw: bytes) -> str:
    if raw.startswith(_MARK):
        raise ByteOrderMarkError("the document begins with a byte order mark")
    if b"\x00" in raw[:4]:
        raise NotUtf8Error("the document is not UTF-8, but looks like UTF-16 or UTF-32")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise NotUtf8Error(f"byte {error.start} is not UTF-8", where=f"byte {error.start}") from error


def _read(raw: bytes, text: str) -> tuple[JsonValue, int]:
    numerals = raw.translate(_NUMERALS, b"+-.")
    # Python's C code reads all numbers correctly except those with 16 digits or more, with an
    # exponent, or with a zero after the point, where a float may be whole.
    if b"0000000000000000" in numerals:
        reader = _CAREFUL
    elif b"e0" in numerals or b".0" in raw:
        reader = _CAREFUL_OF_FLOATS
    else:
        reader = _PLAIN
    try:
        return reader.raw_decode(text)
    except RecursionError as error:  # only when `limits` allow more than Python does
        raise TooDeepError("arrays and objects stand too deep in each other") from error
    except json.JSONDecodeError as error:
        where = _place(raw, text, error.pos)
        raise NotJsonError(f"the text is not JSON from {where} on", where=where) from error


def _place(raw: bytes, text: str, at: int) -> str:
    start = len(raw) - len(raw.lstrip(_SPACE.encode()))
    return f"byte {start + len(text[:at].encode())}"


def _read_object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = Counter(key for key, _ in pairs)
        shown = escape_text(keys.most_common(1)[0][0][:_SHOWN])
        raise DuplicateKeyError(f"the key `{shown}` stands more than once in one object", where=shown)
    return value


def _read_integer(numeral: str) -> int:
    if len(numeral) > _MAX_DIGITS + 1:  # and int() would take minutes, or refuse, at a million digits
        _refuse_range()
    number = int(numeral)
    if not -MAX_INTEGER <= number <= MAX_INTEGER:
        _refuse_range()
    return number


def _read_float(numeral: str) -> int | float:
    number = float(numeral)
    if -MAX_INTEGER <= number <= MAX_INTEGER:
        if number:
            return int(number) if number.is_integer() else number
        if numeral.strip("-.0") and _NONZERO.search(numeral):
            raise NumberRangeError("a number that isn't zero reads as zero")
        return 0
    if isinf(number):
        raise NotFiniteError("a number is too large for any reader")
    if abs(number) < EXPONENT_FROM or _MARKED.search(numeral) is None:
        _refuse_range()
    return number


def _refuse_range() -> NoReturn:
    raise NumberRangeError("a whole number lies beyond 2^53 - 1 either way")


def _refuse_constant(name: str) -> NoReturn:
    raise NotFiniteError(f"`{name}` is not a number of JSON")


def _require_whole_characters(value: JsonValue) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise LoneSurrogateError("a string holds half of a surrogate pair") from error


# Made once; which one reads, `_read` says.
_PLAIN: Final = json.JSONDecoder(object_pairs_hook=_read_object, parse_constant=_refuse_constant)
_CAREFUL_OF_FLOATS: Final = json.JSONDecoder(
    object_pairs_hook=_read_object, parse_constant=_refuse_constant, parse_float=_read_float
)
_CAREFUL: Final = json.JSONDecoder(
    object_pairs_hook=_read_object,
    parse_constant=_refuse_constant,
    parse_float=_read_float,
    parse_int=_read_integer,
)
