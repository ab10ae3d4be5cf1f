"""Runs look-ups in a separate, bounded process; servers and file authors are not trusted.

1. There is one process a call, killed after some seconds, whatever blocks it.
2. It parses foreign data, so a crash must not reach the daemon. It limits its memory, inherits no handle, and
   its output is bounded.
3. Its environment has only what libpq and TLS need to find their files: no proxy, option or password.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.adapters.approval.apart.words import LookupBatch, LookupRequest, LookupResult
from taskbound.core.approval import (
    Operand,
    OperandOutsideError,
    OperandUnreadableError,
    UnreadableQuestionError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from taskbound.core.approval import Lookup
    from taskbound.core.errors import DeniedError


PATIENCE: Final = 4.0
"""Seconds that the looks of one call may take: less than what was found is worth (`core.decision.settle`)."""
ENVIRONMENT: Final = (
    "HOME",
    "PGPASSFILE",
    "PGSERVICEFILE",
    "PGSYSCONFDIR",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
)
"""What it gets of the environment (rule 3)."""
_END: Final = 0.5
"""Seconds to wait for a process that was killed: one that the kernel holds is left to it."""
_LONGEST: Final = 256 * 1024
"""Bytes that are read of what it says: more than all looks of a call can find."""
_PIECE: Final = 32 * 1024
_NO_ANSWER: Final = "the process that looks at it ended without an answer"
_COMMAND: Final = (sys.executable, "-P", "-E", "-m", "taskbound.adapters.approval.apart.process")
"""Nothing comes from the working directory or PYTHONPATH."""


class ApartOperands:
    """Looks up rows and pages (`ports.approval.operands`); blocks. Folders in `closed` are never entered."""

    def __init__(
        self,
        *,
        closed: Iterable[Path] = (),
        patience: float = PATIENCE,
        command: Sequence[str] = _COMMAND,
    ) -> None:
        self._closed = tuple(map(str, closed))
        self._patience = patience
        self._command = tuple(command)

    def see(self, looks: Sequence[Lookup]) -> tuple[Operand | DeniedError, ...]:
        """Returns each operand, or why it can't be read."""
        asked = LookupBatch(
            looks=tuple(LookupRequest(probe=one.probe.text, value=one.value) for one in looks),
            closed=self._closed,
        )
        try:
            looked = self._ask(msgspec.json.encode(asked))
        except OperandUnreadableError as error:
            looked = [LookupResult(error=error.message)] * len(looks)
        if len(looked) != len(looks):
            looked = [LookupResult(error=_NO_ANSWER)] * len(looks)
        return tuple(map(_said, looks, looked))

    def _ask(self, words: bytes) -> list[LookupResult]:
        environ = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}  # 3
        try:
            process = subprocess.Popen(  # noqa: S603 - our own module, by the interpreter that runs this
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=environ,
            )
        except OSError as error:
            raise OperandUnreadableError("nothing could be started that looks at it") from error
        try:
            out = _converse(process, words, time.monotonic() + self._patience)
        except subprocess.TimeoutExpired as error:  # 1
            raise OperandUnreadableError(f"it was not seen within {self._patience:g} seconds") from error
        finally:
            _end(process)
        try:
            return msgspec.json.decode(out, type=list[LookupResult])
        except msgspec.DecodeError as error:
            raise OperandUnreadableError(_NO_ANSWER) from error


def _converse(process: subprocess.Popen[bytes], words: bytes, until: float) -> bytes:
    left, said = memoryview(words), bytearray()
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        raise OperandUnreadableError(_NO_ANSWER)
    os.set_blocking(stdin.fileno(), False)
    with selectors.DefaultSelector() as waiting:
        waiting.register(stdin, selectors.EVENT_WRITE)
        waiting.register(stdout, selectors.EVENT_READ)
        while waiting.get_map():
            for key, _ in waiting.select(_rest(process, until)):
                if key.fileobj is stdin:
                    left = _tell(key.fd, left)
                    if not left:
                        waiting.unregister(stdin)
                        stdin.close()
                    continue
                piece = os.read(key.fd, _PIECE)
                said += piece
                if not piece:
                    waiting.unregister(stdout)
                if len(said) > _LONGEST:  # 2
                    raise OperandUnreadableError(_NO_ANSWER)
    process.wait(_rest(process, until))
    return bytes(said)


def _rest(process: subprocess.Popen[bytes], until: float) -> float:
    rest = until - time.monotonic()
    if rest <= 0:
        raise subprocess.TimeoutExpired(process.args, 0)
    return rest


def _tell(handle: int, left: memoryview) -> memoryview:
    try:
        return left[os.write(handle, left[:_PIECE]) :]
    except BrokenPipeError:
        return left[:0]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END)


def _said(look: Lookup, looked: LookupResult) -> Operand | DeniedError:
    try:
        if not looked.error:
            found = tuple(sorted(looked.found.items()))
            return Operand(place=look.place, kind=look.probe.kind, found=found)
    except UnreadableQuestionError:
        looked = LookupResult(error=_NO_ANSWER)
    kind = OperandOutsideError if looked.outside else OperandUnreadableError
    return kind(f"what `{look.place}` names can't be asked about: {looked.error}", where=look.place)
