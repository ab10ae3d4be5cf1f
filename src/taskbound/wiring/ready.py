"""Reports readiness or failure of a process: on a descriptor, and to systemd."""

from __future__ import annotations

import os
import socket


def say_ready(descriptor: int) -> None:
    """Writes `ready` to the descriptor, if given, and notifies systemd (sd_notify(3))."""
    _write(descriptor, "ready\n")
    told = os.environ.get("NOTIFY_SOCKET", "")
    if told.startswith(("/", "@")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as one:
            one.sendto(b"READY=1", told.replace("@", "\0", 1) if told[0] == "@" else told)


def say_failed(descriptor: int, sentence: str) -> None:
    """Writes the reason of a failed start to the descriptor, if given."""
    _write(descriptor, f"{sentence}\n")


def _write(descriptor: int, line: str) -> None:
    if descriptor >= 0:
        os.write(descriptor, line.encode())
        os.close(descriptor)
