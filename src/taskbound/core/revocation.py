"""Entries of the revocation feed, a reader's memory of them, and the kill switch.

1. An entry is a log place, an instant, a namespace and one statement about a thing that authority rests on:
   exactly the things that `flows.token.standing` checks for a token.
2. Every event kind is listed as giving an entry or not; a test fails for a kind that is not listed.
3. A record gives at most one entry. Ending a task writes records for its descendants; stopping it does not,
   because a token names its ancestors.
4. An ended thing stays ended. A stopped thing can return.
5. Readers process entries in the order of places, up to the place through which all records were read.
   Repeats are ignored. A reader starts again if the place goes back.
6. A reader forgets entries older than any token's life plus clock differences, by its own monotonic clock.
   Entries are kept in the order of arrival, so only what is forgotten is visited.

Records are parsed only if their bytes contain the kind of a possible entry, which canonical JSON spells in
one way. An unreadable record raises: nothing behind it counts as read.

While the kill switch is on nothing is permitted; tasks can be paused and ended. Each change raises the epoch.
A decision is settled only in the epoch that it read (design 4.8).
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
    """Whether the namespace is stopped, and the number of changes."""

    stopped: bool = False
    epoch: int = 0
    reason: str = ""


def require_not_stopped(switch: KillSwitch) -> None:
    if switch.stopped:
        raise StoppedError(f"everything is stopped{f': {switch.reason}' if switch.reason else ''}")


def throw(switch: KillSwitch, *, stopped: bool, reason: str) -> KillSwitch:
    """Returns the switch turned on or off; no change of state leaves the epoch as it is."""
    if switch.stopped is stopped:
        return switch
    return KillSwitch(stopped=stopped, epoch=switch.epoch + 1, reason=reason)


class FeedBrokenError(UnavailableError):
    """The revocation feed went back, is out of order, or has an entry of an unknown kind."""

    code = "feed-broken"
    remedy = "forget what was heard and read the feed anew; until then nothing holds"


class About(Enum):
    """What an entry is about."""

    NAMESPACE = "namespace"
    """Everything in it; its id is empty."""
    TASK = "task"
    AGENT = "agent"
    PERSON = "person"
    ADMISSION = "admission"
    """A client that people use, let in to a task."""
    SESSION = "session"
    """A person's sign-in."""
    TOKEN = "token"  # noqa: S105 - a word and no secret
    KEY = "key"
    """A key that signs tokens, of all namespaces."""


class FeedEvent(Enum):
    """What happened to the thing."""

    OVER = "over"
    STOPPED = "stopped"
    BACK = "back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """Something that authority may rest on."""

    namespace: str
    """Where it is; empty for a key."""
    about: About
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of the feed (rule 1)."""

    place: int
    """The record's index in the log."""
    at: Instant
    """When the record was written, by the clock of the daemon that wrote it: no order of entries."""
    thing: Thing
    turn: FeedEvent


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
    AgentState.ACTIVE.value: (About.AGENT, FeedEvent.BACK),
    AgentState.SUSPENDED.value: (About.AGENT, FeedEvent.STOPPED),
    AgentState.REGISTERED.value: (About.AGENT, FeedEvent.STOPPED),
    PersonState.PRESENT.value: (About.PERSON, FeedEvent.BACK),
    PersonState.GONE.value: (About.PERSON, FeedEvent.STOPPED),
}

_Said: TypeAlias = tuple[About, str, FeedEvent] | None


def _task(event: TaskChanged) -> _Said:
    if event.after in _OVER:
        return About.TASK, event.task, FeedEvent.OVER
    if event.after == TaskState.PAUSED.value:
        return About.TASK, event.task, FeedEvent.STOPPED
    back = (event.before, event.after) == (TaskState.PAUSED.value, TaskState.RUNNING.value)
    return (About.TASK, event.task, FeedEvent.BACK) if back else None  # else it was proposed, and has begun


def _identity(event: IdentityChanged) -> _Said:
    about, turn = _IDENTITIES[event.after]
    return about, event.identity, turn


def _over(event: Event) -> tuple[About, str] | None:
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
            return About.NAMESPACE, "", FeedEvent.STOPPED if event.stopped else FeedEvent.BACK
        case _:
            over = _over(event)
            return None if over is None else (*over, FeedEvent.OVER)


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
    """Returns the entry of a record, or None; raises FeedBrokenError for an unknown kind or state."""
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


class FeedState:
    """A feed reader's memory (rules 4 to 6); never written to disk."""

    def __init__(self, after: int) -> None:
        self._turns: OrderedDict[Thing, tuple[FeedEvent, float]] = OrderedDict()
        """What was heard longest ago first (rule 6)."""
        self.through = after
        """The place through which everything was heard."""

    def hear(self, entries: Iterable[Entry], through: int, now: float) -> None:
        """Takes all entries, or raises FeedBrokenError and takes none; `now` is monotonic seconds."""
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
            if before[0] is FeedEvent.OVER:
                return  # 4
            del self._turns[entry.thing]
        if entry.turn is not FeedEvent.BACK:
            self._turns[entry.thing] = entry.turn, now

    def begin_anew(self) -> None:
        """Continues at the beginning of another log; ended and stopped things stay so (rule 5)."""
        self.through = -1

    def forget(self, until: float) -> None:
        """Forgets entries that arrived before this reading of the reader's clock (rule 6)."""
        while self._turns and next(iter(self._turns.values()))[1] <= until:
            self._turns.popitem(last=False)

    def in_the_way(self, things: Iterable[Thing]) -> tuple[Thing, FeedEvent] | None:
        """Returns the first of these things that is ended or stopped, and which of the two."""
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
    """Returns the entries of consecutive bodies; raises RecordMalformedError or FeedBrokenError."""
    found: list[Entry] = []
    for place, body in enumerate(bodies, start):
        if _MAY_BE(body) is not None:
            entry = entry_of(place, parse_record(body))
            if entry is not None:
                found.append(entry)
    return tuple(found)


def earliest_of(bodies: Iterable[bytes], now: Instant) -> Instant:
    """Returns the earliest instant of the records, at most `now`; unreadable records are skipped."""
    return Instant(min((now, *(int(found[1]) for found in map(_AT, bodies) if found is not None))))
