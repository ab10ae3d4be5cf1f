"""Something that listens where a system should, and is not that system."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator


Does = Literal["hangs", "hangs up", "resets", "speaks nonsense", "speaks nonsense for ever"]
DOES: tuple[Does, ...] = ("hangs", "hangs up", "resets", "speaks nonsense", "speaks nonsense for ever")
_NONSENSE = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" + bytes(range(256))
_PAUSE = 0.02


@contextmanager
def posing(listening: socket.socket, does: Does) -> Iterator[None]:
    """Answer on this socket, which listens, as long as the context lasts; it is closed with it."""
    over = threading.Event()
    listening.settimeout(_PAUSE)
    threads: list[threading.Thread] = []

    def serve(one: socket.socket) -> None:
        with one, suppress(OSError):
            if does == "resets":
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if does in {"resets", "hangs up"}:
                return
            while not over.is_set():
                if does != "hangs":
                    one.sendall(_NONSENSE)
                if does == "speaks nonsense":
                    return
                over.wait(_PAUSE)

    def accept() -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                one, _ = listening.accept()
                one.settimeout(1.0)
                threads.append(threading.Thread(target=serve, args=(one,), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield
    finally:
        over.set()
        for one in (accepting, *threads):
            one.join()
        listening.close()
