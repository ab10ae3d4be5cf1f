"""An SSH agent inside this process: programs use a key that they cannot read, for as long as permitted.

    with serve_agent(private_key) as socket:
        subprocess.run(["ssh", "-o", f"IdentityAgent={socket}", …])

1. It listens on a Unix socket (0600) in a folder of mode 0700. The kernel's peer credentials must be this
   account's: root is refused too, and so is every peer if the kernel reports none.
2. It lists its keys and signs with them, and refuses everything else (add, remove, lock). Session binding
   (`session-bind@openssh.com`) is refused too, which clients take for an older agent.
3. An invalid message ends its own connection only. Message size, concurrent connections, the time for an
   incomplete message and idle time are limited; further connections wait.
4. After its end a key is neither listed nor used. `close` returns once nothing is served: open
   connections get no further answer.
5. One thread serves all. It takes no signals, and any failure ends the whole agent.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
import selectors
import signal
import socket
import struct
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, assert_never

from taskbound.adapters.ssh.identity import (
    FAILURE,
    BadAgentMessageError,
    ListKeys,
    OtherRequest,
    SignWith,
    SshIdentity,
    listed,
    parse_request,
    signed,
    take_message,
)
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


_log = logging.getLogger(__name__)
_CREDENTIALS: Final = struct.Struct("3i")
_CHUNK: Final = 16_384
_PAUSE: Final = 1.0
"""Seconds without a new connection, where the system gives none."""
_FOLDER: Final = re.compile(r"/[A-Za-z0-9_./+-]{0,59}")
"""Where a socket is put: a path has 103 bytes on macOS, and what ssh would expand is in none."""


class NoAgentError(UnavailableError):
    """An SSH agent can't be served."""

    code = "no-ssh-agent"
    remedy = "look at the folder of temporary files: whether there is room, and who may write there"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLimits:
    """Limits on an agent's clients (rule 3)."""

    message: int = 65_536
    """Bytes of a request."""
    connections: int = 32
    """At once."""
    half: float = 10.0
    """Seconds in which a request that was begun is there, and an answer is taken."""
    idle: float = 600.0
    """Seconds of silence: programs keep a connection for the next time."""


@dataclass(slots=True, kw_only=True)
class _Connection:
    socket: socket.socket
    until: float
    """When it is closed, if nothing happens on it: monotonic seconds."""
    received: bytearray = field(default_factory=bytearray)
    unsent: bytes = b""


class SshAgent:
    """An agent at a path; it answers from `start` to `close`."""

    def __init__(
        self,
        path: Path,
        identities: Sequence[SshIdentity],
        *,
        limits: AgentLimits | None = None,
        account: int | None = None,
        now: Callable[[], Instant] | None = None,
    ) -> None:
        """Listens without a thread (fork-safe); the folder of `path` must be this account's alone."""
        self.path = path
        self._identities = tuple(identities)
        self._limits = limits or AgentLimits()
        self._account = os.geteuid() if account is None else account
        self._now = now or _now
        self._open: dict[int, _Connection] = {}
        self._accepts = False
        self._accepts_from = 0.0
        self._thread: threading.Thread | None = None
        with ExitStack() as made:
            self._selector = made.enter_context(selectors.DefaultSelector())
            self._stopping, self._stop = map(made.enter_context, socket.socketpair())
            self._listening = made.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            self._listening.settimeout(0)
            self._listening.bind(str(path))
            made.callback(path.unlink, missing_ok=True)
            path.chmod(0o600)
            self._listening.listen(self._limits.connections)
            self._made = made.pop_all()

    def start(self) -> None:
        """Starts to answer; call once."""
        self._thread = threading.Thread(target=self._serve, name="ssh-agent", daemon=True)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # 5
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def close(self) -> None:
        """Stops serving (rule 4); idempotent."""
        if self._thread is not None:
            with suppress(OSError):  # it has ended by itself
                self._stop.send(b"\0")
            self._thread.join()
        self._end()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- in its thread ---------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            self._selector.register(self._stopping, selectors.EVENT_READ)
            while self._turn():
                pass
        finally:
            self._end()  # 5

    def _turn(self) -> bool:
        now = time.monotonic()
        self._close_late(now)
        self._accept_or_wait(now)
        due = [one.until for one in self._open.values()]
        due += [] if self._accepts else [self._accepts_from]
        due = [one for one in due if one > now]
        found = self._selector.select(min(due) - now if due else None)
        if any(key.fileobj is self._stopping for key, _ in found):
            return False
        for key, _ in found:
            if key.fileobj is self._listening:
                self._accept()
            else:
                self._attend(self._open[key.fd])
        return True

    def _close_late(self, now: float) -> None:
        for one in [one for one in self._open.values() if one.until <= now]:
            self._drop(one)

    def _accept_or_wait(self, now: float) -> None:
        free = len(self._open) < self._limits.connections and self._accepts_from <= now
        if free and not self._accepts:
            self._selector.register(self._listening, selectors.EVENT_READ)
        elif self._accepts and not free:
            self._selector.unregister(self._listening)
        self._accepts = free

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except BlockingIOError:
            return  # the peer has gone
        except OSError as error:
            _log.warning("the ssh agent takes no connection: %s", error)
            self._accepts_from = time.monotonic() + _PAUSE
            return
        account = _account_of(connection)
        if account != self._account:  # 1
            _log.warning("uid %s may not ask the ssh agent", account)
            connection.close()
            return
        connection.settimeout(0)
        self._open[connection.fileno()] = _Connection(
            socket=connection, until=time.monotonic() + self._limits.idle
        )
        self._selector.register(connection, selectors.EVENT_READ)

    def _attend(self, one: _Connection) -> None:
        begun = bool(one.unsent or one.received)
        try:
            if one.unsent:
                one.unsent = one.unsent[one.socket.send(one.unsent) :]
            elif data := one.socket.recv(_CHUNK):
                one.received += data
            else:
                self._drop(one)
                return
            answered = self._answer(one)
        except BlockingIOError:
            return
        except (OSError, BadAgentMessageError) as error:
            _log.info("a connection to the ssh agent ended: %s", error)
            self._drop(one)  # 3
            return
        if not (one.unsent or one.received):
            one.until = time.monotonic() + self._limits.idle
        elif answered or not begun:  # what goes on with bytes one by one has no more time for it
            one.until = time.monotonic() + self._limits.half
        self._selector.modify(one.socket, selectors.EVENT_WRITE if one.unsent else selectors.EVENT_READ)

    def _answer(self, one: _Connection) -> int:
        """Answers complete messages and returns their number; an answer must be sent before the next."""
        answered = 0
        while not one.unsent:
            body = take_message(one.received, most=self._limits.message)
            if body is None:
                break
            one.unsent = self._reply(body)
            answered += 1
            with suppress(BlockingIOError):
                one.unsent = one.unsent[one.socket.send(one.unsent) :]
        return answered

    def _reply(self, body: bytes) -> bytes:
        asked = parse_request(body)
        now = self._now()
        there = [one for one in self._identities if one.ends is None or now < one.ends]  # 4
        match asked:
            case ListKeys():
                return listed((one.blob, one.comment) for one in there)
            case SignWith():
                for one in there:
                    if one.blob == asked.blob:
                        signature = one.sign(asked.data, asked.flags)
                        return FAILURE if signature is None else signed(signature)
                return FAILURE
            case OtherRequest():
                return FAILURE
            case _:
                assert_never(asked)

    def _drop(self, one: _Connection) -> None:
        del self._open[one.socket.fileno()]
        self._selector.unregister(one.socket)
        one.socket.close()

    def _end(self) -> None:
        self._made.close()
        for one in self._open.values():
            one.socket.close()
        self._open.clear()


@contextmanager
def serve_agent(
    private_key: str, certificate: str | None = None, *, ends: Instant | None = None
) -> Iterator[Path]:
    """Serves one key until `ends` or the context's end; yields the socket's path. Thread-safe."""
    identity = SshIdentity(private_key, certificate, ends=ends)
    folder = make_folder()
    try:
        try:
            served = SshAgent(folder / "agent", [identity])
        except OSError as error:
            raise NoAgentError(f"nothing can listen in `{folder}`: {error.strerror or error}") from error
        with served:
            yield served.path
    finally:
        folder.rmdir()


def make_folder() -> Path:
    """Returns a new private folder with a path short enough for a socket; raises NoAgentError."""
    try:
        return Path(tempfile.mkdtemp(prefix="taskbound-ssh-", dir=_runtime()))
    except OSError as error:
        raise NoAgentError(f"there is no room for an ssh agent: {error.strerror or error}") from error


def _runtime() -> str:
    told = os.environ.get("XDG_RUNTIME_DIR", "")
    try:
        mine = _FOLDER.fullmatch(told) is not None and Path(told).stat().st_uid == os.geteuid()
    except OSError:
        mine = False
    return told if mine else "/tmp"  # noqa: S108 - mkdtemp makes a fresh 0700 folder there; TMPDIR is too long on macOS


def _now() -> Instant:
    return Instant(time.time_ns() // 1_000)


def _account_of(connection: socket.socket) -> int | None:
    option = getattr(socket, "SO_PEERCRED", None)
    if option is not None:
        try:
            raw = connection.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
        except OSError:
            return None
        return int(_CREDENTIALS.unpack(raw)[1])
    ask = getattr(ctypes.CDLL(None), "getpeereid", None)
    uid, gid = ctypes.c_uint(), ctypes.c_uint()
    if ask is None or ask(connection.fileno(), ctypes.byref(uid), ctypes.byref(gid)) != 0:
        return None
    return uid.value
