"""What a server of Redis' protocol is sent and answers: RESP2, with an end in time and in size.

1. Nothing waits longer than the deadline, whatever comes meanwhile and however slowly.
2. An answer has a bound in bytes, one in items (each is more in memory than it was sent as) and one in
   depth. One that breaks a bound, and what is no RESP2, is no answer, and the connection is of no use any
   more.
3. What a server refuses is told apart by its code alone, the first word in capitals. Its text is kept for
   who knows its words, and is in no repr: it may quote what it was sent.

https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

import re
import select
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

__all__ = ["ANSWER", "LISTED", "Answer", "LostError", "Refusal", "Speech"]

ANSWER: Final = 1_048_576
"""Bytes of an answer, where nobody says another bound."""
LISTED: Final = 67_108_864
"""Bytes of a list of users or sessions: 50,000 names are 2.5 million, 50,000 sessions 20 million."""
_MOST_ITEMS: Final = 1_000_000
"""Items of an answer: twenty times what is ever listed."""
_DEEPEST: Final = 8
_MOST_LINE: Final = 4_096
"""Bytes of a line: a number, a word, or why something is refused."""
_PIECE: Final = 65_536
_LEAST: Final = 0.005
"""Seconds: what is left for less isn't begun."""
_CODE: Final = re.compile(rb"[A-Z][A-Z_]{1,31}")
_NUMBER: Final = re.compile(rb"-?[0-9]{1,19}")
_END: Final = b"\r\n"


class LostError(Exception):
    """No whole answer came, or not in time; never leaves the adapter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer that is an error."""

    code: str
    """`NOPERM`, `WRONGPASS`, `ERR`; empty where it has none."""
    text: str = field(repr=False)
    """All of it, in lower case (rule 3)."""


Answer: TypeAlias = "bytes | int | Refusal | list[Answer] | None"


class Speech:
    """One connection, used by one thread at a time."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        """Speak by this socket until the deadline, an instant of `time.monotonic`."""
        self._socket = connected
        self._deadline = deadline
        self._came = bytearray()
        self._whole = True
        """Whether all that was asked is answered."""
        self._left = 0
        """Bytes that the answer may still have."""
        self._items = 0
        """Items that it may still have."""

    def ask(self, commands: Sequence[Sequence[str]], *, most: int = ANSWER) -> list[Answer]:
        """What is answered to each of these, which are sent at once.

        Args:
            commands: Words of each.
            most: Bytes that each answer may have.

        Raises:
            LostError: The connection is of no use any more; any of them may have been done.
        """
        try:
            self._whole = False
            self._wait()
            self._socket.sendall(b"".join(map(_written, commands)))
            found = [self._answer(most) for _ in commands]
        except (OSError, ValueError) as error:
            raise LostError(type(error).__name__) from None

        self._whole = True
        return found

    def again(self, deadline: float) -> bool:
        """Whether more can be asked, until this deadline: it was not shut, and says nothing unasked."""
        self._deadline = deadline
        waits = select.poll()
        waits.register(self._socket, select.POLLIN)
        return self._whole and not self._came and not waits.poll(0)

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def _answer(self, most: int) -> Answer:
        self._left, self._items = most, _MOST_ITEMS
        return self._read(0)

    def _read(self, depth: int) -> Answer:
        line = self._line()
        kind, rest = line[:1], line[1:]
        match kind:
            case b"+":
                return rest
            case b"-":
                found = _CODE.match(rest)
                code = found[0].decode() if found else ""
                return Refusal(code=code, text=rest.decode("utf-8", "replace").lower())
            case b":":
                return _number(rest)
            case b"$":
                return self._bulk(_number(rest))
            case b"*" if depth < _DEEPEST:
                count = _number(rest)
                return None if count == -1 else self._list(count, depth + 1)
            case _:
                raise LostError("no RESP2")  # 2

    def _bulk(self, size: int) -> bytes | None:
        if size == -1:
            return None
        self._fits(size)
        while len(self._came) < size + len(_END):
            self._more()
        found = bytes(self._came[:size])
        if self._came[size : size + len(_END)] != _END:
            raise LostError("no RESP2")
        self._drop(size + len(_END))
        return found

    def _list(self, count: int, depth: int) -> list[Answer]:
        self._items -= self._fits(count)
        if self._items < 0:
            raise LostError("more than an answer may be")
        return [self._read(depth) for _ in range(count)]

    def _line(self) -> bytes:
        while (end := self._came.find(_END)) < 0:
            if len(self._came) > _MOST_LINE:
                raise LostError("a line without an end")
            self._more()
        if end > _MOST_LINE:
            raise LostError("a line without an end")
        found = bytes(self._came[:end])
        self._drop(end + len(_END))
        return found

    def _fits(self, size: int) -> int:
        """The size of what comes, which has room: each item of a list is 3 bytes at least (rule 2)."""
        if not 0 <= size <= self._left:
            raise LostError("more than an answer may be")
        return size

    def _drop(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise LostError("more than an answer may be")
        del self._came[:size]

    def _more(self) -> None:
        self._wait()
        piece = self._socket.recv(_PIECE)
        if not piece:
            raise LostError("it was shut")
        self._came += piece

    def _wait(self) -> None:
        """Have the next call of the socket end at the deadline (rule 1)."""
        left = self._deadline - time.monotonic()
        if left < _LEAST:
            raise TimeoutError
        self._socket.settimeout(left)


def _number(raw: bytes) -> int:
    if _NUMBER.fullmatch(raw) is None:
        raise LostError("no RESP2")
    return int(raw)


def _written(words: Sequence[str]) -> bytes:
    """A command as a list of texts, each with its size: nothing in a word is more than that word.

    Bytes that are no text stand in a word as `surrogateescape` has them.
    """
    texts = [one.encode(errors="surrogateescape") for one in words]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%s\r\n" % (len(one), one) for one in texts)
