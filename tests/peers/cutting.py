"""A way to a server's socket that is cut where a test says so, at a word or after so many messages."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self

How = Literal["before", "after", "held", "answered", "stuck", "mute"]
Apart = Callable[[bytes], list[bytes]]
"""Which messages there are in a piece that a client sent."""
_NAME = ".s.PGSQL.5432"


def _whole(piece: bytes) -> list[bytes]:
    return [piece]


class _When:
    """At which message is cut: of one way, or of several to one system, of whose messages each counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._word: bytes = b""
        self._how: How = "before"
        self._left = 0
        self.messages = 0
        self.strike: Callable[[], None] | None = None

    def at(self, word: bytes, how: How, strike: Callable[[], None] | None, times: int) -> None:
        with self._lock:
            self.strike = strike
            self._word, self._how, self._left = word, how, times

    def cut(self, piece: bytes) -> How | None:
        with self._lock:
            self.messages += 1
            if not self._left or self._word not in piece:
                return None
            self._left -= 1
            return None if self._left else self._how


class Cutting:
    """Listens in a folder of its own as the server does in its own, and passes everything on until it cuts.

    `before`: what was sent does not arrive. `after`: it arrives, and the answer does not. `stuck`: it does
    not arrive, the sender is told that the connection is lost, and the server is not. `mute`: it does not
    arrive, and nobody is told anything, as where the way between them is gone.

    What a test gives as `strike` is called at that point: before the message arrives, or once it is answered.
    `held` and `answered` are the same points where nothing is cut: what was sent arrives after it, or its
    answer.
    Where one piece has several messages (`apart`), each arrives once the one before it is answered.
    """

    def __init__(
        self,
        folder: Path,
        server: Path,
        name: str = _NAME,
        *,
        with_: Cutting | None = None,
        apart: Apart | None = None,
    ) -> None:
        """Begin to listen; the socket has this name in either folder.

        Where it is a way to another server of one system, what comes by it counts as what comes by the first.
        """
        self._apart = apart or _whole
        self.folder = folder
        self.path = folder / name
        self._server = server / name
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(self.path))
        self._begin(listening, with_)

    def _begin(self, listening: socket.socket, with_: Cutting | None) -> None:
        self.when: _When = with_.when if with_ is not None else _When()
        self._listening = listening
        self._listening.listen()
        self._kept: list[socket.socket] = []
        self._over = False
        self.patience = 0.2
        """Seconds that the answer to a message is waited for at which is cut."""
        threading.Thread(target=self._accept, daemon=True).start()

    def at(self, word: bytes, how: How, strike: Callable[[], None] | None = None, *, times: int = 1) -> None:
        """Cut once, at the next message with this word, or at so many such messages from now on."""
        self.when.at(word, how, strike, times)

    def after(self, messages: int, how: How) -> None:
        """Cut once, at this message from now on."""
        self.when.at(b"", how, None, messages)

    @property
    def messages(self) -> int:
        """Pieces that came from clients."""
        return self.when.messages

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._listening.close()
        for one in self._kept:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _reach(self, server: socket.socket) -> None:
        server.connect(str(self._server))

    def _pass_on(self, client: socket.socket) -> None:
        server = socket.socket(client.family, socket.SOCK_STREAM)
        how: How | None = None
        try:
            self._reach(server)
            while how is None:
                for one in select.select([client, server], [], [])[0]:
                    piece = one.recv(1 << 20)
                    if not piece:
                        return
                    if one is client:
                        how = self._say(client, server, self._apart(piece))
                        if how is not None:
                            break
                    else:
                        client.sendall(piece)
            if how == "after":
                self._answer(server)  # which nobody gets
            self._strike()
        except OSError:
            return
        finally:
            self._leave(server, kept=how in {"stuck", "mute"})
            self._leave(client, kept=how == "mute")

    def _say(self, client: socket.socket, server: socket.socket, messages: list[bytes]) -> How | None:
        for left, one in zip(reversed(range(len(messages))), messages, strict=True):
            cut = self._cut(one)
            how = self._held(client, server, one, cut)
            if how is not None:
                return how
            if left and cut != "answered":
                client.sendall(server.recv(1 << 20))
        return None

    def _held(
        self, client: socket.socket, server: socket.socket, piece: bytes, how: How | None
    ) -> How | None:
        """Pass on what is passed on at this point; how is cut, if it is."""
        if how == "held":
            self._strike()
        if how not in {"before", "stuck", "mute"}:
            server.sendall(piece)
        if how == "answered":
            answer = self._answer(server)
            self._strike()
            client.sendall(answer)
        return None if how in {"held", "answered"} else how

    def _answer(self, server: socket.socket) -> bytes:
        """What the server says next, if it does."""
        return server.recv(1 << 20) if select.select([server], [], [], self.patience)[0] else b""

    def _strike(self) -> None:
        if self.when.strike is not None:
            self.when.strike()

    def _leave(self, one: socket.socket, *, kept: bool) -> None:
        if kept and not self._over:
            self._kept.append(one)
        else:
            one.close()

    def _cut(self, piece: bytes) -> How | None:
        return self.when.cut(piece)


class CuttingPort(Cutting):
    """The same before a server's port."""

    def __init__(self, server: int = 0, *, with_: Cutting | None = None, apart: Apart | None = None) -> None:
        """Begin to listen on a port of its own, before this one or before one said later (`leads_to`)."""
        self._apart = apart or _whole
        self._server_port = server
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.bind(("127.0.0.1", 0))
        self.port = int(listening.getsockname()[1])
        self._begin(listening, with_)

    def leads_to(self, server: int) -> None:
        """This is the server's port."""
        self._server_port = server

    def _reach(self, server: socket.socket) -> None:
        server.connect(("127.0.0.1", self._server_port))
