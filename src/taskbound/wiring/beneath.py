"""Detects whether this process descends from a `taskbound run`, gateway or egress, without a daemon.

1. The store's runs of this boot decide, by pid and start time, including ended ones, together with the
   descendants that a daemon recorded.
2. If the store can't be read, the marker that `run` puts into its command's environment decides. A command
   can remove that marker.
3. A gateway or egress among the ancestors is recognized by its command line. One embedded in another program
   is known only to its daemon.
4. On Linux, a process whose ancestry can't be read completely counts as a descendant.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import TaskboundError
from taskbound.surfaces.api.background.strangers import ProcessTree
from taskbound.surfaces.api.server.peer import ancestry_of, boot_id
from taskbound.surfaces.api.server.place import NotOutsideError
from taskbound.surfaces.cli.doctor.processes import verb_of, words_of
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
    """Raises NotOutsideError if this process descends, or may descend, from a run, gateway or egress."""
    ancestry, verbs = _above(proc)
    runs = _runs(home, store)
    if runs is None:
        beneath = bool(environ.get("TASKBOUND_TASK"))  # 2
    else:
        line = ProcessTree(home=home, boot=boot_id()).line(ancestry) if runs else ()
        known = any((one.pid, one.started) in line for one in runs)  # 1
        beneath = known or bool(runs and not ancestry)
    starter = next((_STARTERS[one] for one in verbs if one in _STARTERS), "")  # 3
    starter = "`taskbound run`" if beneath else starter
    if not starter and not ancestry and sys.platform == "linux":  # 4
        raise NotOutsideError("only a person may do this; the processes above this one can't be looked at")
    if starter:
        raise NotOutsideError(f"only a person may do this; the calling process was started by {starter}")


def _above(proc: Path) -> tuple[tuple[tuple[int, int], ...], tuple[str, ...]]:
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
    return closing(open_store(Path(), store)) if store else nullcontext(open_reader(str(home / DATABASE), ""))


def _runs(home: Path, store: str) -> tuple[Run, ...] | None:
    try:
        with _opened(home, store) as reader, reader.read() as snapshot:
            return snapshot.tasks.registered(boot_id())
    except (OSError, TaskboundError):
        return None
