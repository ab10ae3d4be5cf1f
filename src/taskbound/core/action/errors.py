"""Errors for bytes that are not one JSON document, and for values that JSON cannot hold."""

from __future__ import annotations

from taskbound.core.errors import MalformedError


class TooLargeError(MalformedError):
    """The document has more bytes than the limit."""

    code = "too-large"
    remedy = "pass large content by reference, with its digest"


class TooDeepError(MalformedError):
    """Arrays and objects are nested deeper than the limit."""

    code = "too-deep"
    remedy = "nest arrays and objects less deeply"


class TooManyPartsError(MalformedError):
    """The document has more arrays and objects than the limit."""

    code = "too-many-parts"
    remedy = "pass large content by reference, with its digest"


class EmptyDocumentError(MalformedError):
    """The document is empty or only whitespace."""

    code = "empty-document"
    remedy = "send one JSON document"


class ByteOrderMarkError(MalformedError):
    """The document begins with a byte order mark (RFC 8259 §8.1 forbids sending it)."""

    code = "byte-order-mark"
    remedy = "send UTF-8 without a byte order mark"


class NotUtf8Error(MalformedError):
    """The bytes are not valid UTF-8."""

    code = "not-utf8"
    remedy = "send UTF-8"


class NotJsonError(MalformedError):
    """The text is not JSON (RFC 8259)."""

    code = "not-json"
    remedy = "send strict JSON: no comments, no trailing commas, double quotes"


class TrailingDataError(MalformedError):
    """The document is followed by more than whitespace."""

    code = "trailing-data"
    remedy = "send exactly one JSON document"


class DuplicateKeyError(MalformedError):
    """An object has the same key twice, so two readers could see different documents."""

    code = "duplicate-key"
    remedy = "give each key once"


class NotFiniteError(MalformedError):
    """The number is NaN, an infinity, or overflows to an infinity."""

    code = "not-finite"
    remedy = "send a finite number, or a string"


class NumberRangeError(MalformedError):
    """Other JSON readers would read this number as a different value."""

    code = "number-range"
    remedy = "send whole numbers within 2^53 - 1 either way, and others as strings"


class LoneSurrogateError(MalformedError):
    """The text contains half of a surrogate pair, which UTF-8 cannot encode."""

    code = "lone-surrogate"
    remedy = "send whole characters"


class NotAnObjectError(MalformedError):
    """The document is an array or a single value where an object is required."""

    code = "not-an-object"
    remedy = "send a JSON object"


class UnwritableError(MalformedError):
    """The value holds something that JSON cannot represent."""

    code = "unwritable"
    remedy = "use null, booleans, numbers, strings, lists, and objects with strings as keys"
