"""Frames on the socket, and how they are read and written.

Of `frame`:

1. Four bytes, big-endian, give the length of the document in bytes.
2. A document is at most `MAX_FRAME` bytes, or what the socket has for its limit; a longer one ends the
   connection.
3. Requests carry an id chosen by the client, unique while it is open; a reply
   carries the same id; a push carries none.
4. Unknown fields and unknown tags refuse: mixed versions refuse, not guess.

Of `framing`:

Libraries take several equal lengths for one, or the first of two that differ. Another reader on the way may
not, so each head is looked at as it was written, wherever one is read.
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
    """What every message is: frozen, named fields only, nothing unknown."""


def encode_frame(message: object, *, limit: int = MAX_FRAME) -> bytes:
    """The bytes of one message with its length before it.

    Raises:
        FrameError: The message is longer than the limit.
    """
    body = _encoder.encode(message)
    if len(body) > limit:
        raise FrameError(f"a message of {len(body)} bytes is over the limit of {limit}")
    return len(body).to_bytes(HEADER, "big") + body


def frame_length(header: bytes, *, limit: int = MAX_FRAME) -> int:
    """How many bytes follow this header.

    Raises:
        FrameError: More than the limit.
    """
    length = int.from_bytes(header, "big")
    if length > limit:
        raise FrameError(f"a message of {length} bytes is over the limit of {limit}")
    return length


class FrameBuffer:
    """Cuts a byte stream into documents, however the bytes arrive."""

    def __init__(self, *, limit: int = MAX_FRAME) -> None:
        """Start empty; no document has more bytes than this."""
        self._limit = limit
        self._bytes = bytearray()

    def __len__(self) -> int:
        """Bytes that are kept of a document that is not complete."""
        return len(self._bytes)

    def feed(self, data: bytes) -> list[bytes]:
        """The documents that are complete now, in order.

        Raises:
            FrameError: A length is over the limit; the stream can't be used any more.
        """
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
    """The message that these bytes hold.

    Raises:
        FrameError: They hold no message of the decoder's type.
    """
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise FrameError(f"the message can't be read: {error}") from error


_LENGTH: Final = re.compile(
    rb"^content-length[ \t]*:[ \t]*([^\r\n]*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)


def read_lengths(raw: bytes) -> Sequence[bytes]:
    """The value of each `Content-Length` line of a head."""
    return _LENGTH.findall(raw)


def has_one_length(values: Sequence[bytes]) -> bool:
    """Whether a length is said once at most, as a number: `5, 5` is none."""
    return len(values) <= 1 and all(one.isdigit() for one in values)


def require_one_framing(headers: Headers) -> None:
    """Go on only with a body that ends in one place for every reader: by one length, or by chunks.

    Raises:
        ValueError: It says two lengths, or a length beside chunks.
    """
    lengths = [one.encode("latin-1", "replace") for one in headers.get_all("content-length", [])]
    if not has_one_length(lengths) or (lengths and "transfer-encoding" in headers):
        raise ValueError("the body is framed in two ways")
