"""A connection to a Redis or Valkey, by their own protocol and by nothing of ours: it asks, and reads."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path


_PATIENCE = 20.0


class LostError(Exception):
    """The server has ended the connection, or can't be reached."""


class SaidNoError(Exception):
    """The server answered with an error."""


class Push(list[Any]):
    """What a server says without having been asked (RESP3)."""


class Line:
    """One connection; a user and a version of the protocol are said by whoever opens it."""

    def __init__(self, address: str, *, roots: Path | None = None) -> None:
        """Connect to `HOST:PORT` or a socket's path; with TLS where authorities are named."""
        try:
            self._way = _connect(address, roots)
        except OSError as error:
            raise LostError(str(error)) from error
        self._file = self._way.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        self._file.close()
        self._way.close()

    def say(self, *words: str | bytes) -> None:
        """Ask, and read no answer."""
        told = [one.encode() if isinstance(one, str) else one for one in words]
        sent = b"*%d\r\n" % len(told) + b"".join(b"$%d\r\n%b\r\n" % (len(one), one) for one in told)
        try:
            self._way.sendall(sent)
        except OSError as error:
            raise LostError(str(error)) from error

    def hear(self, patience: float = _PATIENCE) -> Any:
        """What is said next: text, a number, a list, None; where that is an error it is raised."""
        self._way.settimeout(patience)
        try:
            return self._read()
        except TimeoutError:
            raise
        except OSError as error:
            raise LostError(str(error)) from error

    def ask(self, *words: str | bytes) -> Any:
        """What is answered to this."""
        self.say(*words)
        return self.hear()

    def forget(self) -> None:
        """Go on after nothing was heard in time, and nothing was begun to be said."""
        self._file.close()
        self._file = self._way.makefile("rb")

    def raw(self) -> bytes:
        """One line as it is, with what ends it, however long that takes."""
        self._way.settimeout(None)
        try:
            return self._line()
        except OSError as error:
            raise LostError(str(error)) from error

    def _line(self) -> bytes:
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise LostError("the server has ended the connection")
        return line

    def _read(self) -> Any:
        line = self._line()
        sort, rest = line[:1], line[1:-2].decode("utf-8", "replace")
        if sort in b"-!":
            raise SaidNoError(rest if sort == b"-" else self._text(int(rest)))
        if sort in b"$=":
            return None if rest == "-1" else self._text(int(rest))
        if sort in b"*~>":
            if rest == "-1":
                return None
            read = [self._read() for _ in range(int(rest))]
            return Push(read) if sort == b">" else read
        if sort == b"%":
            return {str(self._read()): self._read() for _ in range(int(rest))}
        if sort == b":":
            return int(rest)
        return None if sort == b"_" else rest

    def _text(self, length: int) -> str:
        read = self._file.read(length + 2)
        if len(read) != length + 2:
            raise LostError("the server has ended the connection")
        return read[:-2].decode("utf-8", "replace")


def _connect(address: str, roots: Path | None) -> socket.socket:
    if address.startswith("/"):
        way = socket.socket(socket.AF_UNIX)
        try:
            way.settimeout(_PATIENCE)
            way.connect(address)
        except OSError:
            way.close()
            raise
        return way
    host, _, port = address.rpartition(":")
    way = socket.create_connection((host, int(port)), _PATIENCE)
    if roots is None:
        return way
    return ssl.create_default_context(cafile=roots).wrap_socket(way, server_hostname=host)


def commands_in(piece: bytes) -> list[bytes]:
    """The commands of what was sent at once, each as it was sent; a tail that is not whole is the last one.

    What cuts off a user's sessions goes with what takes the user away: a server does both or neither.
    """
    found: list[bytes] = []
    while piece:
        size = _size_of(piece)
        if b"\r\nKILL\r\n" in piece[:size]:
            size += _size_of(piece[size:])
        found.append(piece[:size])
        piece = piece[size:]
    return found


def _size_of(piece: bytes) -> int:
    """Bytes of the command that this begins with."""
    try:
        end = piece.index(b"\r\n") + 2
        for _ in range(int(piece[1 : end - 2])):
            word = piece.index(b"\r\n", end) + 2
            end = word + int(piece[end + 1 : word - 2]) + 2
    except ValueError:  # the rest of it comes later
        return len(piece)
    return min(end, len(piece))
