"""What the kernel says of the other end of a Unix socket, and of the processes above it.

1. The uid and pid are read from the socket at accept (SO_PEERCRED). The process is held by a descriptor
   (pidfd) as long as its connection is used: one that has ended is refused, because its number may be another
   process's. From then on pid and start time name it, until the machine is restarted.
2. The ancestry is walked at accept: later the parents may be gone. It is known whole or not at
   all: a parent that ends during the walk, or a line of processes without end, would hide
   who stands above, and a process that hides it is taken for nobody.
3. Where the kernel tells less (not Linux), nobody is taken for a person. Linux before 6.5 has no
   SO_PEERPIDFD: there the process is held by its number, so that a number which was reused before the accept
   is not noticed. A socket has no time of its own (fstat(2) gives 0) to compare a start time with.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from pathlib import Path
from typing import Final

from taskbound.core.dataclass import dataclass
from taskbound.core.identity import PeerProof, UnprovenError

_CREDENTIALS: Final = struct.Struct("3i")
_DESCRIPTOR: Final = struct.Struct("i")
_PEER_PIDFD: Final = getattr(socket, "SO_PEERPIDFD", 77)
"""Linux's own number (asm-generic/socket.h) where Python has no name for it."""
_PROC: Final = Path("/proc")
_DEPTH: Final = 256
_WALKS: Final = 16
_PARENT: Final = 1
_START: Final = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The process at the other end."""

    proof: PeerProof
    ancestry: tuple[tuple[int, int], ...]
    """(pid, start time) of the process and those above it, nearest first."""


def hold_peer(connection: socket.socket) -> int:
    """A descriptor of the process at the other end of this connection, which the caller closes (rule 1).

    Raises:
        UnprovenError: The kernel does not say, or the process is gone already.
    """
    pid, _ = _credentials(connection)
    try:
        try:
            held = connection.getsockopt(socket.SOL_SOCKET, _PEER_PIDFD, _DESCRIPTOR.size)
        except OSError as error:
            if error.errno != errno.ENOPROTOOPT:
                raise
            return os.pidfd_open(pid)  # 3
    except OSError as error:
        raise UnprovenError(f"process {pid}, which connected, can't be held: {error.strerror}") from error
    return int(_DESCRIPTOR.unpack(held)[0])


def read_peer(connection: socket.socket, held: int, *, proc: Path = _PROC) -> Peer:
    """Who is at the other end of this connection.

    Args:
        connection: As it was accepted.
        held: What `hold_peer` gave for it.
        proc: Where the kernel tells of processes.

    Raises:
        UnprovenError: The kernel does not say, or the process has ended.
    """
    pid, uid = _credentials(connection)
    ancestry = ancestry_of(pid, proc=proc)
    if not ancestry:
        raise UnprovenError(f"process {pid} or those above it can't be looked at")
    if _has_ended(held):  # looked at last: whoever lives now had this number during the walk too
        raise UnprovenError(f"process {pid}, which connected, has ended")
    return Peer(proof=PeerProof(uid=uid, pid=pid, started=ancestry[0][1]), ancestry=ancestry)


def _credentials(connection: socket.socket) -> tuple[int, int]:
    """The pid and uid of who connected.

    Raises:
        UnprovenError: The kernel does not say.
    """
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        raise UnprovenError("this system does not say which process is at the other end")  # 3
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    except OSError as error:
        raise UnprovenError("the other end of the connection is gone") from error
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return pid, uid


def _has_ended(held: int) -> bool:
    """Whether the process of this descriptor has; a zombie, which does nothing more, has too."""
    poll = select.poll()
    poll.register(held, select.POLLIN)
    return bool(poll.poll(0))


def boot_id() -> str:
    """What names this start of the machine; empty where the system has no such name."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def is_alive(pid: int, started: int, *, proc: Path = _PROC) -> bool:
    """Whether the process of this pid and start time is there; a zombie, which does nothing more, is not."""
    try:
        stat = (proc / str(pid) / "stat").read_bytes()
    except OSError:
        return False
    fields = stat[stat.rindex(b")") + 2 :].split()
    return int(fields[_START]) == started and fields[0] not in {b"Z", b"X"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is seen of a process."""

    parent: int
    started: int


def read_processes(proc: Path = _PROC) -> dict[int, Seen]:
    """Every process that can be looked at, by pid; empty where the system shows none."""
    found: dict[int, Seen] = {}
    for stat in proc.glob("[0-9]*/stat"):
        try:
            data = stat.read_bytes()
        except OSError:
            continue  # it has ended meanwhile
        fields = data[data.rindex(b")") + 2 :].split()
        found[int(stat.parent.name)] = Seen(parent=int(fields[_PARENT]), started=int(fields[_START]))
    return found


def ancestry_of(pid: int, *, proc: Path = _PROC) -> tuple[tuple[int, int], ...]:
    """(pid, start time) of a process and of all above it, nearest first; empty when that can't be known.

    Args:
        pid: The process.
        proc: Where the kernel tells of processes.
    """
    for _ in range(_WALKS):
        found = _walk(pid, proc)
        if found:
            return found
    return ()


def _walk(pid: int, proc: Path) -> tuple[tuple[int, int], ...]:
    """One try; a parent that ended meanwhile has left its children to another one (rule 2)."""
    found: list[tuple[int, int]] = []
    while pid > 1:
        try:
            stat = (proc / str(pid) / "stat").read_bytes()
        except OSError:
            return ()
        # The command's name stands in parentheses and may hold anything: fields count from the last one on.
        fields = stat[stat.rindex(b")") + 2 :].split()
        started = int(fields[_START])
        if len(found) == _DEPTH or (found and started > found[-1][1]):
            return ()  # too deep, or the parent's number is another process's by now
        found.append((pid, started))
        pid = int(fields[_PARENT])
    return tuple(found)
