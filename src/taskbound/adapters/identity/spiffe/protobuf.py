"""The few messages of the Workload API, read from protocol buffers; what isn't known is passed over.

Source: `workloadapi.proto` of SPIFFE; the encoding of Protocol Buffers. Two responses hold what is asked
for here, each a map from a trust domain's SPIFFE ID to bytes, so that a library with its own descriptors
has nothing to add.

1. A number has at most ten bytes, a field at least one, and nothing ends before its length says.
2. A trust domain that stands twice is refused: two readers would take two bundles for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.identity.trust import BadBundleError

if TYPE_CHECKING:
    from collections.abc import Iterator


_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED: Final = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_NUMBER: Final = 10
_SEVEN: Final = 0x7F
_MORE: Final = 0x80
_KEY, _VALUE = 1, 2


def read_map(message: bytes, number: int) -> dict[str, bytes]:
    """The map with texts as keys and bytes as values that stands in this field of a message.

    Raises:
        BadBundleError: The message is none, or a key stands twice.
    """
    found: dict[str, bytes] = {}
    for field, entry in _fields(message):
        if field != number:
            continue
        members = dict(
            _fields(entry)
        )  # of a field that stands twice the last one counts, as for every reader
        try:
            key = members.get(_KEY, b"").decode()
        except UnicodeDecodeError as error:
            raise BadBundleError("the message's text is not UTF-8") from error
        if key in found:
            raise BadBundleError("a trust domain stands twice in the message")  # 2
        found[key] = members.get(_VALUE, b"")
    return found


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each field that has a length."""
    at = 0
    while at < len(message):
        tag, at = _number(message, at)
        kind = tag & 7
        if not tag >> 3:
            raise BadBundleError("the message has a field without a number")
        if kind == _VARINT:
            _, at = _number(message, at)
        elif kind == _BYTES:
            size, at = _number(message, at)
            if size > len(message) - at:
                raise BadBundleError("the message ends too early")  # 1
            yield tag >> 3, message[at : at + size]
            at += size
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise BadBundleError("the message has a field of no known form")
    if at != len(message):
        raise BadBundleError("the message ends too early")  # 1


def _number(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_NUMBER):
        if at >= len(message):
            raise BadBundleError("the message ends too early")  # 1
        one = message[at]
        at += 1
        value |= (one & _SEVEN) << (7 * place)
        if not one & _MORE:
            return value, at
    raise BadBundleError("a number of the message is too long")  # 1
