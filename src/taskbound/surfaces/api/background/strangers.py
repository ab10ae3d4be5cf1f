"""Permits whose holder may be gone, and processes seen beneath a run or a gateway.

Of `strangers`:
1. A connection's name ends with the name of the daemon that opened it. While another process is present under
   that name, that process manages what the connection holds (`ports.store.presence`).
2. A holder without one is in doubt at once, and given up at the next look some seconds later, unless its
   gateway or daemon is back by then: the presence of a live daemon can lapse for a moment.
3. A daemon that takes over a gateway of a gone daemon is present under that daemon's name too, and manages
   all that it left.
Of `insiders`:
1. Processes are looked for when a run registers, every two seconds while there is a run or gateway, and when
   a process beneath one asks. They are remembered by pid and start time until they end.
2. Descendants of a remembered process are inside as well.
3. A process that starts and loses all its ancestors between two looks is never seen. The last look of a
   daemon and the first of the next are such a pair.
4. An HTTP front is a gateway while it has one open. What it starts is inside and stays so; the front itself
   is outside again after it lost all of them. Servers of an egress are inside, the egress is not.
5. A process that named a task from outside, and became its gateway, may name that task again and no other: a
   program that connects several times does that for the same task.
6. The run of each process is remembered: when that run is killed, its leftover processes get no other task
   (`flows.task.binding`, rule 1).
7. The memory of rule 6 is kept in a file of the data directory for this boot, for the next daemon. The file
   is replaced whole and need not be durable, because a reboot ends all these processes. If it cannot be read,
   the daemon does not start.
Of `afar`:
1. An action of such an agent is in doubt once its permit has expired, and unknown once its outcome is overdue
   (`flows.decision.doubts`). Every daemon looks for them, whichever daemon permitted the action.
2. A question is withdrawn if its agent has not come back for it in time.
3. A task with too many open permits gets no more decisions over the network until the next look.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.decision.hold import MOST_OPEN, TooManyOpenError
from taskbound.core.errors import UnavailableError
from taskbound.flows.decision import overdue
from taskbound.flows.decision.retries import daemon_of, strangers
from taskbound.surfaces.api.server.peer import read_processes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.flows.decision import LostHolders as afar_Doubts
    from taskbound.flows.decision.retries import Holder, LostHolders, Overdue
    from taskbound.flows.means import Adapters
    from taskbound.ports.store import Store


class OrphanedHolders:
    """The leftover holders known to one daemon; used in the loop, except for methods that read the store."""

    def __init__(self, store: Store, doubts: LostHolders, name: str) -> None:
        self._store = store
        self._doubts = doubts
        self._names = [name]
        self._seen: frozenset[Holder] = frozenset()

    def attend(self) -> None:
        """Announces this daemon under its own name and those it took over; any thread."""
        for name in tuple(self._names):
            self._store.attend(name)

    def find(self) -> frozenset[Holder]:
        """Returns all holders whose daemon is gone, or is this one; any thread."""
        with self._store.read() as snapshot:
            found = strangers(snapshot)
        there = self._store.others({daemon_of(name) for _, name in found})  # 1
        return frozenset(one for one in found if daemon_of(one[1]) not in there)

    def see(self, found: frozenset[Holder], own: frozenset[str]) -> frozenset[Holder]:
        """Marks holders as in doubt, except this daemon's, and returns those to give up (rule 2)."""
        found = frozenset(one for one in found if one[1] not in own)
        known, self._seen = self._seen, found
        self._doubts.settle(*(one for one in known - found if one[1] not in own))
        self._doubts.lose(*(found - known))
        return found & known

    def name_of(self, start: str) -> str:
        """Returns the name of a returned connection by its first part; empty for none."""
        return next((name for _, name in self._seen if name.startswith(start)), "")

    def meet(self, holder: Holder) -> None:
        """Notes that this holder's gateway is back, here (rule 3)."""
        name = daemon_of(holder[1])
        if holder in self._seen and name and name not in self._names:
            self._names.append(name)


Process = tuple[int, int]
"""(pid, start time)."""
_PROC: Final = Path("/proc")
_FILE: Final = "beneath-runs"
_MOST: Final = 1024
"""Processes whose tasks are remembered (rule 5), the latest."""


class _Kept(msgspec.Struct, frozen=True):
    boot: str
    beneath: list[tuple[Process, Process]]
    """Each process, and the run above it."""


class ProcessTree:
    """The processes seen inside; sets are replaced whole, so any thread may read."""

    def __init__(self, proc: Path = _PROC, *, home: Path | None = None, boot: str = "") -> None:
        """Loads what an earlier daemon of this boot kept (rule 7).

        Raises UnavailableError if it is unreadable. Without `home` nothing is kept; `boot` is the machine's
        boot id.
        """
        self._proc, self._boot, self._looking = proc, boot, Lock()
        self._path = home / _FILE if home and boot else None
        self._beneath = self._held = self._read()
        self._seen = frozenset(self._beneath)
        self._named: dict[Process, str] = {}

    @property
    def seen(self) -> frozenset[Process]:
        """Returns the processes seen inside that live, by the last look."""
        return self._seen

    def keep_named(self, process: Process, task: str) -> None:
        """Remembers that this process named this task from outside (rule 5); used in the loop."""
        self._named.pop(process, None)
        self._named[process] = task
        if len(self._named) > _MOST:
            del self._named[next(iter(self._named))]

    def named(self, process: Process) -> str:
        """Returns the task that it last named from outside; empty for none."""
        return self._named.get(process, "")

    def line(self, ancestry: Iterable[Process]) -> tuple[Process, ...]:
        """Returns an ancestry with the remembered run behind each process (rule 6)."""
        beneath = self._beneath
        return tuple(each for one in ancestry for each in (one, beneath.get(one)) if each is not None)

    def note(self, ancestry: Iterable[Process]) -> None:
        """Remembers these processes as inside."""
        self._seen |= frozenset(ancestry)

    def look(
        self,
        roots: Iterable[Process],
        *,
        apart: frozenset[Process] = frozenset(),
        runs: frozenset[Process] = frozenset(),
    ) -> None:
        """Remembers the live descendants of these, and forgets ended processes (rules 1, 2).

        `apart` are roots that are inside only as roots (rule 4). Raises UnavailableError if the file cannot
        be written; the memory of this daemon is updated anyway.
        """
        with self._looking:
            self._look(roots, apart, runs)
            if self._path is not None and self._beneath != self._held:
                self._keep(self._path, self._beneath)

    def _look(self, roots: Iterable[Process], apart: frozenset[Process], runs: frozenset[Process]) -> None:
        known = self._seen | frozenset(roots)
        if not known:
            return
        parents = read_processes(self._proc)
        started = {pid: one.started for pid, one in parents.items()}
        alive = {one for one in known if started.get(one[0]) == one[1]}
        inside = {pid for pid, _ in alive}
        children: dict[int, list[int]] = {}
        for pid, one in parents.items():
            children.setdefault(one.parent, []).append(pid)
        level = list(inside)
        while level:
            level = [child for pid in level for child in children.get(pid, []) if child not in inside]
            inside.update(level)
        self._seen = frozenset((pid, started[pid]) for pid in inside) - apart
        left = {one: run for one, run in self._beneath.items() if started.get(run[0]) != run[1]}
        beneath: dict[Process, Process] = {}
        for process in ((pid, started[pid]) for pid in inside):
            line = [process]
            while line[-1] not in runs and line[-1] not in left:
                parent = parents[line[-1][0]].parent
                if parent not in inside or (parent, started[parent]) in line:
                    break
                line.append((parent, started[parent]))
            run = line[-1] if line[-1] in runs else left.get(line[-1])
            if run is not None and run != process:
                beneath[process] = run
        self._beneath = beneath

    def _read(self) -> dict[Process, Process]:
        if self._path is None:
            return {}
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            raise UnavailableError(
                f"`{self._path}`, which says what stands beneath runs, can't be read: {error}",
                remedy="when no process of a `taskbound run` is left delete it, then start the daemon again",
            ) from error
        return dict(kept.beneath) if kept.boot == self._boot else {}

    def _keep(self, path: Path, beneath: dict[Process, Process]) -> None:
        fresh = path.with_name(f"{_FILE}.new")
        try:
            fresh.write_bytes(msgspec.json.encode(_Kept(self._boot, list(beneath.items()))))
            fresh.replace(path)
        except OSError as error:
            raise UnavailableError(f"`{path}` can't be written: {error.strerror}") from error
        self._held = beneath


class RemoteHolders:
    """What one daemon has found about them; used in the loop, except for methods that read the store."""

    def __init__(self, adapters: Adapters, doubts: afar_Doubts) -> None:
        self._adapters = adapters
        self._doubts = doubts
        self._doubted: frozenset[Holder] = frozenset()
        self._crowded: frozenset[tuple[str, str]] = frozenset()

    def find(self) -> Overdue:
        """Returns the holders in doubt and those to give up; may run in any thread."""
        with self._adapters.store.read() as snapshot:
            return overdue(snapshot, self._adapters.clock.now())

    def require_room(self, namespace: str, task: str) -> None:
        """Raises TooManyOpenError if too many permits of the task have no outcome (rule 3)."""
        if (namespace, task) in self._crowded:
            raise TooManyOpenError(f"{MOST_OPEN} actions of the task, or more, have no outcome yet")

    def see(self, found: Overdue) -> frozenset[Holder]:
        """Marks the holders in doubt (rule 1) and returns those to give up."""
        doubted, over, self._crowded = found
        self._doubts.settle(*(self._doubted - doubted))
        self._doubts.lose(*(doubted - self._doubted))
        self._doubted = doubted
        return over
