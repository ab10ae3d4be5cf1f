"""One server process: started as pinned, limited, and ended with its descendants.

1. Every pinned file is hashed right before exec. A writer of the file can still win that race, and could as
   well be the server. Files that a script reads later are not checked.
2. It sees the declared variables and those of ours that every program needs.
3. It leads its own session. Ending it kills its process group and, on Linux, every descendant still beneath
   it.
4. Standard error is drained and only its tail kept.
5. Reading can be paused; the caller bounds writing.
6. Output is handled when it is read, not one loop iteration later as in asyncio.
7. It has three pipes, no terminal, a pinned directory and its limits, set by `launch` before exec.
8. A server with secrets dies with this process (`launch`, rule 5).

Limits:

1. Defaults: no core dump, 4,096 files, 4 GiB of data (`RLIMIT_DATA`). Address space is unlimited, since
   runtimes reserve tens of gigabytes.
2. Limits that the system can't enforce are refused: `memory` outside Linux, `processes` as root.
3. The soft limit of files is left to the program; the hard limit is bounded.
4. Exceeding `cpu` sends a signal and a second later kills; exceeding `size` sends another.

Descendants are found by `/proc`; on other systems only the process group is ended.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from taskbound.adapters.upstream.mcp.digest import require_pinned
from taskbound.adapters.upstream.mcp.errors import LimitNotKeptError, StartFailedError
from taskbound.core.action.text import escape_text
from taskbound.core.tool.name import limit_words, shown
from taskbound.ports.process import beneath, parent_of, send_group, send_signal, started_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskbound.core.tool import ServerIdentity
    from taskbound.core.tool.name import Limit


DEFAULTS: Final = {"files": 4_096, "memory": 4 << 30}
"""What servers have where nothing is declared."""
_KINDS: Final = {
    "cpu": "RLIMIT_CPU",
    "files": "RLIMIT_NOFILE",
    "memory": "RLIMIT_DATA",
    "processes": "RLIMIT_NPROC",
    "size": "RLIMIT_FSIZE",
}
_SIGNALS: Final[dict[int, str]] = {signal.SIGXCPU: "cpu", signal.SIGXFSZ: "size"}


def require_kept(limits: Sequence[Limit]) -> None:
    """Raises LimitNotKeptError for a limit that this system can't enforce (limit rule 2)."""
    for name, much in limits:
        if much and (why := _not_kept(name)):
            raise LimitNotKeptError(f"`{name}` can't be limited here: {why}")


def kept(limits: Sequence[Limit]) -> str:
    """Returns `NAME:SOFT:HARD` for each limit; a soft limit `-` is unchanged."""
    declared = dict(limits)
    wanted = {name: much for name, much in DEFAULTS.items() if not _not_kept(name)} | declared
    words = ["RLIMIT_CORE:0:0"]  # 1
    for name, much in sorted(wanted.items()):
        if much:
            soft = "-" if name == "files" and name not in declared else str(much)  # 3
            words.append(f"{_KINDS[name]}:{soft}:{much + (name == 'cpu')}")  # 4
    return " ".join(words)


def died_of(status: int | None, limits: Sequence[Limit]) -> str:
    """Returns the declared limit that explains this exit status, or ''."""
    name = _SIGNALS.get(-status) if status is not None and status < 0 else None
    return limit_words([one for one in limits if one[0] == name])


def _not_kept(name: str) -> str:
    if name == "memory" and not sys.platform.startswith("linux"):
        return "only Linux keeps a limit of a process's private data"
    if name == "processes" and os.geteuid() == 0:
        return "the system does not count the processes of root"
    return ""


_INHERITED: Final = frozenset({"HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER"})
_LAUNCH: Final = Path(__file__).with_name("launch.py")
_MOMENT: Final = 0.2
"""Seconds between the end of the output and what is made of it."""
_TAIL: Final = 4096
_TAIL_SHOWN: Final = 400
_STDIN: Final = 0
_STDOUT: Final = 1
_STDERR: Final = 2


class ServerOutput(Protocol):
    """Receives a process's output."""

    def heard(self, data: bytes) -> None:
        pass

    def fell_silent(self, reason: str, detail: str) -> None:
        """Called once when output or process ended, with the tail of its errors."""


def environment_for(declared: tuple[tuple[str, str], ...], ours: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in ours.items() if name in _INHERITED or name.startswith("LC_")}
    return {**kept, **dict(declared)}


async def _become(told_by: socket.socket, whole: bytes, called: str) -> None:
    told_by.setblocking(False)  # noqa: FBT003 -- it has no name
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_sendall(told_by, whole)
        said = await loop.sock_recv(told_by, 16)
    except OSError as error:
        raise StartFailedError(f"`{called}` does not start: what starts it has ended") from error
    if said:
        raise StartFailedError(f"`{called}` does not start: {os.strerror(int(said))}")


def _fields(identity: ServerIdentity, environment: Mapping[str, str], *, parent: str) -> bytes:
    variables = [part for pair in environment.items() for part in pair]
    texts = (kept(identity.limits), identity.resolved, parent, str(len(environment)), *variables)
    fields = [os.fsencode(one) for one in (*texts, identity.command, *identity.arguments)]
    return b"%d\0" % len(fields) + b"".join(one + b"\0" for one in fields)


class ServerProcess(asyncio.SubprocessProtocol):
    """A running server; made by `start`."""

    def __init__(self, ears: ServerOutput, limits: Sequence[Limit] = ()) -> None:
        self._ears = ears
        self._limits = limits
        self._tail = bytearray()
        self._silent = False
        self._closed = False
        self._transport: asyncio.SubprocessTransport | None = None
        self._started = 0
        """When it started: a later group with the same number has a leader that started at another time."""
        self._input: asyncio.WriteTransport | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def start(
        cls,
        identity: ServerIdentity,
        ears: ServerOutput,
        *,
        ours: Mapping[str, str],
        secret: tuple[tuple[str, str], ...] = (),
    ) -> ServerProcess:
        """Starts the server; `secret` are variables of slots, besides the declared ones."""
        require_kept(identity.limits)
        environment = environment_for((*identity.environment, *secret), ours)
        whole = _fields(identity, environment, parent=str(os.getpid()) if secret else "")  # 8
        mine, its = socket.socketpair()
        with mine:
            with its:
                process = await cls._launched(identity, ears, its.fileno())
            try:
                require_pinned(identity)  # 1
                await _become(mine, whole, shown(identity.command))
            except BaseException:
                await process.abandon()
                raise
        return process

    @classmethod
    async def _launched(cls, identity: ServerIdentity, ears: ServerOutput, told_by: int) -> ServerProcess:
        try:
            _, process = await asyncio.get_running_loop().subprocess_exec(
                lambda: cls(ears, identity.limits),
                *(sys.executable, "-I", "-S", str(_LAUNCH), str(told_by)),
                cwd=identity.directory,
                env={},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # 3
                pass_fds=(told_by,),
            )
        except OSError as error:
            raise StartFailedError(f"`{shown(identity.command)}` does not start: {error.strerror}") from error
        return process

    async def abandon(self) -> None:
        """Kills a launcher that has not become the server, without reporting its end."""
        self._silent = True
        self.kill()
        await self.stop(grace=_MOMENT)

    @property
    def pid(self) -> int:
        return self._transport.get_pid() if self._transport is not None else 0

    @property
    def unsent(self) -> int:
        return self._input.get_write_buffer_size() if self._input is not None else 0

    def write(self, data: bytes) -> None:
        """Sends these bytes in order; ignored after its end."""
        if self._input is not None and not self._silent and not self._input.is_closing():
            self._input.write(data)

    def pause(self) -> None:
        pipe = self._output()
        if pipe is not None and pipe.is_reading():
            pipe.pause_reading()

    def resume(self) -> None:
        pipe = self._output()
        if pipe is not None and not pipe.is_reading():
            pipe.resume_reading()

    def _output(self) -> asyncio.ReadTransport | None:
        pipe = self._transport.get_pipe_transport(_STDOUT) if self._transport is not None else None
        return pipe if isinstance(pipe, asyncio.ReadTransport) and not pipe.is_closing() else None

    def tail(self) -> str:
        """The escaped end of its standard error."""
        words = self._tail.decode("utf-8", "replace").strip()[-_TAIL_SHOWN:]
        return escape_text(words)

    def kill(self) -> None:
        others = beneath(self.pid) if self.pid else []
        self.signal(signal.SIGKILL)
        for other in others:
            send_signal(other, signal.SIGKILL)

    def signal(self, number: int) -> None:
        if self.pid:
            send_group((self.pid, self._started), number)

    async def stop(self, *, grace: float) -> None:
        """Closes its input, then signals, then kills; waits `grace` seconds after each."""
        if self._input is not None:
            self._input.close()
        if not await self._ends_within(grace):
            self.signal(signal.SIGTERM)
            await self._ends_within(grace)
        self.kill()
        await self._ends_within(grace)
        if self._transport is not None:
            self._transport.close()

    async def _ends_within(self, seconds: float) -> bool:
        await asyncio.wait([self._ended], timeout=seconds)
        return self._ended.done()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.SubprocessTransport):
            self._transport = transport
            self._started = started_of(transport.get_pid())
            pipe = transport.get_pipe_transport(_STDIN)
            self._input = pipe if isinstance(pipe, asyncio.WriteTransport) else None
            output = self._output()
            if output is not None:
                output.set_protocol(_Output(self.hear, output.get_protocol()))  # 6

    def hear(self, data: bytes) -> None:
        if not self._silent:
            self._ears.heard(data)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Passes on output read before rule 6 applies, and keeps the tail of errors."""
        if fd == _STDOUT:
            self.hear(data)
        elif fd == _STDERR:
            self._tail += data
            del self._tail[:-_TAIL]  # 4

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        del exc
        if fd == _STDOUT:
            self._closed = True
            if self._ended.done():
                self._fall_silent("the server ended")
            else:  # a server that ends is mostly seen to end a moment later, and says more
                loop = asyncio.get_running_loop()
                loop.call_later(_MOMENT, self._fall_silent, "the server closed its output")

    def process_exited(self) -> None:
        """Kills what is left in its group; output may still be in the pipe, so its end is awaited."""
        self.signal(signal.SIGKILL)
        if not self._ended.done():
            self._ended.set_result(None)
        if self._closed:
            self._fall_silent("the server ended")

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._fall_silent("the server ended")

    def _fall_silent(self, reason: str) -> None:
        if self._silent:
            return
        self._silent = True
        status = self._transport.get_returncode() if self._transport is not None else None
        how = "" if status is None else f" with status {status}"
        passed = died_of(status, self._limits)
        more = f": it went past its limit {passed}" if passed else ""
        self._ears.fell_silent(f"{reason}{how}{more}", self.tail())


class _Output(asyncio.Protocol):
    def __init__(self, hear: Callable[[bytes], None], before: asyncio.BaseProtocol) -> None:
        self._hear = hear
        self._before = before

    def data_received(self, data: bytes) -> None:
        self._hear(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._before.connection_lost(exc)


_PROC: Final = Path("/proc")
_SUBREAPER: Final = 36
"""PR_SET_CHILD_SUBREAPER of Linux `prctl(2)`."""


def adopt_orphans(*, on: bool = True) -> bool:
    """Sets or clears subreaper mode, so that orphans of servers stay findable; returns whether supported."""
    if not _PROC.joinpath("self/stat").exists():
        return False
    return bool(ctypes.CDLL(None).prctl(_SUBREAPER, int(on), 0, 0, 0) == 0)


def descendants(pid: int) -> list[int]:
    return [one for one, _ in beneath(pid)]


def children(pid: int) -> list[int]:
    return [one for one in descendants(pid) if parent_of(one) == pid]


def end_orphans(known: set[int]) -> list[int]:
    """Kills and reaps this process's children except `known`; returns their pids."""
    found: list[int] = []
    for orphan in children(os.getpid()):
        if orphan in known:
            continue
        for one in ((orphan, started_of(orphan)), *beneath(orphan)):
            send_signal(one, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(orphan, 0)
        found.append(orphan)
    return found
