"""Holders of permits whose process is gone, and processes seen beneath a run or a gateway.

Of `strangers`:

1. A connection's name ends with that of the daemon which it was opened at. While another process is present
   under that name, what the connection holds is that process's affair (`ports.store.presence`).
2. What is seen without one is in doubt at once, and given up at the next look, some seconds later, if neither
   its gateway nor its daemon has come back by then: the presence of a living one can be lost for a moment.
3. Whoever takes in a gateway of a daemon that is gone is present under that daemon's name as well, and so
   answers for all that it left behind.

Of `insiders`:

1. Looked for when a run registers, every two seconds while there is one or a gateway, and whenever somebody
   from beneath one asks. Whoever was seen is remembered by pid and start time until it has ended.
2. What is beneath a remembered process is inside as well.
3. What begins and loses everything above it between two looks was never seen. The last look of a daemon and
   the first of the next one are two such looks.
4. The process before gateways over HTTP is a gateway as long as it has one open. What it starts is inside and
   stays so; it itself comes back after it lost all of them. So are servers of an egress, and it is not.
5. Who named a task from outside, and is a gateway of it since, may name that one again, and no other: a
   program that connects several times, at once or one after another, does that for what it has already.
6. Which run a process was seen beneath is remembered with it: when that run is killed, what it leaves behind
   gets no other task (`flows.task.binding`, rule 1).
7. What rule 6 remembers is kept in a file of the data directory for the rest of this boot, so that the next
   daemon knows it. It is replaced whole; a start of the machine leaves none of these processes, so it need
   not be durable. A file that can't be read ends the start of the daemon.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.errors import UnavailableError
from taskbound.flows.decision.retries import daemon_of, strangers
from taskbound.surfaces.api.peer import read_processes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.flows.decision.retries import Doubts, Holder
    from taskbound.ports.store import Store


class Strangers:
    """What one daemon has seen of them; used in the loop, but for what asks the store."""

    def __init__(self, store: Store, doubts: Doubts, name: str) -> None:
        """Have seen nobody, as the daemon of this name."""
        self._store = store
        self._doubts = doubts
        self._names = [name]
        self._seen: frozenset[Holder] = frozenset()

    def attend(self) -> None:
        """Be present under this daemon's own name, and others' that it answers for; from any thread."""
        for name in tuple(self._names):
            self._store.attend(name)

    def find(self) -> frozenset[Holder]:
        """Everybody whose daemon is not there, or this one; from any thread."""
        with self._store.read() as snapshot:
            found = strangers(snapshot)
        there = self._store.others({daemon_of(name) for _, name in found})  # 1
        return frozenset(one for one in found if daemon_of(one[1]) not in there)

    def see(self, found: frozenset[Holder], own: frozenset[str]) -> frozenset[Holder]:
        """Doubt what was found, but for this daemon's own connections; who is to be given up (rule 2)."""
        found = frozenset(one for one in found if one[1] not in own)
        known, self._seen = self._seen, found
        self._doubts.settle(*(one for one in known - found if one[1] not in own))
        self._doubts.lose(*(found - known))
        return found & known

    def name_of(self, start: str) -> str:
        """The name of a connection that begins so and is back; empty where nobody's does."""
        return next((name for _, name in self._seen if name.startswith(start)), "")

    def meet(self, holder: Holder) -> None:
        """This one's gateway is here now (rule 3)."""
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
    """What the file holds (rule 7)."""

    boot: str
    beneath: list[tuple[Process, Process]]
    """Each process, and the run above it."""


class Insiders:
    """What was seen; a whole set is put in place at once, so any thread may ask."""

    def __init__(self, proc: Path = _PROC, *, home: Path | None = None, boot: str = "") -> None:
        """Remember what an earlier daemon of this boot kept (rule 7).

        Args:
            proc: Where the kernel tells of processes.
            home: The data directory; without one nothing is kept.
            boot: The machine's boot id.

        Raises:
            UnavailableError: The file is there and can't be read.
        """
        self._proc, self._boot, self._looking = proc, boot, Lock()
        self._path = home / _FILE if home and boot else None
        self._beneath = self._held = self._read()
        self._seen = frozenset(self._beneath)
        self._named: dict[Process, str] = {}

    @property
    def seen(self) -> frozenset[Process]:
        """Everybody who was seen inside and lives, as far as the last look knows."""
        return self._seen

    def keep_named(self, process: Process, task: str) -> None:
        """Remember that this process named this task from outside (rule 5); in the loop."""
        self._named.pop(process, None)
        self._named[process] = task
        if len(self._named) > _MOST:
            del self._named[next(iter(self._named))]

    def named(self, process: Process) -> str:
        """The task that it named last from outside; empty where none is remembered."""
        return self._named.get(process, "")

    def line(self, ancestry: Iterable[Process]) -> tuple[Process, ...]:
        """An ancestry, with the run behind each process that was seen beneath one (rule 6)."""
        beneath = self._beneath
        return tuple(each for one in ancestry for each in (one, beneath.get(one)) if each is not None)

    def note(self, ancestry: Iterable[Process]) -> None:
        """Remember these: they stand beneath what is inside."""
        self._seen |= frozenset(ancestry)

    def look(
        self,
        roots: Iterable[Process],
        *,
        apart: frozenset[Process] = frozenset(),
        runs: frozenset[Process] = frozenset(),
    ) -> None:
        """Remember who lives beneath these or whom was seen, and forget who has ended (rules 1, 2).

        Args:
            roots: Runs and gateways.
            apart: Those among them that are inside by nothing but being one (rule 4).
            runs: The runs among them.

        Raises:
            UnavailableError: What was seen can't be kept for the next daemon; this one knows it.
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
        """What the file says of this boot."""
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
        """Put this in the file's place."""
        fresh = path.with_name(f"{_FILE}.new")
        try:
            fresh.write_bytes(msgspec.json.encode(_Kept(self._boot, list(beneath.items()))))
            fresh.replace(path)
        except OSError as error:
            raise UnavailableError(f"`{path}` can't be written: {error.strerror}") from error
        self._held = beneath
