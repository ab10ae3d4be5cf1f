"""The keeper: a process between `taskbound run` or `exec` and its command that ends all descendants (Linux).

1. Run and keeper adopt orphans (PR_SET_CHILD_SUBREAPER): a double fork or a new session doesn't escape.
2. After the command, descendants are terminated, and killed after two seconds; then the keeper exits.
3. When the run exits or is killed, the kernel signals the keeper, which kills all descendants at once.
4. When the keeper is killed, the kernel kills the command, and the run kills the adopted rest.
5. If both are killed, the daemon knows only descendants that it saw before (`surfaces.api.insiders`).
6. The command's own folder is removed last. If both are killed it stays, so it must hold no secret.
7. A daemon that a gateway below had to restart is a descendant too; one that the run starts is not.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.ports.process import beneath as processes_beneath
from taskbound.ports.process import send_signal, started_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

    from taskbound.ports.process import Process


PASSED: Final = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
"""Signals that go on to the command."""
_SIGNALED: Final = 128
"""What a shell adds to the number of the signal that ended a command."""
_FROM_TERMINAL: Final = frozenset({signal.SIGINT, signal.SIGQUIT})
_LINUX: Final = sys.platform == "linux"
_SUBREAPER: Final = 36
"""PR_SET_CHILD_SUBREAPER of Linux `prctl(2)`."""
_DEATH_SIGNAL: Final = 1
"""PR_SET_PDEATHSIG."""
_DUMPABLE: Final = 4
"""PR_SET_DUMPABLE."""
_GONE: Final = signal.SIGRTMAX if _LINUX else signal.SIGALRM
"""What the kernel sends the keeper when its run has ended."""
_GRACE: Final = 2.0
_PATIENCE: Final = 10.0
_PAUSE: Final = 0.01


class Keeper:
    """The keeper's process, as the run sees it."""

    def __init__(
        self, task: str, environment: Mapping[str, str] | None = None, *, leaves: Path | None = None
    ) -> None:
        """Fork; this process must have a single thread. `leaves` is a folder to remove with the command."""
        self._go, self._said = -1, -1
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {*PASSED, signal.SIGCHLD})
        waiting, self._go = os.pipe()
        self._said, saying = os.pipe()
        run = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            status = _SIGNALED
            try:
                status = _Kept(run, before, {**(environment or {}), "TASKBOUND_TASK": task}).keep(
                    waiting, saying
                )
            finally:
                if leaves is not None:
                    shutil.rmtree(
                        leaves, ignore_errors=True
                    )  # 6; the run says what is left, where it is there
                os._exit(status)  # never back into the run's own code
        self._process = (self.pid, started_of(self.pid))
        os.close(waiting)
        os.close(saying)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def signal(self, number: int) -> None:
        """Signal the keeper, unless it has exited."""
        send_signal(self._process, number)

    def start(self, program: str, words: Sequence[str]) -> str:
        told = b"\0".join(os.fsencode(word) for word in (program, *words))
        try:
            while told:
                told = told[os.write(self._go, told) :]
        except BrokenPipeError:
            return "its keeper was killed"
        finally:
            os.close(self._go)
        said = b""
        while piece := os.read(self._said, 4096):
            said += piece
        os.close(self._said)
        return said.decode("utf-8", "replace")


class _Kept:
    def __init__(self, run: int, mask: set[int | signal.Signals], environment: Mapping[str, str]) -> None:
        self._run = run
        self._environment = environment
        self._mask = mask
        self._command: subprocess.Popen[bytes] | None = None
        self._command_started = 0
        self._signals: list[int] = []

    def keep(self, waiting: int, saying: int) -> int:
        wake, waker = self._prepare(waiting, saying)
        told = b""
        while piece := os.read(waiting, 65536):
            told += piece
        os.close(waiting)
        if not told:
            return _SIGNALED  # the run has ended before there was a command
        program, *words = told.split(b"\0")
        try:
            self._command = subprocess.Popen(  # noqa: S603 - it is what was asked for
                words,
                executable=program,
                env={**os.environ, **self._environment},
                preexec_fn=_tie(os.getpid()),  # noqa: PLW1509 - the keeper has one thread
            )
            self._command_started = started_of(self._command.pid)
        except OSError as error:
            os.write(saying, (error.strerror or "it can't be run").encode())
            return _SIGNALED - 1
        os.close(saying)
        for number in tuple(self._signals):
            self._pass_on(number)
        return self._wait(wake, waker)

    def _prepare(self, waiting: int, saying: int) -> tuple[int, int]:
        for one in range(3, max(waiting, saying)):
            if one not in {waiting, saying}:
                with suppress(OSError):
                    os.close(one)
        os.closerange(max(waiting, saying) + 1, 4096)  # the run's connection, above all, ends with the run
        wake, waker = os.pipe()
        os.set_blocking(waker, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for one in PASSED:
            if signal.getsignal(one) != signal.SIG_IGN:
                signal.signal(one, self._note)
        for other in (signal.SIGCHLD, _GONE):
            signal.signal(other, _wake)
        adopt_orphans()
        _prctl(_DEATH_SIGNAL, _GONE)  # 3
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        return wake, waker

    def _wait(self, wake: int, waker: int) -> int:
        del waker  # held open by the wakeup descriptor
        command = self._command.pid if self._command is not None else 0
        status: int | None = None
        while status is None:
            if os.getppid() != self._run:
                end_beneath(gently=False)  # 3
                return _SIGNALED
            found = reap()
            if command in found:
                status = found[command]
                break
            select.select([wake], [], [])
            with suppress(BlockingIOError):
                os.read(wake, 4096)
        end_beneath(gently=True, hurry=lambda: os.getppid() != self._run)  # 2
        return status

    def _note(self, number: int, _frame: object) -> None:
        self._signals.append(number)
        self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        """Pass a signal on, unless the terminal sent it to the command too."""
        if self._command is None or (number in _FROM_TERMINAL and in_foreground()):
            return
        send_signal((self._command.pid, self._command_started), number)


def _wake(_number: int, _frame: object) -> None:
    pass


def _tie(keeper: int) -> Callable[[], None]:
    def tie() -> None:
        _prctl(_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(_SIGNALED)

    return tie


def _prctl(option: int, value: int) -> None:
    if _LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(option, int(value), 0, 0, 0)


def adopt_orphans(*, on: bool = True) -> None:
    _prctl(_SUBREAPER, on)


def hide() -> None:
    """Protect this process from tracers of its account and from core dumps; children are not protected."""
    _prctl(_DUMPABLE, 0)


@contextmanager
def woken(note: Callable[[int, FrameType | None], None]) -> Iterator[int]:
    """Yield a descriptor that becomes readable on each signal; signals ignored at start stay ignored."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if _LINUX else os.pipe()
    os.set_blocking(writing, False)
    heard = [one for one in (*PASSED, signal.SIGCHLD) if signal.getsignal(one) != signal.SIG_IGN]
    before = {one: signal.signal(one, note) for one in heard}
    wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(wakeup)
        for one, handler in before.items():
            signal.signal(one, handler)
        os.close(reading)
        os.close(writing)


def in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def reap() -> dict[int, int]:
    """Reap all exited children; returns shell-style statuses by pid."""
    found: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        code = os.waitstatus_to_exitcode(status)
        found[pid] = code if code >= 0 else _SIGNALED - code


def end_beneath(*, gently: bool, hurry: Callable[[], bool] = lambda: False) -> tuple[int, ...]:
    """Return the descendants that did not end; `gently` terminates first, `hurry` cuts the delay short."""
    beneath = processes_beneath(os.getpid())
    if gently:
        _send(beneath, signal.SIGTERM)
        end = time.monotonic() + _GRACE
        while beneath and time.monotonic() < end and not hurry():
            beneath = _next()
    end = time.monotonic() + _PATIENCE
    while beneath and time.monotonic() < end:
        _send(beneath, signal.SIGKILL)
        beneath = _next()
    return tuple(pid for pid, _ in beneath)


def _next() -> list[Process]:
    if not reap():
        time.sleep(_PAUSE)
        reap()
    return processes_beneath(os.getpid())


def _send(processes: Sequence[Process], number: int) -> None:
    for one in processes:
        send_signal(one, number)
