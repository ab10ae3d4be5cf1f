"""Runs a child process that reports which tools a Python application exposes.

The child runs the application's code and is untrusted:

1. It leads a process group, which is killed when the child exits or its time is over.
2. Its output is read up to a bound and must be exactly one report.
3. Its standard error is shown only if there is no report: the last line, bounded.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from taskbound.sdk.tool.coverage.found import (
    ApplicationLostError,
    BadApplicationError,
    Coverage,
    Defined,
    NotLoaded,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO


_T = TypeVar("_T", Coverage, Defined)

_LARGEST: Final = 8 << 20
"""Bytes of a report."""
_LAST: Final = 4096
"""Bytes of standard error that are kept: the last ones."""
_LONGEST: Final = 500
_CHUNK: Final = 1 << 16
_LOOK: Final = 0.1
"""Seconds after which it is looked whether the child has ended, though something of it holds its pipes."""


def ask_coverage(application: str, *, python: str = "", seconds: float = 60.0) -> Coverage:
    """Returns the tools that an application (`MODULE:OBJECT`) exposes, within `seconds`.

    An empty `python` means this process's interpreter. Raises BadApplicationError if the application can't be
    loaded, ApplicationLostError if the process failed or did not print exactly one report.
    """
    return _ask(Coverage, "coverage", [application], python=python, seconds=seconds)


def ask_functions(application: str, server: str, *, python: str = "", seconds: float = 60.0) -> Defined:
    """Returns an application's guarded functions, as `ask_coverage`; an empty `server` means the only one."""
    return _ask(Defined, "tools", [application, "--server", server], python=python, seconds=seconds)


def _ask(kind: type[_T], module: str, words: Sequence[str], *, python: str, seconds: float) -> _T:
    application = words[0]
    command = (python or sys.executable, "-P", "-m", f"taskbound.wiring.{module}", *words)
    try:
        with subprocess.Popen(  # noqa: S603 -- a person named it, each word an argument
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as child:
            try:
                said, complaint = _read(child, time.monotonic() + seconds)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)  # 1
    except (OSError, ValueError) as error:
        raise ApplicationLostError(f"`{command[0]}` can't be started: {error}") from error
    try:
        found = msgspec.json.decode(said, type=kind | NotLoaded)  # 2
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        last = complaint.decode("utf-8", "replace").strip().rpartition("\n")[2][-_LONGEST:]  # 3
        told = f"it says `{last}`" if last else "and says nothing"
        raise ApplicationLostError(
            f"the process that loaded `{application}` ended without a report ({child.returncode}); {told}"
        ) from error
    if isinstance(found, NotLoaded):
        raise BadApplicationError(found.message)
    return found


def _read(child: subprocess.Popen[bytes], end: float) -> tuple[bytes, bytes]:
    said, complaint = bytearray(), bytearray()
    pipes: dict[IO[bytes], bytearray] = {}
    with selectors.DefaultSelector() as ready:
        for pipe, kept in ((child.stdout, said), (child.stderr, complaint)):
            if pipe is not None:
                pipes[pipe] = kept
                ready.register(pipe, selectors.EVENT_READ, kept)
        while pipes:
            over = child.poll() is not None
            events = ready.select(0 if over else _LOOK)
            for key, _ in events:
                chunk = os.read(key.fd, _CHUNK)
                key.data.extend(chunk)
                if not chunk:
                    ready.unregister(key.fileobj)
                    pipes.pop(key.fileobj, None)  # type: ignore[call-overload]  # one of ours
            del complaint[:-_LAST]
            if len(said) > _LARGEST:
                raise ApplicationLostError("the process that loaded the application said more than a report")
            if over and not events:
                break  # 1: something that it has left behind holds its pipes
            if time.monotonic() >= end:
                raise ApplicationLostError(
                    "loading the application took too long", remedy="allow it more with `--seconds`"
                )
    child.wait(timeout=max(end - time.monotonic(), _LOOK))
    return bytes(said), bytes(complaint)
