"""Delivers monitor messages to a file or a program.

1. A file gets one line a message and is synced before the message counts as delivered. It is created with
   mode 0600; a link is not followed.
2. A program gets the message on standard input, no arguments, a short environment and 10 seconds; only exit
   status 0 means delivered.
"""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import PurePosixPath
from typing import Final

from taskbound.ports.monitor import BadMonitorError, MonitorUnreachableError

_PATIENCE: Final = 10
_ENVIRONMENT: Final = (
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "HOME",
    "LANG",
    "PATH",
    "WAYLAND_DISPLAY",
    "XDG_RUNTIME_DIR",
)
_LINE: Final = 65536


class LocalMonitor:
    """Local monitors; implements `taskbound.ports.monitor.Monitor`."""

    def parse(self, address: str) -> str:
        """Returns the normalized address: `file:` or `exec:` and an absolute path; raises BadMonitorError."""
        kind, _, path = address.partition(":")
        plain = PurePosixPath(path)
        if kind not in {"file", "exec"} or not plain.is_absolute() or ".." in plain.parts or "\0" in path:
            raise BadMonitorError(f"`{address[:200]}` names no monitor", where="monitor")
        return f"{kind}:{plain}"

    def deliver(self, address: str, message: bytes) -> None:
        """Delivers one message; raises MonitorUnreachableError."""
        if b"\n" in message or len(message) >= _LINE:
            raise MonitorUnreachableError(f"a message of {len(message)} bytes is no single line of a monitor")
        kind, _, path = self.parse(address).partition(":")
        try:
            if kind == "file":
                _append(path, message + b"\n")
            else:
                _run(path, message)
        except OSError as error:
            raise MonitorUnreachableError(
                f"monitor `{address}` can't be reached: {error.strerror or error}"
            ) from error


def _append(path: str, line: bytes) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    opened = os.open(path, flags, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise MonitorUnreachableError(f"`{path}` is not a file")
        written = os.write(opened, line)
        if written != len(line):
            raise MonitorUnreachableError(f"only {written} of {len(line)} bytes could be written to `{path}`")
        os.fsync(opened)
    finally:
        os.close(opened)


def _run(path: str, message: bytes) -> None:
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    try:
        done = subprocess.run(  # noqa: S603 - the owner of the agent named this program, and a person registered it
            [path],
            input=message,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MonitorUnreachableError(f"`{path}` did not end within {_PATIENCE} seconds") from error
    if done.returncode != 0:
        raise MonitorUnreachableError(f"`{path}` ended with status {done.returncode}")
