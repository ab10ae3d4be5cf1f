"""What the kernel says of the other end of a Unix socket, and of the processes above it.

1. The uid and pid are read from the socket at accept (SO_PEERCRED); the pid is held
   to the process by its start time, and means nothing after a restart of the machine.
2. The ancestry is walked once, at accept: later the parents may be gone.
3. Where the kernel tells less (not Linux), nobody is taken for a person.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from taskbound.core.identity import PeerProof, UnprovenError

__all__ = ["Peer", "boot_id", "read_peer"]

_CREDENTIALS: Final = struct.Struct("3i")
_DEPTH: Final = 64
_PARENT: Final = 1
_START: Final = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The process at the other end."""

    proof: PeerProof
    ancestry: tuple[tuple[int, int], ...]
    """(pid, start time) of the process and those above it, nearest first."""


def read_peer(connection: socket.socket) -> Peer:
    """Who is at the other end of this connection.

    Raises:
        UnprovenError: The kernel does not say, or the process is gone already.
    """
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        raise UnprovenError("this system does not say which process is at the other end")  # 3
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    except OSError as error:
        raise UnprovenError("the other end of the connection is gone") from error
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    ancestry = _ancestry(pid)
    if not ancestry:
        raise UnprovenError(f"process {pid} can't be looked at")
    return Peer(proof=PeerProof(uid=uid, pid=pid, started=ancestry[0][1]), ancestry=ancestry)


def boot_id() -> str:
    """What names this start of the machine; empty where the system has no such name."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _ancestry(pid: int) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    while pid > 1 and len(found) < _DEPTH:
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            break
        # The command's name stands in parentheses and may hold anything: fields count from the last one on.
        fields = stat[stat.rindex(b")") + 2 :].split()
        found.append((pid, int(fields[_START])))
        pid = int(fields[_PARENT])
    return tuple(found)
