"""The gate for raw bytes: one strict JSON document becomes one value, or one named error.

Rules, in the order in which they are applied:

1. At most 1 MiB; at least something that isn't whitespace.
2. UTF-8 (RFC 8259 §8.1), no byte order mark, no other encoding.
3. Arrays and objects stand at most 64 deep in each other, and are at most 65,536 in
   all. This is seen before anything is read, so that no depth can exhaust the reader,
   and no 1 MiB of brackets hold up everyone else (300 ms otherwise).
4. RFC 8259 and no more: no comments, no trailing commas, no bare control characters.
5. No key twice in one object, at any depth, however it is spelled (RFC 7493 §2.3).
6. No NaN, no infinity, no number that overflows to one.
7. Whole numbers within ±(2^53 - 1), whatever their spelling (`9007199254740993.0` is
   the whole number that it names); nothing but zero reads as zero (`1e-400` refuses).
   Only what ECMAScript itself would write with an exponent (from 1e21 on) and comes
   with one may be larger. A fraction is rounded to the nearest double, as everywhere.
8. No lone surrogate (RFC 7493 §2.1).
9. Nothing but whitespace behind the document.

A number that is whole is an `int`, however it is spelled: `1`, `1.0` and `10e-1` are
one value, as they have one canonical text. So reading what `canonical` wrote gives
back the value, types included, that was judged.
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
    """How much may be read."""

    size: int = 1_048_576
    """Bytes."""
    depth: int = 64
    """Arrays and objects inside each other; a single value has depth 0."""
    parts: int = 65_536
    """Arrays and objects in all."""


LIMITS: Final = Limits()


def parse_document(raw: bytes, *, limits: Limits = LIMITS) -> JsonValue:
    """The value that the bytes are, read once and strictly.

    Raises:
        TooLargeError: Rule 1.
        EmptyDocumentError: Rule 1.
        ByteOrderMarkError: Rule 2.
        NotUtf8Error: Rule 2.
        TooDeepError: Rule 3.
        TooManyPartsError: Rule 3.
        NotJsonError: Rule 4.
        DuplicateKeyError: Rule 5.
        NotFiniteError: Rule 6.
        NumberRangeError: Rule 7.
        LoneSurrogateError: Rule 8.
        TrailingDataError: Rule 9.
    """
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
    """The object that the bytes are: `parse_document` for arguments and messages.

    Raises:
        NotAnObjectError: The document is something else.
        MalformedError: As `parse_document`.
    """
    value = parse_document(raw, limits=limits)
    if not isinstance(value, dict):
        raise NotAnObjectError("the document is not a JSON object")
    return value


def require_size(raw: bytes, *, limits: Limits = LIMITS) -> None:
    """Go on only with so many bytes as may be read (rule 1).

    Raises:
        TooLargeError: There are more.
    """
    if len(raw) > limits.size:
        raise TooLargeError(f"the document has {len(raw)} bytes; at most {limits.size} are read")


def require_shape(raw: bytes, *, limits: Limits = LIMITS) -> None:
    """Go on only when arrays and objects are as few and as shallow as may be read (rule 3).

    Takes time linear in the bytes and reads no value. A document can't be deeper than its
    opening brackets are many, which settles most.

    Raises:
        TooDeepError: Something stands deeper.
        TooManyPartsError: There are more.
    """
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
    """The value, and where in the text it ends."""
    numerals = raw.translate(_NUMERALS, b"+-.")
    # Python's C code reads each number rightly but these: with 16 digits or more; with an
    # exponent, or a zero behind the point, a float that is whole or is none.
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
    """A place in the stripped text as an offset in the raw bytes."""
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
