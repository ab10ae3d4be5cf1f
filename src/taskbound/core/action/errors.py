"""Why bytes can't be read as one JSON document, or a value can't be written as one."""

from __future__ import annotations

from taskbound.core.errors import MalformedError


class TooLargeError(MalformedError):
    """The document has more bytes than may be read."""

    code = "too-large"
    remedy = "pass large content by reference, with its digest"


class TooDeepError(MalformedError):
    """Arrays and objects stand deeper in each other than may be read."""

    code = "too-deep"
    remedy = "nest arrays and objects less deeply"


class TooManyPartsError(MalformedError):
    """The document has more arrays and objects than may be read."""

    code = "too-many-parts"
    remedy = "pass large content by reference, with its digest"


class EmptyDocumentError(MalformedError):
    """There is nothing, or nothing but whitespace."""

    code = "empty-document"
    remedy = "send one JSON document"


class ByteOrderMarkError(MalformedError):
    """The document begins with a byte order mark (RFC 8259 §8.1 forbids sending one)."""

    code = "byte-order-mark"
    remedy = "send UTF-8 without a byte order mark"


class NotUtf8Error(MalformedError):
    """The bytes are not UTF-8: another encoding, or broken."""

    code = "not-utf8"
    remedy = "send UTF-8"


class NotJsonError(MalformedError):
    """The text is not JSON (RFC 8259)."""

    code = "not-json"
    remedy = "send strict JSON: no comments, no trailing commas, double quotes"


class TrailingDataError(MalformedError):
    """Something stands behind the end of the document."""

    code = "trailing-data"
    remedy = "send exactly one JSON document"


class DuplicateKeyError(MalformedError):
    """A key stands twice in one object, so that two readers may see two documents."""

    code = "duplicate-key"
    remedy = "give each key once"


class NotFiniteError(MalformedError):
    """NaN, an infinity, or a number that reads as one."""

    code = "not-finite"
    remedy = "send a finite number, or a string"


class NumberRangeError(MalformedError):
    """A number that other readers of JSON read as another one."""

    code = "number-range"
    remedy = "send whole numbers within 2^53 - 1 either way, and others as strings"


class LoneSurrogateError(MalformedError):
    """Half of a surrogate pair, which no UTF-8 can carry."""

    code = "lone-surrogate"
    remedy = "send whole characters"


class NotAnObjectError(MalformedError):
    """The document is a single value or an array where an object is expected."""

    code = "not-an-object"
    remedy = "send a JSON object"


class UnwritableError(MalformedError):
    """The value holds something that JSON has no word for."""

    code = "unwritable"
    remedy = "use null, booleans, numbers, strings, lists, and objects with strings as keys"
