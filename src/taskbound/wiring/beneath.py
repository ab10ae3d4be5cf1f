"""Whether this process stands beneath a `taskbound run`, for acts that need no daemon.

1. The runs of this boot that the store knows decide, by pid and start time, ended or not, and what a
   daemon saw beneath them (`surfaces.api.insiders`, rule 7).
2. Where the store can't be read, the mark that `run` leaves in the environment of its command decides. A
   command can remove the mark.
"""

from __future__ import annotations

import os
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from taskbound.core.errors import TaskboundError
from taskbound.surfaces.api.insiders import Insiders
from taskbound.surfaces.api.peer import ancestry_of, boot_id
from taskbound.surfaces.api.place import NotOutsideError
from taskbound.wiring.store import DATABASE, open_reader, open_store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from taskbound.ports.store import Readable
    from taskbound.ports.task import Run


def require_outside(home: Path, store: str, environ: Mapping[str, str]) -> None:
    """Go on only for a process that stands beneath no run.

    Args:
        home: The data directory.
        store: The address of a PostgreSQL database; empty for SQLite in the data directory.
        environ: Of this process.

    Raises:
        NotOutsideError: It does, or the processes above it can't be looked at while runs are known.
        UnavailableError: What a daemon saw beneath runs can't be read.
    """
    runs = _runs(home, store)
    if runs is None:
        beneath = bool(environ.get("TASKBOUND_TASK"))  # 2
    else:
        ancestry = Insiders(home=home, boot=boot_id()).line(ancestry_of(os.getpid())) if runs else ()
        known = any((one.pid, one.started) in ancestry for one in runs)  # 1
        beneath = known or bool(runs and not ancestry)
    if beneath:
        raise NotOutsideError("only a person may do this; the calling process was started by `taskbound run`")


def _opened(home: Path, store: str) -> AbstractContextManager[Readable]:
    """The store; only a connection to a server has to be closed."""
    return closing(open_store(Path(), store)) if store else nullcontext(open_reader(str(home / DATABASE), ""))


def _runs(home: Path, store: str) -> tuple[Run, ...] | None:
    """The runs of this boot; None where the store can't be read."""
    try:
        with _opened(home, store) as reader, reader.read() as snapshot:
            return snapshot.tasks.registered(boot_id())
    except (OSError, TaskboundError):
        return None
