"""The signer that a daemon starts beside itself when nobody else runs one (the embedded default).

It is a process of its own, and under the same user it is no boundary against that user:
`taskbound doctor` says so, and `deploy/` runs it under an account of its own.

1. It ends with its daemon, however that ends: the daemon holds its standard input open.
2. It makes a key only as long as the log was never signed: one that has gone is an error.
3. One that has ended is started again, at once; one that did not even start, after a
   pause that doubles up to half a minute.
"""

from __future__ import annotations

import logging
import os
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from taskbound.ports.signer import SignerUnavailableError
from taskbound.wiring.home import SOCKET_LIMIT, place_socket

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["SignerChild"]

_log = logging.getLogger(__name__)
_PATIENCE: Final = 10.0
_ENDING: Final = 5.0
_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0


class SignerChild:
    """One signer process, started again when it has ended."""

    def __init__(
        self, home: Path, origin: str, *, create: bool, elapsed: Callable[[], float] = time.monotonic
    ) -> None:
        """Prepare; `start` starts it, with a new key if it may `create` one and there is none (rule 2).

        Args:
            home: The data directory.
            origin: The log's name.
            create: Whether a key may be made.
            elapsed: Seconds on a clock that is never set.
        """
        self._elapsed = elapsed
        self._home = home
        self._origin = origin
        self.create = create
        self._process: subprocess.Popen[bytes] | None = None
        self._trouble = ""
        self._pause = 0.0
        self._again = 0.0
        self.socket = place_socket(home).with_name("signer.sock")
        if len(os.fsencode(self.socket)) > SOCKET_LIMIT:  # `daemon.sock` is as long
            raise ValueError("INVARIANT: the signer's socket fits where the daemon's does")

    @property
    def pid(self) -> int:
        """Of the last one that was started; 0 before the first."""
        return 0 if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it unless it runs, or failed a moment ago (rule 3).

        Raises:
            SignerUnavailableError: It does not start, and why.
        """
        if self._process is not None and self._process.poll() is None and not self._trouble:
            return
        if self._elapsed() >= self._again:
            self._trouble = self._try()
            self._pause = min(max(_PAUSE, 2 * self._pause), _LONGEST_PAUSE) if self._trouble else 0.0
            self._again = self._elapsed() + self._pause
        if self._trouble:
            raise SignerUnavailableError(f"the signer does not start: {self._trouble}")

    def stop(self) -> None:
        """End it."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.terminate()
        try:
            self._process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _try(self) -> str:
        """Why it did not start; empty when it listens."""
        if self._process is not None:
            if not self._trouble:
                _log.warning("the signer ended with status %s", self._process.poll())
            self.stop()
        listening, speaking = os.pipe()
        with os.fdopen(listening, "rb", buffering=0) as ear:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own module, each word an argument
                    self._command(speaking),
                    stdin=subprocess.PIPE,  # 1
                    stdout=subprocess.DEVNULL,
                    cwd=self._home,
                    pass_fds=(speaking,),
                    process_group=0,  # what a terminal sends to all of us is the daemon's to pass on
                )
            except OSError as error:
                return error.strerror or "it can't be run"
            finally:
                os.close(speaking)
            said = _hear(ear.fileno())
        if said == "ready":
            return ""
        self.stop()
        return said or "it ended, or said nothing in time"

    def _command(self, speaking: int) -> list[str]:
        return [
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
            *(["--create"] if self.create else []),
            "--lifeline",
            "--ready-fd",
            str(speaking),
        ]


def _hear(descriptor: int) -> str:
    """The first line that is said there, empty when nothing is in time."""
    said = b""
    end = time.monotonic() + _PATIENCE
    while b"\n" not in said and select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
        piece = os.read(descriptor, 1024)
        if not piece:
            break
        said += piece
    return said.decode("utf-8", "replace").split("\n", 1)[0].strip()
