"""What targets have under this installation's names: told to the daemon, so that it revokes what has no row.

1. Each target is looked through when the broker starts, each minute, and when a person wants it. Each by a
   thread of its own: one that hangs delays no other.
2. What has this installation's mark is told with the daemon's instant from before it was looked for.
3. What has a mark that the store had before it was replaced has no row, and never will: the broker ends it
   itself.
4. Of a store that was restored or replaced no row is believed: all that has our marks is ended by the broker
   itself, and counted, until a look shows nothing. Once every target has shown that, of the store that is
   there then, it is believed again, and credentials are minted (`memory`, I-15).
5. Nothing of another name is touched (I-14).
6. Where a target may bring back what was taken away when it is started anew (`ports.target.Restarts`), it
   is asked for its starts every few seconds, and is looked through once they are others (F15). They are asked
   for before a look, so that none comes between.
7. A target is listened to up to `MOST_NAMES` names: of one that goes on, the rest is seen to by a later
   sweep, and it has not shown that nothing is left.
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
    from taskbound.surfaces.broker.steps import Desk


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
    """How it stands with the sweeps of one target."""

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
    """When which target is looked through."""

    def __init__(self, desk: Desk) -> None:
        """Look with this."""
        self._desk = desk
        self._rounds: dict[tuple[str, str], _Round] = {}
        self._under: tuple[int, int] | None = None
        """Epoch and turn in which the store is in doubt; none while it isn't."""
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)

    def settle(self, *, patience: float) -> bool:
        """Wait for so many seconds until no target is looked through; whether that is so."""
        with self._idle:
            return self._idle.wait_for(
                lambda: not any(one.under_way for one in self._rounds.values()), patience
            )

    def want(self, namespace: str, target: str) -> None:
        """A person wants it looked through; an empty name is every target of the namespace."""
        with self._lock:
            for place, one in self._rounds.items():
                if place[0] == namespace and target in {"", place[1]}:
                    one.due = 0.0

    def round(self, targets: Sequence[StoredTarget]) -> int:
        """Begin what is due of these, which are all; in how many of them something may be left (rule 4).

        Raises:
            TaskboundError: The store can't be read, or what that shows can't be remembered.
        """
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
        """Have a round for each of these and for no other; with another store all begin anew (rule 4)."""
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
        """Have it done by a thread of its own (rule 1)."""
        try:
            threading.Thread(target=work, name=name, daemon=True).start()
        except RuntimeError:  # no thread can be had now
            _log.warning("nobody can do it now: %s", name)
            with self._lock:
                one.under_way, one.due = False, self._desk.watch.elapsed() + AGAIN

    def _look_again(self, stored: StoredTarget, one: _Round) -> None:
        """Have it looked through where it was started anew (rule 6)."""
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


def _starts(desk: Desk, stored: StoredTarget, patience: float) -> tuple[str, ...]:
    """The starts of a target that may bring something back; none of another (rule 6).

    Raises:
        TaskboundError: It can't be asked.
    """
    target = desk.targets.open(stored)
    return called(partial(target.starts, patience=patience)) if isinstance(target, Restarts) else ()


def sweep_target(desk: Desk, stored: StoredTarget, *, believed: bool) -> bool:
    """Look through one target (rules 2 to 4); whether nothing of ours was there.

    Args:
        desk: What to work with.
        stored: The target.
        believed: Whether the rows of the store are.

    Raises:
        TaskboundError: It can't be done.
    """
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
    """The names of this mark that are there, and no other (rule 5); whether these are all (rule 7)."""
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


def _empty(desk: Desk, target: Target[Any], mark: str, names: Iterable[str]) -> bool:
    """End all of these; whether there was anything."""
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
