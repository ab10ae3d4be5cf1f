"""What the kernel states about the peer of a Unix socket and its ancestors.

1. uid and pid are read at accept (SO_PEERCRED), and a pidfd holds the process while its connection is used:
   after its end the number may be another process's. From then on pid and start time name it, until the
   machine restarts.
2. The ancestry is read at accept, because parents may be gone later. It is known whole or not at all: a
   parent that ends during the walk, or an endless chain, would hide ancestors, and such a process is
   unproven.
3. Where the kernel states less (not Linux) no peer is a person. Linux before 6.5 lacks SO_PEERPIDFD: the
   process is held by its number, so a number reused before the accept goes unnoticed. fstat(2) gives 0 as a
   socket's time, so no start time can be compared with it.
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
    """Returns a pidfd of the peer, which the caller closes (rule 1).

    Raises UnprovenError without one.
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
    """Returns the peer of an accepted connection; `held` is from `hold_peer`.

    Raises UnprovenError if the kernel does not state it, or the process has ended.
    """
    pid, uid = _credentials(connection)
    ancestry = ancestry_of(pid, proc=proc)
    if not ancestry:
        raise UnprovenError(f"process {pid} or those above it can't be looked at")
    if _has_ended(held):  # checked last: the process that is alive now had this number during the walk too
        raise UnprovenError(f"process {pid}, which connected, has ended")
    return Peer(proof=PeerProof(uid=uid, pid=pid, started=ancestry[0][1]), ancestry=ancestry)


def _credentials(connection: socket.socket) -> tuple[int, int]:
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
    """A zombie counts as ended: it acts no more."""
    poll = select.poll()
    poll.register(held, select.POLLIN)
    return bool(poll.poll(0))


def boot_id() -> str:
    """Returns the id of this boot of the machine; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def is_alive(pid: int, started: int, *, proc: Path = _PROC) -> bool:
    """Returns whether the process of this pid and start time exists; a zombie does not count."""
    try:
        stat = (proc / str(pid) / "stat").read_bytes()
    except OSError:
        return False
    fields = stat[stat.rindex(b")") + 2 :].split()
    return int(fields[_START]) == started and fields[0] not in {b"Z", b"X"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The state of a process."""

    parent: int
    started: int


def read_processes(proc: Path = _PROC) -> dict[int, Seen]:
    """Returns every visible process by pid; empty where the system shows none."""
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
    """Returns (pid, start time) of a process and its ancestors, nearest first; empty if unknown."""
    for _ in range(_WALKS):
        found = _walk(pid, proc)
        if found:
            return found
    return ()


def _walk(pid: int, proc: Path) -> tuple[tuple[int, int], ...]:
    """One attempt: a parent that ended meanwhile has passed its children to another one (rule 2)."""
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
