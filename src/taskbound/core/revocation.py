"""The entries of the revocation feed, what a reader of it keeps, and the kill switch.

Of `feed`:

1. An entry is a record's place, instant and namespace, and one thing that it says something of. What gives an
   entry is what `flows.token.standing` reads of a token that is shown, and nothing else: whoever hears them
   all knows what that would say.
2. Every kind of event is named here, as one that gives entries or as one that gives none. One that is named
   nowhere is no kind of this version, and a test fails.
3. A record gives one entry at most. What ends a task, ends those beneath it by records of their own; what
   stops one does not, and a token names the line of those above it.
4. What is over stays over, whatever comes later. What is stopped is so until it is back.
5. Entries are heard in the order of their places, up to a place through which all were looked at. What
   comes again is heard once; what is left out shows in nothing but that place, so a reader believes
   whoever says it, and begins anew where it goes back.
6. What was heard longer ago than any token lives, and daemons' clocks may differ, is of no token that lives:
   none is issued of what is over or stopped. It is forgotten, so that a reader doesn't grow. How long ago
   is the reader's own to know, by a clock that never goes back: instants of entries are other machines'.
   What was heard is kept in the order in which it was, so that nothing but what is forgotten is looked at.

Of `reading`:

1. A record is read only where its bytes hold the kind of an event that can be an entry. Canonical JSON
   spells that in one way, and a text that quotes it has its quotation marks escaped: none is passed over.
   What is found elsewhere in a record (a kind of something else) costs a reading, and is no entry.
2. A record that can't be read is no record without an entry: nothing behind it has been looked at.
3. When a record was written stands at its beginning, and is read without the rest.

Of `switch`:

1. While it is thrown nothing is permitted; tasks can still be paused and ended.
2. Each throw or lift raises the epoch; a decision names the epoch that it read,
   and is settled only while that epoch stands (design 4.8).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.audit.events import (
    AdmissionEnded,
    IdentityChanged,
    KillSwitchChanged,
    TaskChanged,
    TokenKeyRevoked,
    TokenRevoked,
)
from taskbound.core.audit.events.people import SessionEnded
from taskbound.core.audit.record import parse_record
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.core.identity import AgentState, PersonState
from taskbound.core.task import ENDED, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.core.audit import Event, Record


class StoppedError(DeniedError):
    """The kill switch is on: nothing is permitted in this namespace."""

    code = "stopped"
    remedy = "ask the person who threw it; `taskbound stop --lift` ends it"


@dataclass(frozen=True, slots=True, kw_only=True)
class KillSwitch:
    """Whether everything is stopped, and how often that changed."""

    stopped: bool = False
    epoch: int = 0
    reason: str = ""


def require_not_stopped(switch: KillSwitch) -> None:
    """Go on only while nothing is stopped.

    Raises:
        StoppedError: The kill switch is on (rule 1).
    """
    if switch.stopped:
        raise StoppedError(f"everything is stopped{f': {switch.reason}' if switch.reason else ''}")


def throw(switch: KillSwitch, *, stopped: bool, reason: str) -> KillSwitch:
    """The switch thrown or lifted; the same again changes nothing but the reason's record (rule 2)."""
    if switch.stopped is stopped:
        return switch
    return KillSwitch(stopped=stopped, epoch=switch.epoch + 1, reason=reason)


class FeedBrokenError(UnavailableError):
    """What is said of the feed goes back behind what was heard, or is out of order."""

    code = "feed-broken"
    remedy = "forget what was heard and read the feed anew; until then nothing holds"


class About(Enum):
    """What an entry says something of."""

    NAMESPACE = "namespace"
    """Everything in it; its id is empty."""
    TASK = "task"
    AGENT = "agent"
    PERSON = "person"
    ADMISSION = "admission"
    """A client that people use, let in to a task."""
    SESSION = "session"
    """Somebody's sign-in."""
    TOKEN = "token"  # noqa: S105 - a word and no secret
    KEY = "key"
    """A key that signs tokens, of all namespaces."""


class Turn(Enum):
    """What happened to it."""

    OVER = "over"
    STOPPED = "stopped"
    BACK = "back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """What authority may rest on."""

    namespace: str
    """Where it is; empty for a key."""
    about: About
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry (rule 1)."""

    place: int
    """The record's index in the log."""
    at: Instant
    """When the record was written, by the clock of the daemon that wrote it: no order of entries."""
    thing: Thing
    turn: Turn


SILENT: Final = frozenset(
    [
        # An action's own life: a token of it is used once (rule 1 of `verify`), and told by introspection.
        *("action-decided", "action-outcome", "action-reconciled", "action-refused-malformed"),
        *("action-undecided", "outcome-refused", "refusals-dropped", "request-refused", "operation-refused"),
        # What is asked of people: a permit that it led to stands.
        *("amendment-answered", "amendment-asked", "amendment-changed", "amendment-shown"),
        *("approval-answered", "approval-asked", "approval-changed", "approval-limits-changed"),
        *("approval-narrowed", "approval-proven", "approval-shown"),
        *("plan-answered", "plan-asked", "plan-changed", "plan-refused"),
        # What is granted from now on, and by which rules.
        *("agent-ceiling-changed", "agent-people-changed", "agent-risk-changed", "grantable-changed"),
        *("group-changed", "group-claimed", "policy-activated", "policy-proposed", "policy-rebased"),
        *("policy-refused", "policy-rolled-back", "template-removed", "template-saved", "tool-accepted"),
        *("tool-approvers-changed", "tool-changed", "tool-declared", "tool-owner-changed", "tool-pinned"),
        *("upstream-added", "upstream-declared", "upstream-removed", "upstream-secret-set"),
        *("upstream-token-told", "task-amended", "task-stepped"),
        # What begins, and how it is proven when it does: what was begun goes on.
        *("account-linked", "account-unlinked", "agent-key-changed", "client-added", "client-admitted"),
        *("client-consented", "client-denied", "client-removed", "code-refused", "consent-mistyped"),
        *("identity-issuer-added", "identity-issuer-removed", "identity-registered", "issuer-added"),
        *("issuer-groups-set", "issuer-removed", "monitor-acknowledged", "namespace-changed"),
        *("person-acted", "person-key-changed", "person-signed-in", "persons-linked", "proof-refused"),
        "run-registered",
        *("selector-added", "selector-removed", "sign-in-refused", "task-accounted"),
        # Who reads this: a service's own tokens are shown to us alone, and looked at whenever they are.
        *("service-added", "service-changed", "service-key-changed", "service-removed"),
        *("task-followed", "task-started", "token-issued", "token-key-rotated", "trust-added"),
        "trust-bundle-taken",
        "trust-removed",
        # Credentials and their targets: the broker ends them where they are.
        *("credential-journaled", "credential-moved", "credential-overdue", "credential-prolonged"),
        *("store-reconciled", "target-added", "target-admin-set", "target-removed", "target-test-begun"),
        "target-tested",
        # The log itself.
        *("checkpoint-signed", "delivery", "store-begun-anew", "writer-started"),
    ]
)
"""Kinds that give none (rule 2)."""

_OVER: Final = frozenset(one.value for one in ENDED)
_IDENTITIES: Final = {
    AgentState.ACTIVE.value: (About.AGENT, Turn.BACK),
    AgentState.SUSPENDED.value: (About.AGENT, Turn.STOPPED),
    AgentState.REGISTERED.value: (About.AGENT, Turn.STOPPED),
    PersonState.PRESENT.value: (About.PERSON, Turn.BACK),
    PersonState.GONE.value: (About.PERSON, Turn.STOPPED),
}

_Said: TypeAlias = tuple[About, str, Turn] | None


def _task(event: TaskChanged) -> _Said:
    if event.after in _OVER:
        return About.TASK, event.task, Turn.OVER
    if event.after == TaskState.PAUSED.value:
        return About.TASK, event.task, Turn.STOPPED
    back = (event.before, event.after) == (TaskState.PAUSED.value, TaskState.RUNNING.value)
    return (About.TASK, event.task, Turn.BACK) if back else None  # else it was proposed, and has begun


def _identity(event: IdentityChanged) -> _Said:
    about, turn = _IDENTITIES[event.after]
    return about, event.identity, turn


def _over(event: Event) -> tuple[About, str] | None:
    """What ends for good, of what is no task."""
    match event:
        case AdmissionEnded():
            return About.ADMISSION, event.admission
        case SessionEnded():
            return About.SESSION, event.session
        case TokenRevoked():
            return About.TOKEN, event.token
        case TokenKeyRevoked():
            return About.KEY, event.key
        case _:
            return None


def _said(event: Event) -> _Said:
    match event:
        case TaskChanged():
            return _task(event)
        case IdentityChanged():
            return _identity(event)
        case KillSwitchChanged():
            return About.NAMESPACE, "", Turn.STOPPED if event.stopped else Turn.BACK
        case _:
            over = _over(event)
            return None if over is None else (*over, Turn.OVER)


ENTRY_KINDS: Final = frozenset(
    one.kind
    for one in (
        AdmissionEnded,
        IdentityChanged,
        KillSwitchChanged,
        SessionEnded,
        TaskChanged,
        TokenKeyRevoked,
        TokenRevoked,
    )
)
"""Kinds of events that can give an entry (rule 2)."""


def entry_of(place: int, record: Record) -> Entry | None:
    """What the record says of authority that was there; None where it says nothing (rules 1 to 3).

    Args:
        place: The record's index in the log, from 0.
        record: The record.

    Raises:
        FeedBrokenError: It has a kind, or a state of an identity, that this version doesn't know (rule 2).
    """
    kind = record.event.kind
    if kind in SILENT:
        return None
    if kind not in ENTRY_KINDS:
        raise FeedBrokenError(f"whether `{kind}` ends anything is not known here")
    try:
        said = _said(record.event)
    except KeyError:
        raise FeedBrokenError(f"the record at {place} names a state that is not known here") from None
    if said is None:
        return None
    about, name, turn = said
    space = "" if about is About.KEY else record.namespace
    return Entry(place=place, at=record.at, thing=Thing(namespace=space, about=about, id=name), turn=turn)


class Heard:
    """What a reader has heard of the feed (rules 4 and 5); nothing is written down."""

    def __init__(self, after: int) -> None:
        """Begin behind this place."""
        self._turns: OrderedDict[Thing, tuple[Turn, float]] = OrderedDict()
        """What was heard longest ago first (rule 6)."""
        self.through = after
        """The place through which everything was heard."""

    def hear(self, entries: Iterable[Entry], through: int, now: float) -> None:
        """Take what was said, up to this place.

        Args:
            entries: What is an entry behind the place that was asked from, in order.
            through: The place through which all records were looked at.
            now: Seconds by the reader's own clock, which never goes back.

        Raises:
            FeedBrokenError: It goes back, or is out of order; nothing of it is taken.
        """
        taken = tuple(entries)
        if through < self.through:
            raise FeedBrokenError(f"the feed reaches to {through}, and was heard through {self.through}")
        places = [one.place for one in taken]
        if any(here >= there for here, there in pairwise(places)):
            raise FeedBrokenError("entries of the feed are out of order")
        if places and places[-1] > through:
            raise FeedBrokenError(f"an entry stands at {places[-1]}, beyond {through}")
        for one in taken:
            if one.place > self.through:
                self._take(one, now)
        self.through = through

    def _take(self, entry: Entry, now: float) -> None:
        before = self._turns.get(entry.thing)
        if before is not None:
            if before[0] is Turn.OVER:
                return  # 4
            del self._turns[entry.thing]
        if entry.turn is not Turn.BACK:
            self._turns[entry.thing] = entry.turn, now

    def begin_anew(self) -> None:
        """Go on in another log from its beginning: what was heard as over or stopped stays so (rule 5)."""
        self.through = -1

    def forget(self, until: float) -> None:
        """Forget what was heard up to this moment of the reader's clock (rule 6)."""
        while self._turns and next(iter(self._turns.values()))[1] <= until:
            self._turns.popitem(last=False)

    def in_the_way(self, things: Iterable[Thing]) -> tuple[Thing, Turn] | None:
        """The first of these that is over or stopped, and which of the two; None where none is."""
        for one in things:
            said = self._turns.get(one)
            if said is not None:
                return one, said[0]
        return None


_MAY_BE: Final = re.compile(
    b'"kind":"(?:%b)"' % b"|".join(sorted(one.encode() for one in ENTRY_KINDS))
).search
_AT: Final = re.compile(rb'\{"at":(-?[0-9]{1,17}),').match


def entries_in(start: int, bodies: Iterable[bytes]) -> tuple[Entry, ...]:
    """What these records say of authority that was there, in the order of the log.

    Args:
        start: The index in the log of the first of them, from 0.
        bodies: Their exact bytes, none left out.

    Raises:
        RecordMalformedError: One that may be an entry can't be read (rule 2).
        FeedBrokenError: It is of a kind or state that this version doesn't know.
    """
    found: list[Entry] = []
    for place, body in enumerate(bodies, start):
        if _MAY_BE(body) is not None:  # 1
            entry = entry_of(place, parse_record(body))
            if entry is not None:
                found.append(entry)
    return tuple(found)


def earliest_of(bodies: Iterable[bytes], now: Instant) -> Instant:
    """The earliest instant that any of these records has, or now; one that can't be read has none (rule 3).

    Args:
        bodies: Their exact bytes.
        now: By the clock of whoever reads.
    """
    return Instant(min((now, *(int(found[1]) for found in map(_AT, bodies) if found is not None))))
