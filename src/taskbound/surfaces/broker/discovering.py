"""Discovers standing logins and keys in targets, and reports the broker's view of the store.

Discovery (`Discoveries`):

1. Each target is examined by one thread of its own; concurrent requests share the result.
2. A request names a target; the store's row of that name is opened, and nothing is changed there.
3. Names with a known mark are left out; `sweep` ends what predecessors of the store minted (rule 3 there).
4. The report is bounded in rows and lengths and says what was cut.
5. A target that can't be examined is reported with a reason in the broker's words.

Reports (`EpochReporter`):

1. The state is reported once per connection and after changes.
2. What the log must record is repeated until the daemon has recorded it (`memory`).
3. A failed report is retried after `AGAIN` seconds and delays only mints.
4. Without targets and doubt, the daemon is not asked.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.errors import TaskboundError
from taskbound.ports.target import Discovers
from taskbound.surfaces.broker.memory import NotShowingError, OtherTargetError
from taskbound.surfaces.broker.targets import called
from taskbound.wire.target import StandingRow, TellDiscovered, TellEpoch, TellReconciled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from taskbound.core.target.kind import ExistingAccess
    from taskbound.surfaces.broker.memory import UnrecordedRestore
    from taskbound.surfaces.broker.steps import WorkerDependencies


_log = logging.getLogger(__name__)
MOST: Final = 500
"""Rows of one target that are told."""
_PATIENCE: Final = 5.0
"""Seconds that looking through a target may take."""
_ASKED: Final = 64
"""Questions that wait for one look; who asks beyond gets no answer."""
_NAME: Final = 256
"""Characters of a name."""
_LINES: Final = 12
_LINE: Final = 1_000
"""Lines of rights, and the characters of one."""
_BYTES: Final = 2 * 1024 * 1024
"""Of all rows of one message, which is half of what a frame takes."""


class Discoveries:
    """Running discoveries."""

    def __init__(self, desk: WorkerDependencies) -> None:
        self._desk = desk
        self._asked: dict[tuple[str, str], list[str]] = {}
        """By namespace and target that is looked through: the names of the questions that wait."""
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)

    def want(self, namespace: str, target: str, look: str) -> None:
        """Starts a discovery for a person; doesn't block."""
        place = (namespace, target)
        with self._lock:
            waiting = self._asked.get(place)
            if waiting is not None:
                if len(waiting) < _ASKED:
                    waiting.append(look)  # 1
                return
            self._asked[place] = [look]
        thread = threading.Thread(target=self._look, args=place, name=f"discover {target}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread can be had now: who asked hears that nobody answered
            _log.warning("%s: the target can't be examined now", target)
            self._over(place)

    def settle(self, *, patience: float) -> bool:
        """Waits up to `patience` seconds until no discovery runs; returns whether that is so."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._asked, patience)

    def _look(self, namespace: str, target: str) -> None:
        told = partial(TellDiscovered, code=OtherTargetError.code, trouble="nothing was seen")
        try:
            told = self._seen(namespace, target)
        except TaskboundError as error:
            told = partial(
                TellDiscovered,
                code=error.code,
                trouble=error.message[:_LINE],
                advice=error.advice[:_LINE],
            )  # 5
        except Exception as error:  # noqa: BLE001 - the thread's outermost edge
            _log.error(
                "%s: %s was raised", target, type(error).__name__
            )  # and no words: they may be a target's
        finally:
            for look in self._over((namespace, target)):
                try:
                    self._desk.authority.discovered(namespace, told(look=look))
                except TaskboundError as error:
                    _log.info("what stands in %s is not taken: %s", target, error.message)

    def _over(self, place: tuple[str, str]) -> list[str]:
        with self._lock:
            found = self._asked.pop(place, [])
            self._idle.notify_all()
        return found

    def _seen(self, namespace: str, name: str) -> partial[TellDiscovered]:
        desk = self._desk
        with desk.store.read() as snapshot:
            stored = snapshot.targets.target(namespace, name)
            mark = snapshot.targets.mark()
        if stored is None:
            raise OtherTargetError("no target has that name any more")
        target = desk.targets.open(stored)
        if not isinstance(target, Discovers):
            raise NotShowingError("a target of that kind can't show what else stands in it")
        marks = {one for one in (mark, *desk.memory.marks) if one}  # 3
        found = called(lambda: target.discover(marks, most=MOST, patience=_PATIENCE))
        rows = tuple(_fitting(found.found[:MOST]))
        notes = tuple(_cut(found.notes))
        count = max(found.count, len(rows))
        return partial(TellDiscovered, rows=rows, count=count, notes=notes, whole=found.whole)


def _fitting(found: Iterable[ExistingAccess]) -> Iterator[StandingRow]:
    left = _BYTES
    for one in found:
        row = _row(one)
        left -= len(msgspec.json.encode(row))
        if left < 0:
            return
        yield row


def _cut(lines: Sequence[str]) -> Iterator[str]:
    told = lines if len(lines) <= _LINES else lines[: _LINES - 1]
    for one in told:
        yield one if len(one) <= _LINE else f"{one[: _LINE - 1]}…"
    if len(told) < len(lines):
        yield f"and {len(lines) - len(told)} more"


def _cut_name(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[:_NAME]}… ({len(name)} characters)"


def _row(one: ExistingAccess) -> StandingRow:
    return StandingRow(
        name=_cut_name(one.name),
        what=one.what[:_NAME],
        whose=one.whose.value,
        reach=one.reach.value,
        rights=tuple(_cut(one.rights)),
        since=one.since,
        used=one.used,
        open=one.open,
        ends=one.ends,
        entry=one.entry.value,
    )


AGAIN: Final = 5.0
"""Seconds until what could not be told is told again."""


class EpochReporter:
    """Reports the broker's state; used from one thread at a time."""

    def __init__(self, desk: WorkerDependencies) -> None:
        self._desk = desk
        self._due = 0.0
        """On the clock that is never set."""

    def round(self, *, targets: int, left: int) -> None:
        """Reports what is due; `left` is the number of targets that may contain earlier names."""
        desk = self._desk
        standing = desk.memory.look()
        is_quiet = standing.doubt is None and standing.untold is None
        if (is_quiet and not targets) or desk.watch.elapsed() < self._due:
            return  # 4, 3
        doubt = standing.doubt
        told = TellEpoch(epoch=standing.epoch)
        if doubt is not None:
            told = TellEpoch(epoch=standing.epoch, since=doubt.since, why=doubt.why.words, left=left)
        try:
            if standing.untold is not None:
                desk.authority.reconciled(_of(standing.untold))
                desk.memory.told(standing.untold)  # 2
            desk.authority.stand(told)  # 1
        except TaskboundError as error:
            _log.info("how the store stands is not taken: %s [%s]", error.message, error.code)
            self._due = desk.watch.elapsed() + AGAIN


def _of(untold: UnrecordedRestore) -> TellReconciled:
    return TellReconciled(
        epoch=untold.epoch,
        since=untold.since,
        why=untold.why.words,
        ended=untold.ended,
        targets=untold.targets,
    )
