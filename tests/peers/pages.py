"""An HTTP server on the loopback that says exactly the bytes that it is told to say."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator


def answer(*headers: str, status: str = "200 OK") -> bytes:
    """An answer with these headers, and no body."""
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1")


class Pages:
    """What it says next, and what it was asked."""

    def __init__(self, listening: socket.socket, secure: ssl.SSLContext | None) -> None:
        self.says = answer('ETag: "v1"')
        self.drip = False
        """Whether it says it a byte at a time, for as long as anybody reads."""
        self.asked: list[bytes] = []
        self.port = int(listening.getsockname()[1])
        self.taken = threading.Semaphore(0)
        self._listening = listening
        self._secure = secure
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def origin(self) -> str:
        return f"{'https' if self._secure else 'http'}://127.0.0.1:{self.port}"

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                taken, _ = self._listening.accept()
            except OSError:
                return
            self.taken.release()
            try:
                self._talk(self._secure.wrap_socket(taken, server_side=True) if self._secure else taken)
            except OSError:
                continue
            finally:
                taken.close()

    def _talk(self, taken: socket.socket) -> None:
        asked = b""
        while b"\r\n\r\n" not in asked and (piece := taken.recv(65_536)):
            asked += piece
        self.asked.append(asked)
        if self.drip:
            taken.sendall(b"HTTP/1.1 200 OK\r\n")
            while not self._ended.wait(0.05):
                taken.sendall(b"X: y\r\n")
        taken.sendall(self.says)
        taken.close()

    def end(self) -> None:
        self._ended.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(30)


@contextmanager
def pages(secure: ssl.SSLContext | None = None) -> Iterator[Pages]:
    """One, while it is needed."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made = Pages(listening, secure)
        try:
            yield made
        finally:
            made.end()
