"""A stream of server-sent events cut into messages, within bounds, before anything else has looked at them.

1. A line ends at a line feed, with at most one carriage return before it. The standard also ends one at a
   bare carriage return; whoever sends one is not read here, because other readers see other lines.
2. Fields are `data`, `event`, `id` and `retry`; others and comments are nothing. Events of another type than
   `message` are nothing either.
3. Where the stream can be taken up again (`last`) is known at the end of an event, never within one: what
   was cut off comes again. What can't stand in a header is no place to take it up from.
4. Lines and events are at most `limit` bytes; what is longer ends the stream.
5. The lines of one message are JSON of several lines. Their ends become spaces: inside a text of JSON none
   can stand, so that nothing but the space between tokens changes.
"""

from __future__ import annotations

import re
from typing import Final

from taskbound.adapters.upstream.mcp.http.errors import BrokenAnswerError

_MESSAGE: Final = b"message"

_ID: Final = re.compile(rb"[!-~]{1,1024}")
_RETRY: Final = re.compile(rb"[0-9]{1,9}")
_SPACES: Final = bytes.maketrans(b"\r\n", b"  ")
_LEAST: Final = 0.05
_MOST: Final = 30.0
"""Seconds between which a server's wish how soon to come back is kept."""
_MARK: Final = b"\xef\xbb\xbf"


def one_line(document: bytes) -> bytes:
    """A JSON document as one line (rule 5)."""
    return document.translate(_SPACES) if b"\n" in document or b"\r" in document else document


class EventCutter:
    """Cuts one answer of one server."""

    def __init__(self, limit: int) -> None:
        """Start before the first event."""
        self._limit = limit
        self._first = True
        self._line: list[bytes] = []
        self._size = 0
        self._data: list[bytes] = []
        self._data_size = 0
        self._type = b""
        self._id: str | None = None
        self.last = ""
        """The id of the last event that ended; empty when the stream can't be taken up again."""
        self.retry = 1.0
        """Seconds to wait before that."""

    @property
    def held(self) -> int:
        """Bytes that are kept of what is not complete."""
        return self._size + self._data_size

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now, each one line.

        Raises:
            BrokenAnswerError: Something is too long, or reads in two ways.
        """
        found: list[bytes] = []
        *lines, rest = data.split(b"\n")
        for line in lines:
            whole = b"".join((*self._line, line))
            self._line.clear()
            self._size = 0
            self._field(whole, found)
        if rest:
            self._line.append(rest)
            self._size += len(rest)
        if self.held > self._limit:
            raise BrokenAnswerError("too-large", f"the server's answer is over {self._limit} bytes")  # 4
        return found

    def _field(self, line: bytes, found: list[bytes]) -> None:
        line = line.removesuffix(b"\r")
        if self._first:
            line, self._first = line.removeprefix(_MARK), False
        if b"\r" in line:
            raise BrokenAnswerError(
                "bare-return", "a carriage return stands inside a line of the answer"
            )  # 1
        if not line:
            self._end(found)
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._data_size += len(value) + 1
        elif name == b"event":
            self._type = value
        elif name == b"id":
            self._id = value.decode("ascii") if _ID.fullmatch(value) else ""  # 3
        elif name == b"retry" and _RETRY.fullmatch(value):
            self.retry = min(max(int(value) / 1_000, _LEAST), _MOST)

    def _end(self, found: list[bytes]) -> None:
        data, kind = b"\n".join(self._data), self._type or _MESSAGE
        if self._id is not None:
            self.last = self._id
        self._data.clear()
        self._data_size = 0
        self._type, self._id = b"", None
        if len(data) > self._limit:
            raise BrokenAnswerError("too-large", f"the server's answer is over {self._limit} bytes")  # 4
        if data and kind == _MESSAGE:
            found.append(one_line(data))  # 5
