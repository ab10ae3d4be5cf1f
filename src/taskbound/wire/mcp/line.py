r"""A stream of bytes cut into lines, with limits, before anything else has looked at them.

1. A line feed ends a line, and nothing else does: no carriage return, no U+2028.
2. One carriage return right before the line feed is left out. Any other raw one
   refuses the line: readers that end lines there would see two messages in one.
3. An empty line is nothing.
4. A line over the limit is never held: it is counted and hashed until its end.
5. What is left when the stream ends is half a message, and is never run.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.action.errors import TooLargeError
from taskbound.core.dataclass import dataclass
from taskbound.wire.mcp.errors import BareReturnError, HalfMessageError, LineSeparatorError

if TYPE_CHECKING:
    from taskbound.core.errors import MalformedError


_SEPARATORS: Final = (b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xc2\x85")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A line that can't be read: why, how long it was, and what of it there is."""

    error: MalformedError
    size: int
    sha256: str
    raw: bytes = b""
    """The line itself, empty when it was over the limit."""


Cut: TypeAlias = bytes | Refused


def require_one_line(written: bytes) -> None:
    """Go on only with bytes that every reader takes for one line.

    Canonical JSON writes U+0085, U+2028 and U+2029 as they are, and some servers end a line
    there (Node's `readline` does): the rest of a text could be a message of its own.

    Raises:
        LineSeparatorError: One of the three stands in it.
    """
    if written.isascii():  # 30 times quicker than to look for three, and true of most
        return
    for separator in _SEPARATORS:
        if separator in written:
            letter = ord(separator.decode())
            raise LineSeparatorError(f"a text holds U+{letter:04X}, where some servers end a line")


class LineCutter:
    """Cuts one direction of one stream."""

    def __init__(self, limit: int) -> None:
        """Start empty; a line of more than `limit` bytes is refused."""
        self._limit = limit
        self._held: list[bytes] = []
        self._size = 0
        self._hash = sha256()
        self._over = False

    @property
    def overflowing(self) -> bool:
        """Whether the line that is arriving is over the limit already."""
        return self._over

    def feed(self, data: bytes) -> list[Cut]:
        """The lines that are complete now, in order."""
        first, *rest = data.split(b"\n")
        self._hold(first)
        if not rest:
            return []
        lines = self._end()
        for line in rest[:-1]:
            self._hold(line)
            lines += self._end()
        self._hold(rest[-1])
        return lines

    def finish(self) -> Refused | None:
        """What is left at the end of the stream, if anything is (rule 5)."""
        if not self._size:
            return None
        raw, size, digest = self._take()
        return Refused(
            error=HalfMessageError("the stream ended inside a message"), size=size, sha256=digest, raw=raw
        )

    def _hold(self, part: bytes) -> None:
        if not part:
            return
        self._size += len(part)
        if self._over:
            self._hash.update(part)
        else:
            self._held.append(part)
            if self._size > self._limit + 1:  # one more: a carriage return may still be left out
                self._overflow()

    def _overflow(self) -> None:
        self._over = True
        for part in self._held:
            self._hash.update(part)
        self._held.clear()

    def _end(self) -> list[Cut]:
        """The line that ends here, unless it is nothing."""
        if self._over:
            _, size, digest = self._take()
            error = TooLargeError(f"a message of {size} bytes is over the limit of {self._limit}")
            return [Refused(error=error, size=size, sha256=digest)]  # 4
        line = b"".join(self._held) if len(self._held) != 1 else self._held[0]
        self._held.clear()
        self._size = 0
        if line.endswith(b"\r"):
            line = line[:-1]  # 2
        if not line:
            return []  # 3
        if b"\r" in line:
            return [_refuse(line, BareReturnError("a carriage return stands inside a line"))]  # 2
        if len(line) > self._limit:
            return [_refuse(line, TooLargeError(f"a message of {len(line)} bytes is over {self._limit}"))]
        return [line]

    def _take(self) -> tuple[bytes, int, str]:
        raw = b"".join(self._held)
        if not self._over:
            self._hash.update(raw)
        found = (raw, self._size, self._hash.hexdigest())
        self._held.clear()
        self._size = 0
        self._hash = sha256()
        self._over = False
        return found


def _refuse(line: bytes, error: MalformedError) -> Refused:
    return Refused(error=error, size=len(line), sha256=sha256(line).hexdigest(), raw=line)
