"""Frames on the socket, and the framing of HTTP heads.

Of `frame`:
1. Four bytes, big-endian, give the length of the document in bytes.
2. A document is at most `MAX_FRAME` bytes, or the socket's own limit; a longer one ends the connection.
3. A request has an id chosen by the client, unique while it is open, and its reply the same; a push has none.
4. Unknown fields and tags are refused, so mixed versions fail instead of guessing.
Of `framing`:
HTTP libraries merge equal lengths or take the first of two. Another reader may not, so every raw head is
checked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from taskbound.core.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from email.message import Message as Headers


HEADER: Final = 4
"""Bytes of the length that comes before each document."""
MAX_FRAME: Final = 4 * 1024 * 1024
"""The longest document in bytes: an answer of 1 MiB, escaped, and its envelope."""

T = TypeVar("T")
_encoder = msgspec.json.Encoder()


class FrameError(MalformedError):
    """A frame that is too long or does not hold what its tag promises."""

    code = "bad-frame"
    remedy = (
        "use the same version of taskbound on both sides: after an update end the daemon that runs since"
        " before it (`taskbound doctor` names its process)"
    )


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The base of all messages: frozen, named fields only, unknown fields refused."""


class Request(Message, frozen=True):
    """The base of all requests to the daemon, each with its `op`."""


class Response(Message, frozen=True):
    """The base of all answers of the daemon, each with what it `is`."""


def encode_frame(message: object, *, limit: int = MAX_FRAME) -> bytes:
    """Returns a message with its length in front; raises FrameError beyond the limit."""
    body = _encoder.encode(message)
    if len(body) > limit:
        raise FrameError(f"a message of {len(body)} bytes is over the limit of {limit}")
    return len(body).to_bytes(HEADER, "big") + body


def frame_length(header: bytes, *, limit: int = MAX_FRAME) -> int:
    """Returns the length in a frame header; raises FrameError beyond the limit."""
    length = int.from_bytes(header, "big")
    if length > limit:
        raise FrameError(f"a message of {length} bytes is over the limit of {limit}")
    return length


class FrameBuffer:
    """Cuts a byte stream into documents."""

    def __init__(self, *, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._bytes = bytearray()

    def __len__(self) -> int:
        """Returns the bytes kept of an incomplete document."""
        return len(self._bytes)

    def feed(self, data: bytes) -> list[bytes]:
        """Returns the complete documents in order; after a FrameError the stream is unusable."""
        self._bytes += data
        found: list[bytes] = []
        start = 0
        while len(self._bytes) - start >= HEADER:
            body = start + HEADER
            end = body + frame_length(bytes(self._bytes[start:body]), limit=self._limit)
            if len(self._bytes) < end:
                break
            found.append(bytes(self._bytes[body:end]))
            start = end
        if start:
            del self._bytes[:start]
        return found


def decode_frame(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Returns the message in these bytes; raises FrameError if they hold none of the decoder's type."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise FrameError(f"the message can't be read: {error}") from error


_LENGTH: Final = re.compile(
    rb"^content-length[ \t]*:[ \t]*([^\r\n]*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)


def read_lengths(raw: bytes) -> Sequence[bytes]:
    """Returns the value of each `Content-Length` line of a head."""
    return _LENGTH.findall(raw)


def has_one_length(values: Sequence[bytes]) -> bool:
    """Returns whether there is at most one length, a number; `5, 5` is not one."""
    return len(values) <= 1 and all(one.isdigit() for one in values)


def require_one_framing(headers: Headers) -> None:
    """Raises ValueError for two lengths, or for a length beside chunks."""
    lengths = [one.encode("latin-1", "replace") for one in headers.get_all("content-length", [])]
    if not has_one_length(lengths) or (lengths and "transfer-encoding" in headers):
        raise ValueError("the body is framed in two ways")
