"""Canonical JSON (RFC 8785), and the exact bytes of an object's members.

1. Keys are sorted by their UTF-16 code units (RFC 8785 §3.2.3).
2. Numbers are written as ECMAScript writes them (RFC 8785 §3.2.2.3); NaN and the infinities are refused.
3. A whole number beyond ±(2^53 - 1) is refused if its canonical text would be an integer, because other
   readers round it. From 1e21 on the text has an exponent and is allowed.
4. Strings are never normalized; a lone surrogate is refused.

Python's C encoder is used where a quick survey shows that it writes the same bytes.
"""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from taskbound.core.action.errors import (
    DuplicateKeyError,
    LoneSurrogateError,
    NotAnObjectError,
    NotFiniteError,
    NotJsonError,
    NumberRangeError,
    TooDeepError,
    UnwritableError,
)
from taskbound.core.action.text import escape_text

if TYPE_CHECKING:
    from collections.abc import Iterable


JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None

MAX_INTEGER: Final = 2**53 - 1
"""The largest whole number that every reader of JSON takes for itself (RFC 7493 §2.2)."""

EXPONENT_FROM: Final = 1e21
"""From here on ECMAScript writes a number with an exponent."""

# Between these, a float that isn't whole has ECMAScript's text for its `repr`.
_PLAIN_FROM: Final = 1e-4
_PLAIN_BELOW: Final = 1e16
_LITERALS: Final = {None: "null", True: "true", False: "false"}
_ASTRAL: Final = re.compile("[\U00010000-\U0010ffff]")


def _unwritable(value: object) -> NoReturn:
    raise UnwritableError(f"JSON has no word for a value of type `{type(value).__name__}`")


_ENCODE: Final = json.JSONEncoder(
    ensure_ascii=False,
    check_circular=False,
    allow_nan=False,
    sort_keys=True,
    separators=(",", ":"),
).encode

quote: Final = json.encoder.encode_basestring
"""A string's canonical text, with its quotes (RFC 8785 §3.2.2.2)."""


def canonical(value: JsonValue) -> bytes:
    """Returns the canonical bytes; raises a `MalformedError` if there are none (rules 2 to 4)."""
    try:
        plain = _survey((value,))
        text = _ENCODE(value) if plain else _write(value)
        if plain and not text.isascii() and _ASTRAL.search(text) and _has_astral_key(value):
            text = _write(value)
    except RecursionError as error:
        raise TooDeepError("the value is nested too deeply to be written") from error
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise LoneSurrogateError("a string holds half of a surrogate pair") from error


def number_text(number: float) -> str:
    """Returns ECMAScript's text of a number (ECMA-262 Number::toString, radix 10), from `repr`'s digits."""
    if not isfinite(number):
        raise NotFiniteError("a number that isn't finite has no text in JSON")
    if number == 0:
        return "0"
    mantissa, mark, power = float.__repr__(number).partition("e")
    if not mark:
        return mantissa.removesuffix(".0")
    exponent = int(power)
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.removeprefix("-").partition(".")
    if exponent >= 0 and abs(number) < EXPONENT_FROM:
        return sign + (whole + fraction).ljust(exponent + 1, "0")
    if -7 < exponent < 0:  # noqa: PLR2004 -- ECMA-262 says so
        return f"{sign}0.{'0' * (-exponent - 1)}{whole}{fraction}"
    return f"{mantissa}e{exponent:+d}"


def _survey(values: Iterable[JsonValue]) -> bool:
    """Returns whether the C encoder writes all numbers as RFC 8785 does; runs for every value."""
    plain = True
    for item in values:
        if type(item) is str or item is None or type(item) is bool:
            continue
        if isinstance(item, int):
            if not -MAX_INTEGER <= item <= MAX_INTEGER:
                _refuse_range()
        elif isinstance(item, dict):
            _require_string_keys(item)
            plain &= _survey(item.values())
        elif isinstance(item, list):
            plain &= _survey(item)
        elif isinstance(item, float):
            plain &= _PLAIN_FROM <= abs(item) < _PLAIN_BELOW and not item.is_integer()
        elif not isinstance(item, str):
            _unwritable(item)
    return plain


def _write(value: JsonValue) -> str:
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, dict):
        return "{" + ",".join([f"{quote(key)}:{_write(value[key])}" for key in _in_order(value)]) + "}"
    if isinstance(value, list):
        return "[" + ",".join([_write(item) for item in value]) + "]"
    if value is None or isinstance(value, bool):
        return _LITERALS[value]
    return int.__repr__(value)


def _float(number: float) -> str:
    size = abs(number)
    if _PLAIN_FROM <= size <= MAX_INTEGER:
        return float.__repr__(number).removesuffix(".0")
    if MAX_INTEGER < size < EXPONENT_FROM:
        _refuse_range()
    return number_text(number)


def _in_order(value: dict[str, JsonValue]) -> list[str]:
    """Sorts keys by rule 1, which differs from code point order only for keys beyond the first plane."""
    if _ASTRAL.search("".join(value)):
        return sorted(value, key=_utf16)
    return sorted(value)


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


def _has_astral_key(value: JsonValue) -> bool:
    if isinstance(value, dict):
        return any(_ASTRAL.search(key) or _has_astral_key(item) for key, item in value.items())
    return isinstance(value, list) and any(_has_astral_key(item) for item in value)


def _refuse_range() -> NoReturn:
    raise NumberRangeError("a whole number beyond 2^53 - 1 either way is read differently by others")


def _require_string_keys(value: dict[str, JsonValue]) -> None:
    for key in value:
        if not isinstance(key, str):
            _refuse_key(key)


def _refuse_key(key: object) -> NoReturn:
    raise UnwritableError(f"a key of an object is a string, not of type `{type(key).__name__}`")


_OPEN: Final = re.compile(r"[ \t\n\r]*\{")
_KEY: Final = re.compile(r'[ \t\n\r]*("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\n\r]*:[ \t\n\r]*', re.DOTALL)
_NEXT: Final = re.compile(r"[ \t\n\r]*([,}])")
_END: Final = re.compile(r"[ \t\n\r]*\Z")
# Numbers are only passed over, never computed.
_READER: Final = json.JSONDecoder(parse_int=str, parse_float=str)
_SHOWN: Final = 64


def members(raw: bytes) -> dict[str, bytes]:
    """Returns the raw bytes of each member's value, by key, in the order received.

    Parsing and encoding again would change the bytes (`1e2`, escapes). `raw` must be an object that
    `parse_document` accepted, or a slice that this function returned; no limits are checked again.
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
    brace = _OPEN.match(text)
    if brace is None:
        raise NotAnObjectError("the document is not a JSON object")
    after = _NEXT.match(text, brace.end())
    return (after.end(), "}") if after and after[1] == "}" else (brace.end(), ",")


def _read_key(text: str, at: int) -> tuple[str, int]:
    found = _KEY.match(text, at)
    if found is None:
        raise NotJsonError("a key with its value was expected")
    written = found[1]
    key: str = _READER.decode(written) if "\\" in written else written[1:-1]
    return key, found.end()


def _next(text: str, at: int) -> tuple[int, str]:
    found = _NEXT.match(text, at)
    if found is None:
        raise NotJsonError("a comma or the object's end was expected")
    return found.end(), found[1]
