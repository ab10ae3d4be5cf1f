"""RESP2 requests and answers, limited in time and size.

1. No wait exceeds the deadline, however slowly bytes arrive.
2. An answer is limited in bytes, items and depth. A violation, or anything but RESP2, makes the
   connection unusable.
3. A refusal is identified by its code, the first word in capitals. Its text is kept for callers that know
   it, and omitted from repr, as it may quote the request.
4. No answer is a prefix of another. So an answer that seldom changes is compared as bytes with the last
   one, and parsed only if it differs.
5. Nothing reads the answers to commands of `tell`, so a late answer spoils nothing.

https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

import re
import select
import time
from dataclasses import field
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence


ANSWER: Final = 1_048_576
"""Bytes of an answer by default."""
LISTED: Final = 67_108_864
"""Bytes of a list of users or sessions: 50,000 names are 2.5 million, 50,000 sessions 20 million."""
_MOST_ITEMS: Final = 1_000_000
"""Items of an answer: twenty times what is ever listed."""
_DEEPEST: Final = 8
_MOST_LINE: Final = 4_096
"""Bytes of a line: a number, a word, or why something is refused."""
_PIECE: Final = 65_536
_UNREAD: Final = 4
"""Reads that unheard answers may take: no server sends more."""
_LEAST: Final = 0.005
"""Seconds: what is left for less isn't begun."""
_CODE: Final = re.compile(rb"[A-Z][A-Z_]{1,31}")
_DIGITS: Final = 19
_NUMBER: Final = re.compile(rb"-?[0-9]{1,19}")
_END: Final = b"\r\n"


class LostError(Exception):
    """No complete answer came in time; never leaves the adapter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error answer."""

    code: str
    """`NOPERM`, `WRONGPASS`, `ERR`; empty where it has none."""
    text: str = field(repr=False)
    """All of it, in lower case (rule 3)."""


Answer: TypeAlias = "bytes | int | Refusal | list[Answer] | None"


class RespConnection:
    """One connection; single-threaded."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        """`deadline` is an instant of `time.monotonic`."""
        self._socket = connected
        self._waits = select.poll()
        self._waits.register(connected, select.POLLIN)
        self._deadline = deadline
        self._came = b""
        self._at = 0
        """How far of what came is read."""
        self._whole = True
        """Whether all that was asked is answered."""
        self._end = 0
        """Where in what came the answer is over at the latest."""
        self._items = 0
        """Items that it may still have."""
        self._before: dict[Sequence[str], tuple[bytes, Answer]] = {}
        """By what was asked: the bytes that were answered last, and what they are (rule 4)."""

    def say(self, commands: Sequence[Sequence[str]]) -> None:
        """Sends commands at once; `hear` must follow. Raises LostError: any of them may have run."""
        self._whole = False
        try:
            self._wait()
            self._socket.sendall(b"".join(map(_written, commands)))
        except (OSError, ValueError) as error:
            raise LostError(type(error).__name__) from None

    def hear(
        self, commands: Sequence[Sequence[str]], *, most: int = ANSWER, steady: Sequence[str] = ()
    ) -> list[Answer]:
        """Returns the answers; `most` limits the last in bytes, `steady` is the command of rule 4."""
        last = len(commands) - 1
        try:
            found = [
                self._steady(one) if one is steady else self._answer(most if number == last else ANSWER)
                for number, one in enumerate(commands)
            ]
        except (OSError, ValueError) as error:
            raise LostError(type(error).__name__) from None

        self._whole = True
        if self._at == len(self._came):
            self._came, self._at = b"", 0  # a list that was long is not kept with the connection
        return found

    def again(self, deadline: float) -> bool:
        """Sets a new deadline; returns whether the connection is open and has no unexpected bytes."""
        self._deadline = deadline
        return self.is_quiet and not self._waits.poll(0)

    @property
    def is_quiet(self) -> bool:
        """Returns whether every request is answered and nothing more was read."""
        return self._whole and self._at == len(self._came)

    def tell(self, commands: Sequence[Sequence[str]], deadline: float) -> None:
        """Sends commands until the deadline without hearing answers (rule 5); raises LostError."""
        if not self.lives:
            raise LostError("it was shut")
        self._deadline = deadline
        self.say(commands)

    @property
    def lives(self) -> bool:
        """Returns whether it is open; discards unread answers."""
        try:
            for _ in range(_UNREAD):
                if not self._waits.poll(0):
                    return True
                self._socket.settimeout(_LEAST)
                if not self._socket.recv(_PIECE):
                    return False
        except TimeoutError:
            return True  # what came was TLS' own
        except (OSError, ValueError):
            return False
        return False

    def close(self) -> None:
        self._socket.close()

    def _answer(self, most: int) -> Answer:
        self._end, self._items = self._at + most, _MOST_ITEMS
        return self._read(0)

    def _steady(self, words: Sequence[str]) -> Answer:
        raw, answer = self._before.get(words, (b"", None))
        if raw and self._came.startswith(raw, self._at):
            self._at += len(raw)
            return answer
        if self._at == len(self._came):
            self._more(1)
        came, at = self._came, self._at
        answer = self._answer(ANSWER)
        if self._came is came:  # it came whole
            self._before[words] = (came[at : self._at], answer)
        return answer

    def _read(self, depth: int) -> Answer:
        kind, rest = self._line()
        if kind == b"$":
            return self._bulk(_number(rest))
        if kind == b"*" and depth < _DEEPEST:
            count = _number(rest)
            return None if count == -1 else self._list(count, depth + 1)
        if kind == b"+":
            return rest
        if kind == b"-":
            found = _CODE.match(rest)
            code = found[0].decode() if found else ""
            return Refusal(code=code, text=rest.decode("utf-8", "replace").lower())
        if kind == b":":
            return _number(rest)
        raise LostError("no RESP2")  # 2

    def _bulk(self, size: int) -> bytes | None:
        if size == -1:
            return None
        at = self._at
        if not 0 <= size <= self._end - at:
            raise LostError("more than an answer may be")
        if (missing := at + size + 2 - len(self._came)) > 0:
            self._more(missing)
            at = self._at
        end = at + size
        if self._came[end : end + 2] != _END:
            raise LostError("no RESP2")
        self._at = end + 2
        return self._came[at:end]

    def _list(self, count: int, depth: int) -> list[Answer]:
        self._require_room(count)  # each item is 3 bytes at least
        self._items -= count
        if self._items < 0:
            raise LostError("more than an answer may be")
        found: list[Answer] = []
        for _ in range(count):
            text = self._text()
            found.append(self._read(depth) if text is None else text)
        return found

    def _text(self) -> bytes | None:
        """Reads a complete bulk string fast; None for anything else."""
        came, at = self._came, self._at
        end = came.find(_END, at, at + _DIGITS)
        size = came[at + 1 : end]
        if end < 0 or came[at : at + 1] != b"$" or not size.isdigit():
            return None
        at, end = end + 2, end + 2 + int(size)
        if came[end : end + 2] != _END or end + 2 > self._end:
            return None
        self._at = end + 2
        return came[at:end]

    def _line(self) -> tuple[bytes, bytes]:
        at = self._at
        while (end := self._came.find(_END, at, at + _MOST_LINE)) < 0:
            if len(self._came) - at > _MOST_LINE:
                raise LostError("a line without an end")
            self._more(1)
            at = self._at
        if end + 2 > self._end:
            raise LostError("more than an answer may be")
        self._at = end + 2
        return self._came[at : at + 1], self._came[at + 1 : end]

    def _require_room(self, size: int) -> None:
        if not 0 <= size <= self._end - self._at:
            raise LostError("more than an answer may be")

    def _go_to(self, at: int) -> None:
        if at > self._end:
            raise LostError("more than an answer may be")
        self._at = at

    def _more(self, missing: int) -> None:
        pieces = [self._came[self._at :]]
        while missing > 0:
            self._wait()
            piece = self._socket.recv(_PIECE)
            if not piece:
                raise LostError("it was shut")
            pieces.append(piece)
            missing -= len(piece)
        self._came = b"".join(pieces)
        self._end -= self._at
        self._at = 0

    def _wait(self) -> None:
        left = self._deadline - time.monotonic()
        if left < _LEAST:
            raise TimeoutError
        self._socket.settimeout(left)


def _number(raw: bytes) -> int:
    if raw.isdigit() and len(raw) <= _DIGITS:
        return int(raw)
    if _NUMBER.fullmatch(raw) is None:
        raise LostError("no RESP2")
    return int(raw)


def _written(words: Sequence[str]) -> bytes:
    """Encodes a command by sizes, so a word can't inject another; non-text bytes are `surrogateescape`d."""
    texts = [one.encode(errors="surrogateescape") for one in words]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%s\r\n" % (len(one), one) for one in texts)
