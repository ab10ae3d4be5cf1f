"""HTTP connections with limits, and a pool of idle ones.

Of `connection`:

1. Everything ends with the patience, the TLS handshake included, whatever the server does: a duplicate of
   the socket is shut down then. (Name resolution has the system's own limit.)
2. A failure before anything was sent differs from a later one, after which the request may have been done.
3. Answers are limited in size. No redirect is followed, no proxy used, nothing sent twice.
4. A name is resolved once per connection, and the checked addresses are connected to. If addresses are
   restricted, a single forbidden one refuses them all.
5. A connection goes to the pool (`kept`) if all requests were answered in time.
6. Errors contain nothing of a request or an answer.

Of `kept`:

1. A limited number is kept, each for a limited time: middleboxes cut longer idle ones silently, and a name
   may move to another machine.
2. A call has a connection for itself. It returns to the pool once everything is answered, complete and in
   time, and the server continues.
3. A connection that was shut or has unexpected bytes is dropped before use. A later failure is treated as
   on a new connection: the request is not sent again.
4. They end with their pool.
"""

from __future__ import annotations

import select
import socket
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import field
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Final, Self

from taskbound.core.dataclass import dataclass
from taskbound.wire.frame import require_one_framing

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping


_MOST: Final = 4
"""As many as a target has workers."""
_IDLE: Final = 30.0
"""Seconds that one is kept unused."""
_OLDEST: Final = 300.0
"""Seconds after which one is not kept any more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IdleConnection:
    """An idle connection."""

    driver: HTTPConnection
    end: socket.socket
    """A copy of its socket."""
    made: float
    """When it was connected, an instant of `time.monotonic`."""
    since: float
    """When the last call by it was over."""

    @property
    def is_of_use(self) -> bool:
        """Returns whether a call can use it (rules 1 and 3)."""
        now = time.monotonic()
        waits = select.poll()
        waits.register(self.end, select.POLLIN)
        return now - self.since <= _IDLE and now - self.made <= _OLDEST and not waits.poll(0)

    def close(self) -> None:
        self.driver.close()
        self.end.close()


class HttpPool:
    """A pool of idle connections to one server with one client identity; thread-safe."""

    def __init__(self) -> None:
        self._kept: list[IdleConnection] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._kept)

    def take(self) -> IdleConnection | None:
        while True:
            with self._lock:
                found = self._kept.pop() if self._kept else None
            if found is None or found.is_of_use:
                return found
            found.close()

    def give(self, one: IdleConnection) -> None:
        with self._lock:
            self._kept.append(one)
            over = self._kept.pop(0) if len(self._kept) > _MOST else None
        if over is not None:
            over.close()

    def close(self) -> None:
        with self._lock:
            _close(self._kept)


def _close(kept: list[IdleConnection]) -> None:
    while kept:
        kept.pop().close()


LookUp = Callable[[str, int], Sequence[str]]
"""The addresses of a host's name."""
ANSWER: Final = 1_048_576
"""Bytes of an answer by default."""
_ADDRESSES: Final = 3
_LEAST: Final = 0.01
"""Seconds: what is left for less isn't begun."""


class _NotAdmittedError(OSError):
    pass


class HttpUnreachedError(Exception):
    """No connection, and nothing was sent (rule 2); never leaves the adapters."""


class HttpLostError(Exception):
    """Something was sent, and no complete answer came in time; never leaves the adapters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAddress:
    """A server's address."""

    host: str
    port: int
    tls: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """A server's answer; the body is omitted from repr, as it may hold a secret."""

    status: int
    too_long: bool
    headers: Mapping[str, str] = field(repr=False)
    """By name in lower case; of equal names the last."""
    raw: bytes = field(repr=False)
    """Its body, up to a byte more than may be."""


def look_up(host: str, port: int) -> Sequence[str]:
    """Resolves a host name with the system's resolver."""
    return [str(one[4][0]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class HttpConnection:
    """Connects on entering; single-threaded."""

    def __init__(
        self,
        address: HttpAddress,
        tls: ssl.SSLContext | None,
        *,
        patience: float,
        admits: Callable[[str], bool] | None = None,
        look: LookUp = look_up,
        kept: HttpPool | None = None,
    ) -> None:
        """`patience`: seconds for all requests; `kept`: a pool of the same server, identity and `admits`."""
        self._address, self._tls = address, tls
        self._admits, self._look = admits, look
        self._deadline = time.monotonic() + patience
        self._over = threading.Event()
        self._connection: HTTPConnection | None = None
        self._end: socket.socket | None = None
        """A copy of the socket that is connected, by which it is shut (rule 1)."""
        self._kept = kept
        self._made = 0.0
        self._whole = True
        """Whether all that was asked is answered (rule 5)."""
        self._lock = threading.Lock()
        self._timer = threading.Timer(patience, self._cut)
        self._timer.daemon = True

    @property
    def left(self) -> float:
        """Returns the seconds that are left; 0 or less after the end."""
        return self._deadline - time.monotonic()

    def __enter__(self) -> Self:
        """Connects; raises HttpUnreachedError if no server answers or its certificate is wrong."""
        self._timer.start()
        try:
            if not self._taken():
                self._connect()
        except BaseException as error:
            self._close()
            if isinstance(error, _NotAdmittedError):
                raise HttpUnreachedError("its name leads to an address that is not public") from None
            if isinstance(error, OSError | ValueError):
                raise HttpUnreachedError(type(error).__name__) from None
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        driver = self._connection
        with self._lock:  # `_cut` has been, or finds no socket any more
            fine = self._whole and not self._over.is_set() and driver is not None and driver.sock is not None
            if self._kept is not None and fine and driver is not None and self._end is not None:
                found = IdleConnection(driver=driver, end=self._end, made=self._made, since=time.monotonic())
                self._kept.give(found)
                self._connection, self._end = None, None
        self._kept = None  # whose end is not to wait until this is collected with its timer
        self._close()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str],
        most: int = ANSWER,
    ) -> HttpAnswer:
        """Returns at most `most` bytes or raises HttpLostError; `path` is quoted, with the query."""
        whole, self._whole = self._whole, False
        try:
            connection = self._connection
            if connection is None or connection.sock is None:
                connection = self._connect()
            connection.request(method, path, body=body, headers=dict(headers))
            with connection.getresponse() as response:  # its file would keep the socket of a failed call open
                require_one_framing(response.headers)
                status, raw = response.status, response.read(most + 1)
                told = {name.lower(): value for name, value in response.getheaders()}
                if len(raw) <= most:
                    response.read()  # the driver asks no more before it has read to the end
                else:
                    connection.close()
            if self._over.is_set():
                raise TimeoutError  # what was cut reads like an answer that ended
        except (OSError, HTTPException, ValueError) as error:
            raise HttpLostError("TimeoutError" if self._over.is_set() else type(error).__name__) from None
        self._whole = whole
        return HttpAnswer(status=status, too_long=len(raw) > most, headers=told, raw=raw)

    def _taken(self) -> bool:
        found = self._kept.take() if self._kept is not None and self.left >= _LEAST else None
        if found is None:
            return False
        found.driver.sock.settimeout(self.left)
        self._connection, self._made = found.driver, found.made
        with self._lock:
            self._end = found.end
        return True

    def _connect(self) -> HTTPConnection:
        if self.left < _LEAST:
            raise TimeoutError
        at = self._address
        raw = self._reached()
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                if self._end is not None:
                    self._end.close()
                self._end = raw.dup()
            if self._over.is_set():
                raw.shutdown(socket.SHUT_RDWR)  # it was too late for `_cut`
            wrapped = raw if self._tls is None else self._tls.wrap_socket(raw, server_hostname=at.host)
        except BaseException:
            raw.close()
            raise
        connection = HTTPConnection(at.host, at.port)
        connection.auto_open = 0  # it would come without TLS
        connection.sock = wrapped
        self._connection, self._made = connection, time.monotonic()
        return connection

    def _reached(self) -> socket.socket:
        at = self._address
        found = list(dict.fromkeys(self._look(at.host, at.port)))
        if not found or (self._admits is not None and not all(map(self._admits, found))):
            raise _NotAdmittedError
        *others, last = found[:_ADDRESSES]
        for one in others:
            with suppress(OSError):
                return socket.create_connection((one, at.port), timeout=max(_LEAST, self.left))
        return socket.create_connection((last, at.port), timeout=max(_LEAST, self.left))

    def _cut(self) -> None:
        """Cuts any wait at the deadline, as each byte that arrives would restart a socket timeout."""
        self._over.set()
        with self._lock:
            if self._end is not None:
                with suppress(OSError):  # it is over
                    self._end.shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        self._timer.cancel()
        if self._connection is not None:
            self._connection.close()
        with self._lock:
            if self._end is not None:
                self._end.close()
                self._end = None
