"""One server as a process: started as pinned, within limits, ended with all that it started.

Of `process`:

1. Every pinned file is hashed right before the start, when all that is left to do is to run it. Between
   that look and the start a writer of the file can still change it; whoever may write there could as well
   be the server. What a script reads later is not seen at all.
2. It sees the declared variables and, of ours, only those that every program needs.
3. It is the leader of a session of its own. Ending it ends its process group and, on
   Linux, every descendant that left the group and is still beneath it.
4. Its standard error is read to the end and forgotten, but for a tail.
5. Reading its output can be paused, and what is written to it is bounded by who calls.
6. Its output is heard in the moment it is read, and not, as asyncio has it, a round of the loop later.
7. It has three pipes and no other descriptor, no terminal, a pinned directory, and the limits that are
   declared or that every server has (`limits`). They are taken on before the pinned file runs, by `launch`.
8. One with secrets ends with this process, also when that is killed (`launch`, rule 5).

Of `limits`:

1. By default a server writes no core dump, which would hold all that it knows, may have 4,096 files open, and
   4 GiB of data. Data is what it can write to (`RLIMIT_DATA`): what runtimes only reserve, tens of gigabytes
   in Chromium's case, is none of it. Address space is not limited for that reason.
2. What this system does not keep can't be declared: `memory` outside of Linux, `processes` as root.
3. The number of files that a program starts with is left to it by default: what it raises it to is bounded.
4. Who uses up `cpu` is told so by a signal, and killed a second later; who writes past `size`, by another.

Of `family`:

Linux tells through `/proc`; elsewhere nothing is found here, and a server's process group
is all that is ended with it.
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
    """Go on only with limits that this system keeps (rule 2).

    Raises:
        LimitNotKeptError: It does not keep one of them.
    """
    for name, much in limits:
        if much and (why := _not_kept(name)):
            raise LimitNotKeptError(f"`{name}` can't be limited here: {why}")


def kept(limits: Sequence[Limit]) -> str:
    """What `launch` is told: `NAME:SOFT:HARD` for each; a soft limit `-` stays as it is."""
    declared = dict(limits)
    wanted = {name: much for name, much in DEFAULTS.items() if not _not_kept(name)} | declared
    words = ["RLIMIT_CORE:0:0"]  # 1
    for name, much in sorted(wanted.items()):
        if much:
            soft = "-" if name == "files" and name not in declared else str(much)  # 3
            words.append(f"{_KINDS[name]}:{soft}:{much + (name == 'cpu')}")  # 4
    return " ".join(words)


def died_of(status: int | None, limits: Sequence[Limit]) -> str:
    """The limit that a server with this status died of, as it was declared; empty when nothing says so."""
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


class Ears(Protocol):
    """Who hears what a process says."""

    def heard(self, data: bytes) -> None:
        """Bytes of its standard output."""

    def fell_silent(self, reason: str, detail: str) -> None:
        """Its standard output ended, or the process did; called once, with the tail of its errors."""


def environment_for(declared: tuple[tuple[str, str], ...], ours: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a server (rule 2)."""
    kept = {name: value for name, value in ours.items() if name in _INHERITED or name.startswith("LC_")}
    return {**kept, **dict(declared)}


async def _become(told_by: socket.socket, whole: bytes, called: str) -> None:
    """Tell a launched process what to run, and wait until it does.

    Raises:
        StartFailedError: It can't.
    """
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
    """What `launch` reads: limits, file, with whom it ends, variables with their number, and the command."""
    variables = [part for pair in environment.items() for part in pair]
    texts = (kept(identity.limits), identity.resolved, parent, str(len(environment)), *variables)
    fields = [os.fsencode(one) for one in (*texts, identity.command, *identity.arguments)]
    return b"%d\0" % len(fields) + b"".join(one + b"\0" for one in fields)


class ServerProcess(asyncio.SubprocessProtocol):
    """A running server; made by `start`."""

    def __init__(self, ears: Ears, limits: Sequence[Limit] = ()) -> None:
        """Prepare; nothing runs yet."""
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
        ears: Ears,
        *,
        ours: Mapping[str, str],
        secret: tuple[tuple[str, str], ...] = (),
    ) -> ServerProcess:
        """The server, running.

        Args:
            identity: What is started.
            ears: Who hears it.
            ours: This process's environment.
            secret: Variables in slots of it, beside those that are declared.

        Raises:
            ServerChangedError: Something pinned is different.
            StartFailedError: The system could not start it.
        """
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
    async def _launched(cls, identity: ServerIdentity, ears: Ears, told_by: int) -> ServerProcess:
        """A process that becomes the server once it is told to by this descriptor (rule 7).

        Raises:
            StartFailedError: The system could not start it.
        """
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
        """End what has not become the server, and say nothing of it."""
        self._silent = True
        self.kill()
        await self.stop(grace=_MOMENT)

    @property
    def pid(self) -> int:
        """Its process id, which is its session's and its group's too."""
        return self._transport.get_pid() if self._transport is not None else 0

    @property
    def unsent(self) -> int:
        """Bytes that were written and that it has not taken yet."""
        return self._input.get_write_buffer_size() if self._input is not None else 0

    def write(self, data: bytes) -> None:
        """Send these bytes, in order; they are dropped once it is silent."""
        if self._input is not None and not self._silent and not self._input.is_closing():
            self._input.write(data)

    def pause(self) -> None:
        """Read nothing more of its output (rule 5)."""
        pipe = self._output()
        if pipe is not None and pipe.is_reading():
            pipe.pause_reading()

    def resume(self) -> None:
        """Read on."""
        pipe = self._output()
        if pipe is not None and not pipe.is_reading():
            pipe.resume_reading()

    def _output(self) -> asyncio.ReadTransport | None:
        pipe = self._transport.get_pipe_transport(_STDOUT) if self._transport is not None else None
        return pipe if isinstance(pipe, asyncio.ReadTransport) and not pipe.is_closing() else None

    def tail(self) -> str:
        """The end of what it wrote to standard error, escaped, for a person who looks for the cause."""
        words = self._tail.decode("utf-8", "replace").strip()[-_TAIL_SHOWN:]
        return escape_text(words)

    def kill(self) -> None:
        """End it and all beneath it at once (rule 3)."""
        others = beneath(self.pid) if self.pid else []
        self.signal(signal.SIGKILL)
        for other in others:
            send_signal(other, signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Send a signal to its whole group."""
        if self.pid:
            send_group((self.pid, self._started), number)

    async def stop(self, *, grace: float) -> None:
        """End its input and wait, then ask it by signal and wait, then kill it; `grace` seconds each."""
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
        """Keep the transport (asyncio calls this)."""
        if isinstance(transport, asyncio.SubprocessTransport):
            self._transport = transport
            self._started = started_of(transport.get_pid())
            pipe = transport.get_pipe_transport(_STDIN)
            self._input = pipe if isinstance(pipe, asyncio.WriteTransport) else None
            output = self._output()
            if output is not None:
                output.set_protocol(_Output(self.hear, output.get_protocol()))  # 6

    def hear(self, data: bytes) -> None:
        """Hand on its output."""
        if not self._silent:
            self._ears.heard(data)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Hand on what it wrote before rule 6 held, keep the tail of its errors (asyncio calls this)."""
        if fd == _STDOUT:
            self.hear(data)
        elif fd == _STDERR:
            self._tail += data
            del self._tail[:-_TAIL]  # 4

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Note the end of its output (asyncio calls this)."""
        del exc
        if fd == _STDOUT:
            self._closed = True
            if self._ended.done():
                self._fall_silent("the server ended")
            else:  # a server that ends is mostly seen to end a moment later, and says more
                loop = asyncio.get_running_loop()
                loop.call_later(_MOMENT, self._fall_silent, "the server closed its output")

    def process_exited(self) -> None:
        """Note its end, and end what it left in its group (asyncio calls this).

        Its output may still hold an answer that it wrote before it ended, so silence waits for
        the end of the pipe; but a child that holds the pipe open is ended here.
        """
        self.signal(signal.SIGKILL)
        if not self._ended.done():
            self._ended.set_result(None)
        if self._closed:
            self._fall_silent("the server ended")

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that process and pipes are gone (asyncio calls this)."""
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
    """A server's output: heard at once (rule 6); its end is told by asyncio, behind all that was read."""

    def __init__(self, hear: Callable[[bytes], None], before: asyncio.BaseProtocol) -> None:
        """Take the pipe over from asyncio's own protocol."""
        self._hear = hear
        self._before = before

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        self._hear(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let asyncio see the end: it waits for all pipes."""
        self._before.connection_lost(exc)


_PROC: Final = Path("/proc")
_SUBREAPER: Final = 36
"""PR_SET_CHILD_SUBREAPER of Linux `prctl(2)`."""


def adopt_orphans(*, on: bool = True) -> bool:
    """Become the parent of every descendant that loses its own, or stop; whether the system can do that.

    With it, what a server starts and leaves behind stays beneath the gateway, and is found.
    """
    if not _PROC.joinpath("self/stat").exists():
        return False
    return bool(ctypes.CDLL(None).prctl(_SUBREAPER, int(on), 0, 0, 0) == 0)


def descendants(pid: int) -> list[int]:
    """Every process beneath this one now."""
    return [one for one, _ in beneath(pid)]


def children(pid: int) -> list[int]:
    """Every process whose parent this one is."""
    return [one for one in descendants(pid) if parent_of(one) == pid]


def end_orphans(known: set[int]) -> list[int]:
    """Kill and reap this process's children that are not known: what servers left behind.

    Args:
        known: Children that are somebody's to wait for.

    Returns:
        The processes that were ended.
    """
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
