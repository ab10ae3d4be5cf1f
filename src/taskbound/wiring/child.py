"""The signer that a daemon starts beside itself when nobody else runs one (the embedded default).

It is a process of its own, and under the same user it is no boundary against that user:
`taskbound doctor` says so, and `deploy/` runs it under an account of its own.
"""

from __future__ import annotations

import logging
import os
import select
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from taskbound.wiring.home import SOCKET_LIMIT, place_socket

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SignerChild"]

_log = logging.getLogger(__name__)
_PATIENCE: Final = 10.0
_ENDING: Final = 5.0


class SignerChild:
    """One signer process, started again when it has ended."""

    def __init__(self, home: Path, origin: str) -> None:
        """Prepare; `start` starts it."""
        self._home = home
        self._origin = origin
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = place_socket(home).with_name("signer.sock")
        if len(os.fsencode(self.socket)) > SOCKET_LIMIT:  # `daemon.sock` is as long
            raise ValueError("INVARIANT: the signer's socket fits where the daemon's does")

    def start(self) -> bool:
        """Start it unless it runs; whether it listens now."""
        if self._process is not None and self._process.poll() is None:
            return True
        listening, speaking = os.pipe()
        command = [
            sys.executable,
            "-P",
            "-E",
            "-m",
            "taskbound.wiring.signer",
            "--keys",
            str(self._home / "signer"),
            "--socket",
            str(self.socket),
            "--origin",
            self._origin,
            "--create",
            "--ready-fd",
            str(speaking),
        ]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, each word an argument
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd=self._home,
                pass_fds=(speaking,),
            )
        finally:
            os.close(speaking)
        try:
            ready = bool(select.select([listening], [], [], _PATIENCE)[0]) and os.read(listening, 16) != b""
        finally:
            os.close(listening)
        if not ready:
            _log.error("the signer did not start")
        return ready

    def stop(self) -> None:
        """End it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
