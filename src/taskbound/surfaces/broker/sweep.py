"""Sweeps targets for names of this installation, so that the daemon revokes those without a row.

1. Each target is swept at start, each minute and on request, by a thread of its own.
2. Names with this installation's mark are reported with the daemon's instant from before the sweep.
3. Names with a mark of a replaced store have no row; the broker ends them itself.
4. While the store is in doubt its rows are not trusted: the broker ends and counts all names with its marks,
   until a sweep finds none. Once every target has shown that for the current store, the store is accepted
   (`memory`, I-15).
5. Other names are never touched (I-14).
6. A target that may restore old names at a restart (`ports.target.Restarts`) is polled for restarts, also
   before each sweep, and swept after each (F15).
7. At most `MOST_NAMES` names are read; a target with more is swept again and doesn't count as empty.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import GRACE, ForeignNameError, id_of, prefix_of
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.target import LONGEST
from taskbound.ports.target import Restarts
from taskbound.surfaces.broker.targets import called
from taskbound.wire.target import TellSwept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from taskbound.ports.target import StoredTarget, Target
    from taskbound.surfaces.broker.steps import WorkerDependencies


_log = logging.getLogger(__name__)
SWEEP_EVERY: Final = 60.0
"""Seconds from the end of one sweep of a target to the next."""
AGAIN: Final = 5.0
"""Seconds until the next one where the last could not be made, or the store is not believed."""
GLANCE_EVERY: Final = 3.0
"""Seconds from one question for its starts to the next (rule 6)."""
_GLANCE: Final = 2.0
"""Seconds that such a question may take."""
_PATIENCE: Final = 20.0
"""Seconds that looking through a target may take."""
_ENDING: Final = 5.0
"""Seconds that ending one name may take."""
_CHUNK: Final = 100
"""Names in one message: some milliseconds of the daemon's work, as decisions wait for it."""
MOST_NAMES: Final = 50_000
"""Names that one sweep of a target takes in: five times what was ever measured to live in one."""


@dataclass(slots=True)
class _Round:
    due: float = 0.0
    """On the clock that is never set."""
    under_way: bool = False
    empty: bool = False
    """Whether it showed nothing, since the store is not believed (rule 4)."""
    target: str = field(default="")
    """Digest of the identity that this is about."""
    starts: tuple[str, ...] = ()
    """Its starts before it was looked through; none of a target that brings nothing back (rule 6)."""
    glance: float = 0.0
    """When it is asked for them next, on the clock that is never set."""


class Sweeps:
    """Schedules the sweeps of targets."""

    def __init__(self, desk: WorkerDependencies) -> None:
        self._desk = desk
        self._rounds: dict[tuple[str, str], _Round] = {}
        self._under: tuple[int, int] | None = None
        """Epoch and turn in which the store is in doubt; none while it isn't."""
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)

    def settle(self, *, patience: float) -> bool:
        """Waits up to `patience` seconds until no sweep runs; returns whether that is so."""
        with self._idle:
            return self._idle.wait_for(
                lambda: not any(one.under_way for one in self._rounds.values()), patience
            )

    def want(self, namespace: str, target: str) -> None:
        """Requests a sweep for a person; an empty name means every target of the namespace."""
        with self._lock:
            for place, one in self._rounds.items():
                if place[0] == namespace and target in {"", place[1]}:
                    one.due = 0.0

    def round(self, targets: Sequence[StoredTarget]) -> int:
        """Starts due sweeps of all targets; returns in how many something may be left (rule 4)."""
        memory = self._desk.memory
        standing = memory.look()
        doubt = standing.why
        under = (standing.epoch, standing.turn) if doubt else None
        with self._lock:
            self._follow(targets, under)
            left = sum(not one.empty for one in self._rounds.values()) if doubt else 0
        if doubt and not left and memory.accept(targets=len(targets), turn=standing.turn):
            _log.warning("the store is believed again, epoch %d: no target has any of ours", standing.epoch)
        now = self._desk.watch.elapsed()
        for stored in targets:
            with self._lock:
                one = self._rounds[stored.namespace, stored.name]
                sweeps = now >= one.due
                glances = bool(one.starts) and now >= one.glance
                if one.under_way or not (sweeps or glances):
                    continue
                one.under_way = True
            if sweeps:
                self._begin(f"sweep {stored.name}", one, partial(self._sweep, stored, one, doubt, under))
            else:
                self._begin(f"glance {stored.name}", one, partial(self._look_again, stored, one))
        return left

    def _follow(self, targets: Sequence[StoredTarget], under: tuple[int, int] | None) -> None:
        known, self._rounds = self._rounds, {}
        for stored in targets:
            place = (stored.namespace, stored.name)
            one = self._rounds[place] = known.get(place) or _Round()
            if one.target != stored.identity:
                one.target, one.due, one.empty, one.starts = stored.identity, 0.0, False, ()
            if under != self._under:
                one.empty = False
                one.due = one.due if under is None else 0.0
        self._under = under

    def _begin(self, name: str, one: _Round, work: Callable[[], None]) -> None:
        try:
            threading.Thread(target=work, name=name, daemon=True).start()
        except RuntimeError:  # no thread can be had now
            _log.warning("nobody can do it now: %s", name)
            with self._lock:
                one.under_way, one.due = False, self._desk.watch.elapsed() + AGAIN

    def _look_again(self, stored: StoredTarget, one: _Round) -> None:
        anew = False
        try:
            anew = _starts(self._desk, stored, _GLANCE) != one.starts
            if anew:
                _log.info("%s was started anew", stored.name)
        except TaskboundError as error:
            _log.debug("%s does not say its starts: %s [%s]", stored.name, error.message, error.code)
        finally:
            with self._lock:
                now = self._desk.watch.elapsed()
                one.under_way, one.glance = False, now + GLANCE_EVERY
                one.due = min(one.due, now) if anew else one.due
                self._idle.notify_all()

    def _sweep(self, stored: StoredTarget, one: _Round, doubt: str, under: tuple[int, int] | None) -> None:
        wait, empty, starts = AGAIN, False, one.starts
        try:
            starts = _starts(self._desk, stored, _PATIENCE)
            if doubt:
                _log.warning("%s is emptied of what is ours: %s", stored.name, doubt)
            empty = sweep_target(self._desk, stored, believed=not doubt)
            wait = AGAIN if doubt else SWEEP_EVERY
        except TaskboundError as error:
            _log.info("%s can't be looked through: %s [%s]", stored.name, error.message, error.code)
        except Exception as error:  # noqa: BLE001 - the thread's outermost edge
            _log.error(
                "%s: %s was raised", stored.name, type(error).__name__
            )  # and no words: they may be a target's
        finally:
            with self._lock:
                now = self._desk.watch.elapsed()
                one.due = now + wait if under == self._under else now  # 4
                one.under_way, one.glance = False, now + GLANCE_EVERY
                one.starts = starts
                one.empty = empty and bool(doubt) and under == self._under
                self._idle.notify_all()


def _starts(desk: WorkerDependencies, stored: StoredTarget, patience: float) -> tuple[str, ...]:
    target = desk.targets.open(stored)
    return called(partial(target.starts, patience=patience)) if isinstance(target, Restarts) else ()


def sweep_target(desk: WorkerDependencies, stored: StoredTarget, *, believed: bool) -> bool:
    """Sweeps one target; returns whether it was empty. `believed`: the store's rows are trusted."""
    with desk.store.read() as snapshot:
        mark = snapshot.targets.mark()
    target = desk.targets.open(stored)
    older = [one for one in desk.memory.marks if one != mark]
    found = False
    for one in older:
        names, whole = called(partial(_names, target, one))
        found |= _empty(desk, target, one, names) or not whole  # 3
    if not mark:
        return not found
    begun = desk.authority.heard(stored.namespace) if believed else 0  # 2
    names, whole = called(partial(_names, target, mark))
    found |= not whole
    if not believed:
        if not desk.memory.doubts:
            return False  # it is believed meanwhile, and what was just found may have been minted since
        return not (_empty(desk, target, mark, names) or found)  # 4
    for start in range(0, max(1, len(names)), _CHUNK):
        told = TellSwept(
            target=stored.name,
            identity=stored.identity,
            names=tuple(names[start : start + _CHUNK]),
            begun=begun,
        )
        revoked = desk.authority.swept(stored.namespace, told).revoked
        if revoked:
            _log.warning("%s had %d of ours that nothing lives under", stored.name, len(revoked))
    desk.memory.note(0)
    return not (names or found)


def _names(target: Target[Any], mark: str) -> tuple[list[str], bool]:
    found: list[str] = []
    for number, name in enumerate(target.sweep(prefix_of(mark), patience=_PATIENCE)):
        if number >= MOST_NAMES:
            _log.warning("a target names more than %d: the rest is seen to later", MOST_NAMES)
            return sorted(found), False
        try:
            id_of(mark, name)
        except ForeignNameError:
            continue
        found.append(name)
    return sorted(found), True


def _empty(desk: WorkerDependencies, target: Target[Any], mark: str, names: Iterable[str]) -> bool:
    found, ended = False, 0
    latest = Instant(desk.watch.clock.now() + seconds(LONGEST) + GRACE)  # no row says when
    try:
        for name in names:
            id_of(mark, name)
            found = True
            called(partial(target.revoke, name, ends=latest, patience=_ENDING))
            ended += 1
            if ended == _CHUNK:
                ended = 0
                desk.memory.ended(_CHUNK)
    finally:
        desk.memory.ended(ended)
    return found
