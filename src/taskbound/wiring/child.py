"""Signer, egress, broker and API processes that the daemon starts when no other account runs them.

Processes of the same user are no security boundary against that user; `deploy/` uses separate accounts.

1. A child exits with its daemon, which holds the child's standard input open.
2. The signer creates a key only while the log was never signed; a missing key is an error after that. Egress
   and broker create a missing key; values sealed to another key are reported and must be set again.
3. A child that exits is restarted at once. One that fails to start is retried after a pause that doubles up
   to half a minute. One that is not ready in time gets twice as long the next time, up to 80 seconds, for
   busy machines.
4. The egress starts only once a server has slots, the broker only once there are targets.
5. Once the daemon is ending, no child is started, and a child that is still starting is killed.
6. The API starts if a listen address is configured; the daemon does not wait for it.
7. The reason for a failed start is kept in a file beside the socket until the child starts or the daemon
   does, so that a waiting command can report it (`explain_silence`).
"""

from __future__ import annotations

import logging
import os
import selectors
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import UnavailableError
from taskbound.ports.signer import SignerUnavailableError
from taskbound.wiring.home import SOCKET_LIMIT, place_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


_log = logging.getLogger(__name__)
_PATIENCE: Final = 10.0
_LONGEST_PATIENCE: Final = 80.0
"""Seconds that one may take until it is ready, the first time and at most (rule 3)."""
_LINE: Final = 1024
_ENDING: Final = 5.0
_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0


class EgressNotStartedError(UnavailableError):
    """The egress failed to start."""

    code = "egress-not-started"
    remedy = "look at the daemon's log; servers with secrets are out of reach meanwhile"


class BrokerNotStartedError(UnavailableError):
    """The broker failed to start."""

    code = "broker-not-started"
    remedy = "look at the daemon's log; nothing is minted or revoked meanwhile"


class ApiNotStartedError(UnavailableError):
    """The API process failed to start."""

    code = "api-not-started"
    remedy = "look at the daemon's log; another process may have the port (`taskbound serve --port N`)"


class Child(ABC):
    """A supervised child process; its first start counts as failed after `patience` seconds (rule 3)."""

    def __init__(
        self,
        home: Path,
        name: str,
        error: type[UnavailableError],
        *,
        elapsed: Callable[[], float] = time.monotonic,
        patience: float = _PATIENCE,
    ) -> None:
        self._elapsed = elapsed
        self._home = home
        self._name = name
        self._error = error
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()
        self._starting = self._left = False
        """Whether one is just starting, and whether none is started any more (rule 5); under `_turn`."""
        self._trouble = ""
        self._pause = 0.0
        self._again = 0.0
        self._patience = patience
        self.socket = place_socket(home).with_name(f"{name}.sock")
        self._note()
        if len(os.fsencode(self.socket)) > SOCKET_LIMIT:  # `daemon.sock` is as long
            raise ValueError(f"INVARIANT: the {name}'s socket fits where the daemon's does")

    @property
    def pid(self) -> int:
        """The process id of the last start; 0 before the first."""
        return 0 if self._process is None else self._process.pid

    def start(self) -> None:
        """Starts the child unless it runs, failed a moment ago (rule 3) or was left (rule 5)."""
        if self._process is not None and self._process.poll() is None and not self._trouble:
            return
        if self._elapsed() >= self._again or self._left:
            self._trouble = self._try()
            self._note()
            self._pause = min(max(_PAUSE, 2 * self._pause), _LONGEST_PAUSE) if self._trouble else 0.0
            self._again = self._elapsed() + self._pause
        if self._trouble:
            raise self._error(self._told_trouble)

    def leave(self) -> None:
        """Prevents further starts (rule 5), from any thread; `stop` ends a running child."""
        with self._turn:
            self._left = True
            if self._starting and self._process is not None:
                self._process.kill()  # so that nobody waits for its word

    def stop(self) -> None:
        """Ends the child. Call it from the starting thread, or after that thread has ended."""
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
        """Returns why the start failed; empty if the child listens."""
        if self._process is not None:
            if not self._trouble:
                _log.warning("the %s ended with status %s", self._name, self._process.poll())
            self.stop()
        listening, speaking = os.pipe()
        with os.fdopen(listening, "rb", buffering=0) as ear:
            try:
                trouble = self._run(speaking)
            finally:
                os.close(speaking)
            said = "" if trouble else _hear(ear.fileno(), self._patience)
        with self._turn:
            self._starting = False
        if said == "ready":
            return ""
        slow = self._slower() if said is None else ""
        self.stop()
        if self._process is None or trouble:
            return trouble
        return slow or said or f"it ended with status {self._process.returncode}"

    def _note(self) -> None:
        note = _note_of(self.socket)
        with suppress(OSError):  # the log has it too
            note.unlink(missing_ok=True)
            if self._trouble:
                descriptor = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(f"{self._told_trouble}\n")

    @property
    def _told_trouble(self) -> str:
        return f"the {self._name} does not start: {self._trouble}"

    def _slower(self) -> str:
        had, self._patience = self._patience, min(2 * self._patience, _LONGEST_PATIENCE)
        return f"it was not ready within {had:g} seconds; the next one has {self._patience:g}"

    def _run(self, speaking: int) -> str:
        """Runs the child, which reports readiness on the descriptor; returns why it failed, or ''."""
        with self._turn:
            if self._left:
                return "its daemon is ending"  # 5
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
            self._starting = True
        return ""

    def _command(self, speaking: int) -> list[str]:
        return [
            sys.executable,
            "-P",
            "-E",
            "-m",
            f"taskbound.wiring.{self._name}",
            *self._words(),
            "--lifeline",
            "--ready-fd",
            str(speaking),
        ]

    @abstractmethod
    def _words(self) -> list[str]:
        pass

    def _own(self) -> list[str]:
        return ["--keys", str(self._home / self._name), "--socket", str(self.socket)]


class SignerChild(Child):
    """The signer; `create` permits a new key if it is missing (rule 2)."""

    def __init__(
        self,
        home: Path,
        origin: str,
        *,
        create: bool,
        words: Sequence[str] = (),
        elapsed: Callable[[], float] = time.monotonic,
        patience: float = _PATIENCE,
    ) -> None:
        super().__init__(home, "signer", SignerUnavailableError, elapsed=elapsed, patience=patience)
        self._origin = origin
        self._told = tuple(words)
        self.create = create

    def _words(self) -> list[str]:
        return [*self._own(), "--origin", self._origin, *self._told, *(["--create"] if self.create else [])]


class EgressChild(Child):
    """The egress, a client of its daemon (rule 4)."""

    def __init__(self, home: Path, daemon: Path, *, level: str) -> None:
        super().__init__(home, "egress", EgressNotStartedError)
        self._daemon = daemon
        self._level = level

    def _words(self) -> list[str]:
        return [*self._own(), "--daemon", str(self._daemon), "--create", "--log-level", self._level]


class BrokerChild(Child):
    """The broker, a client of its daemon that reads its store (rule 4)."""

    def __init__(self, home: Path, daemon: Path, *, words: Sequence[str], level: str) -> None:
        super().__init__(home, "broker", BrokerNotStartedError)
        self._daemon = daemon
        self._told = tuple(words)
        self._level = level

    def _words(self) -> list[str]:
        told = ["--daemon", str(self._daemon), *self._told, "--log-level", self._level]
        return [*self._own(), "--create", *told]


class ApiChild(Child):
    """The API process, a client of its daemon (rule 6)."""

    def __init__(self, home: Path, daemon: Path, *, words: Sequence[str], level: str) -> None:
        super().__init__(home, "api", ApiNotStartedError)
        self._daemon = daemon
        self._told = tuple(words)
        self._level = level

    def _words(self) -> list[str]:
        return ["--daemon", str(self._daemon), *self._told, "--log-level", self._level]


@contextmanager
def explain_silence(socket: Path, error: type[UnavailableError]) -> Iterator[None]:
    try:
        yield
    except UnavailableError as silence:
        try:
            with _note_of(socket).open("rb") as note:
                line = note.read(_LINE).decode("utf-8", "replace").split("\n", 1)[0]
        except OSError:
            raise silence from None
        raise error(line) from silence


def _note_of(socket: Path) -> Path:
    return socket.with_suffix(".failed")


def _hear(descriptor: int, patience: float) -> str | None:
    """Returns the first line; '' if the child exited without a line, None on timeout."""
    said = b""
    end = time.monotonic() + patience
    with selectors.DefaultSelector() as waiting:  # a daemon has more descriptors than `select` can name
        waiting.register(descriptor, selectors.EVENT_READ)
        while b"\n" not in said:
            if not waiting.select(max(0.0, end - time.monotonic())):
                return None
            piece = os.read(descriptor, 1024)
            if not piece:
                break
            said += piece
    return said.decode("utf-8", "replace").split("\n", 1)[0].strip()
