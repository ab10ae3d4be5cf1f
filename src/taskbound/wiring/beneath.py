"""Whether this process stands beneath a `taskbound run`, a gateway or an egress, for acts without a daemon.

1. The runs of this boot that the store knows decide, by pid and start time, ended or not, and what a
   daemon saw beneath them (`surfaces.api.insiders`, rule 7).
2. Where the store can't be read, the mark that `run` leaves in the environment of its command decides. A
   command can remove the mark.
3. A gateway or an egress among the processes above is known by its command line. One that another
   program runs within itself is known to its daemon alone.
4. On Linux a process whose ancestry can't be read whole counts as beneath.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import TaskboundError
from taskbound.surfaces.api.background.strangers import Insiders
from taskbound.surfaces.api.server.peer import ancestry_of, boot_id
from taskbound.surfaces.api.server.place import NotOutsideError
from taskbound.surfaces.cli.doctor_processes import verb_of, words_of
from taskbound.wiring.store import DATABASE, open_reader, open_store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from taskbound.ports.store import Readable
    from taskbound.ports.task import Run

_STARTERS: Final = {"gateway": "a gateway", "egress": "the egress"}
_LOOKS: Final = 16
_PROC: Final = Path("/proc")


def require_outside(home: Path, store: str, environ: Mapping[str, str], *, proc: Path = _PROC) -> None:
    """Go on only for a process that stands beneath no run, no gateway and no egress.

    Args:
        home: The data directory.
        store: The address of a PostgreSQL database; empty for SQLite in the data directory.
        environ: Of this process.
        proc: Where the kernel tells of processes.

    Raises:
        NotOutsideError: It does, or the processes above it can't be looked at.
        UnavailableError: What a daemon saw beneath runs can't be read.
    """
    ancestry, verbs = _above(proc)
    runs = _runs(home, store)
    if runs is None:
        beneath = bool(environ.get("TASKBOUND_TASK"))  # 2
    else:
        line = Insiders(home=home, boot=boot_id()).line(ancestry) if runs else ()
        known = any((one.pid, one.started) in line for one in runs)  # 1
        beneath = known or bool(runs and not ancestry)
    starter = next((_STARTERS[one] for one in verbs if one in _STARTERS), "")  # 3
    starter = "`taskbound run`" if beneath else starter
    if not starter and not ancestry and sys.platform == "linux":  # 4
        raise NotOutsideError("only a person may do this; the processes above this one can't be looked at")
    if starter:
        raise NotOutsideError(f"only a person may do this; the calling process was started by {starter}")


def _above(proc: Path) -> tuple[tuple[tuple[int, int], ...], tuple[str, ...]]:
    """This process and those above it, and which commands of ours they run; empty where not all are seen."""
    for _ in range(_LOOKS):
        ancestry = ancestry_of(os.getpid(), proc=proc)
        verbs: list[str] = []
        for pid, _started in ancestry:
            try:
                verbs.append(verb_of(words_of(pid, proc=proc)))
            except (OSError, IndexError):
                verbs.append("")  # it shows no command line, or has ended: the ancestry is another one then
        if not ancestry:
            break
        if ancestry == ancestry_of(os.getpid(), proc=proc):
            return ancestry, tuple(verbs)
    return (), ()


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
