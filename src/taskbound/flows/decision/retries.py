"""Earlier attempts of an act: looked up, checked, or in doubt.

- Checks of effect wait while an attempt may still take effect: one is open or in doubt, or the declared time
  since the last loss has not passed. More lost attempts than can be read show nothing.
- Only plain keys are looked up (printable ASCII, no space at either end), as a server may normalize others
  before it stores them.
- From the loss of its holder an act counts as unknown, so repeats are held; if the holder returns within its
  grace it counts as before. Doubt follows from open permits, read in the settling transaction.
- Network callers have no connection (`core.decision.holder`): their acts are in doubt from the end of the
  permit.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from taskbound.core.action import canonical
from taskbound.core.approval import Operand, OperandUnreadableError, looks_of
from taskbound.core.approval.probe import Shown, parse_checks, settled_at, shown_by
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import ActHistory, AttemptFacts, Reason
from taskbound.core.decision.hold import MOST_OPEN, due_of, is_network_holder
from taskbound.core.errors import DeniedError
from taskbound.flows.approval.look import NeedsProbe, see

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.approval import Lookup
    from taskbound.core.clock import Instant
    from taskbound.flows.approval.look import OperandFindings
    from taskbound.flows.decision.context import ToolView
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Snapshot


PEOPLE: Final = ("agent.approvers", "agent.owner", "task.requester")
"""The facts by which it is known whether the people have changed."""
GROUND: Final = frozenset({*PEOPLE, "operands", "risk"})
"""What is recorded of an attempt so that the next one can be compared with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """Earlier attempts of an act."""

    history: ActHistory = field(default_factory=ActHistory)
    last: StoredAction | None = None
    """The action of the last attempt."""
    lost: Instant | None = None
    """When the last unknown one was given up; None without, while one is open or in doubt, or if too many."""

    @property
    def ground(self) -> AttemptFacts | None:
        """Returns what the last attempt was judged by, None if unknown."""
        if self.last is None:
            return None
        facts = dict(self.last.facts)
        return AttemptFacts(
            definition=self.last.definition,
            scope=self.last.scope,
            policy=self.last.bundle,
            operands=_lines(facts["operands"]) if "operands" in facts else None,
            risk=facts.get("risk"),
            people=tuple(facts[name] for name in PEOPLE) if facts.keys() >= set(PEOPLE) else None,
        )


def _lines(words: str) -> tuple[str, ...]:
    return tuple(words.split("\n")) if words else ()


NO_ATTEMPT: Final = Attempts()
_MANY: Final = 16
"""Attempts with an unknown outcome that are looked back at."""


def look_back(snapshot: Snapshot, doubts: LostHolders, namespace: str, root: str, act_key: str) -> Attempts:
    """Reads the act from the snapshot; its outcome is unknown while a holder is lost."""
    history = snapshot.actions.act(namespace, root, act_key)
    last = snapshot.actions.action(namespace, history.last_action) if history.last_action else None
    if (root, act_key) in doubts.acts(snapshot, namespace):
        return Attempts(history=replace(history, last_outcome="unknown"), last=last)
    if history.last_outcome != "unknown":
        return Attempts(history=history, last=last)
    return Attempts(history=history, last=last, lost=_lost(snapshot, namespace, root, act_key))


def _lost(snapshot: Snapshot, namespace: str, root: str, act_key: str) -> Instant | None:
    open_ones = snapshot.actions.open_permits(namespace)
    if any((one.root, one.act_key) == (root, act_key) for one in open_ones):
        return None
    names = snapshot.actions.unknowns(namespace, root, act_key)
    found = [snapshot.actions.action(namespace, one) for one in names[:_MANY]]
    times = [one.finished for one in found if one is not None and one.finished is not None]
    return max(times) if times and len(times) == len(names) else None


_WORDS: Final = {
    Shown.ABSENT: "an attempt before had no effect, as far as can be seen",
    Shown.PRESENT: "what an attempt before was to do is there already",
    Shown.UNSETTLED: "an attempt before may still have its effect",
    Shown.UNREADABLE: "whether an attempt before had its effect can't be looked at",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectCheck:
    """What is known of the effect of earlier attempts."""

    shown: Shown = Shown.NOTHING
    found: tuple[str, ...] = ()
    """What was found, each in words."""
    why: str = ""
    at: Instant | None = None
    """When it was looked at; None when nothing was."""

    @property
    def recorded(self) -> frozenset[str]:
        return frozenset({"check_found"}) if self.found else frozenset()


NOT_CHECKED: Final = EffectCheck()


def check(
    tool: ToolView,
    arguments: Mapping[str, JsonValue],
    attempts: Attempts,
    sight: OperandFindings | None,
    now: Instant,
) -> EffectCheck | NeedsProbe:
    """Returns what the tool's checks show of earlier attempts, or what must be looked at first."""
    checks = parse_checks(tool.pinned.checks)
    if not checks or attempts.history.last_outcome != "unknown":
        return NOT_CHECKED
    if attempts.lost is None or now < settled_at(checks, attempts.lost):
        return EffectCheck(shown=Shown.UNSETTLED)
    try:
        looks = looks_of([one.probe for one in checks], arguments, tool.definition.defaults, directory="/")
        _require_plain(looks)
    except DeniedError as error:
        return EffectCheck(shown=Shown.UNREADABLE, why=error.message)
    seen = see(sight, looks, now)
    if isinstance(seen, NeedsProbe):
        return seen
    early = seen.at < settled_at(checks, attempts.lost)
    return EffectCheck(
        shown=Shown.UNSETTLED if early else shown_by(seen.found),
        found=tuple(canonical(one.value()).decode() for one in seen.found if isinstance(one, Operand)),
        why="; ".join(one.message for one in seen.found if isinstance(one, DeniedError)),
        at=seen.at,
    )


def _require_plain(looks: Iterable[Lookup]) -> None:
    for one in looks:
        if not (one.value.isascii() and one.value.isprintable() and one.value == one.value.strip(" ")):
            raise OperandUnreadableError("a key that is not plain ASCII may have been written otherwise")


def reason_of(checked: EffectCheck) -> tuple[Reason, ...]:
    if checked.shown is Shown.NOTHING:
        return ()
    return (Reason(code="checked", text=_WORDS[checked.shown], detail=checked.why),)


HOLDER: Final = len("con_") + 26
"""Characters of a holder's name before that of its daemon."""

Holder = tuple[str, str]
"""(namespace, connection)."""


class LostHolders:
    """Lost holders of one daemon; updated from any thread, read by the worker."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._lost: set[Holder] = set()
        self._read: dict[str, frozenset[tuple[str, str]]] = {}
        """By namespace: (root, act key) of what is in doubt, as it was last read."""

    def lose(self, *holders: Holder) -> None:
        with self._guard:
            self._lost.update(holders)
            self._read.clear()

    def settle(self, *holders: Holder) -> None:
        with self._guard:
            self._lost.difference_update(holders)
            self._read.clear()

    def lost(self) -> frozenset[Holder]:
        with self._guard:
            return frozenset(self._lost)

    def granted(self, holders: Iterable[Holder]) -> None:
        """Drops cached reads of lost holders that just got permits."""
        if not self._lost:
            return
        with self._guard:
            if not self._lost.isdisjoint(holders):
                self._read.clear()

    def acts(self, snapshot: Snapshot, namespace: str) -> frozenset[tuple[str, str]]:
        if not self._lost:
            return frozenset()
        with self._guard:
            lost = {name for space, name in self._lost if space == namespace}
            known = self._read.get(namespace)
        if known is not None or not lost:
            return known or frozenset()
        permits = snapshot.actions.open_permits(namespace)
        found = frozenset((one.root, one.act_key) for one in permits if one.connection in lost)
        with self._guard:
            if lost == {name for space, name in self._lost if space == namespace}:
                self._read[namespace] = found
        return found


def daemon_of(connection: str) -> str:
    return connection[HOLDER:]


def strangers(snapshot: Snapshot) -> frozenset[Holder]:
    """Returns gateway connections that hold an open permit or a question."""
    permits = {
        (space, one.connection)
        for space in snapshot.actions.namespaces()
        for one in snapshot.actions.open_permits(space)
    }
    asked = {
        (one.question.namespace, one.waiter.connection)
        for one in snapshot.approvals.open_approvals()
        if one.waiter.connection  # a hold that outlives its call has no waiter
    }
    return frozenset(one for one in permits | asked if not is_network_holder(one[1]))


class Overdue(NamedTuple):
    """Network callers whose permit or question is overdue."""

    doubted: frozenset[Holder]
    """Who is in doubt."""
    over: frozenset[Holder]
    """Who is to be given up."""
    crowded: frozenset[tuple[str, str]]
    """(namespace, task) with too many permits without outcome."""


def overdue(snapshot: Snapshot, now: Instant) -> Overdue:
    """Returns overdue network permits, and questions whose callers did not return in time."""
    doubted: set[Holder] = set()
    over: set[Holder] = set()
    held: Counter[tuple[str, str]] = Counter()
    for space in snapshot.actions.namespaces():
        for one in snapshot.actions.open_permits(space):
            if not is_network_holder(one.connection):
                continue
            held[space, one.task] += 1
            if now >= one.until:
                doubted.add((space, one.connection))
                if now >= due_of(one.until):
                    over.add((space, one.connection))
    over |= {
        (one.question.namespace, one.waiter.connection)
        for one in snapshot.approvals.open_approvals()
        if is_network_holder(one.waiter.connection) and now >= one.waiter.until
    }
    crowded = frozenset(task for task, many in held.items() if many >= MOST_OPEN)
    return Overdue(doubted=frozenset(doubted), over=frozenset(over), crowded=crowded)
