"""Comparing amendments with the log: one that was written into the database has no record.

Of narrowings, which have no rows of their own, what was spent before and what limits were given is compared.
"""

from __future__ import annotations

from dataclasses import field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.approval.amendment import AmendmentState
from taskbound.core.audit import TaskAmended
from taskbound.core.audit.events import AmendmentAnswered, AmendmentAsked, AmendmentChanged
from taskbound.core.dataclass import dataclass
from taskbound.core.task.spent import spent_words
from taskbound.flows.task.start import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.audit import Record
    from taskbound.ports.store import Snapshot
    from taskbound.ports.task import StoredAmendment


_PAGE: Final = 500


@dataclass(slots=True)
class _Told:
    asked: AmendmentAsked
    state: str = AmendmentState.PENDING.value
    answers: set[tuple[str, str, str]] = field(default_factory=set)
    """(person, answer, SHA-256 of what was signed)."""
    given: bool = False
    """Whether a record gives its task the scope."""


@dataclass(slots=True)
class AmendmentLedger:
    """What the log says of amendments."""

    snapshot: Snapshot
    told: dict[tuple[str, str], _Told] = field(default_factory=dict)
    spaces: set[str] = field(default_factory=set)
    kept: dict[tuple[str, str], tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)
    """By task: what its last amendment says its limits were given, and what was spent until then."""

    def take(self, record: Record) -> None:
        """Follow one record."""
        space, event = record.namespace, record.event
        self.spaces.add(space)
        if isinstance(event, AmendmentAsked):
            self.told[space, event.amendment] = _Told(event)
            return
        if isinstance(event, TaskAmended):
            self.kept[space, event.task] = (event.over, event.spent)
        if isinstance(event, AmendmentChanged | AmendmentAnswered | TaskAmended):
            known = self.told.get((space, event.amendment))
            if known is None:
                return  # a narrowing has no amendment; what was never asked has no row that agrees
            match event:
                case AmendmentChanged():
                    known.state = event.after
                case AmendmentAnswered():
                    known.answers.add((event.person, event.answer, event.statement))
                case TaskAmended():
                    known.given = (event.task, event.scope) == (known.asked.task, known.asked.after)

    def differences(self) -> Iterator[str]:
        """Where the rows differ, in words."""
        for (space, name), told in sorted(self.told.items(), key=lambda pair: pair[0]):
            row = self.snapshot.amendments.amendment(space, name)
            if row is None:
                yield f"amendment {name} was asked for, and is not there"
            else:
                yield from _compare(row, told)
        for (space, name), (over, spent) in sorted(self.kept.items()):
            task = self.snapshot.tasks.task(space, name)
            if task is None:
                continue  # that is told of the task
            if words(dict(task.over)) != over:
                yield f"task {name} was given other amounts of its limits than its records say"
            if spent_words(task.spent) != spent:
                yield f"task {name} has spent another amount before its amendment than its records say"
        for space in sorted(self.spaces):
            for one in self._rows(space):
                if (space, one.question.id) not in self.told:
                    yield f"amendment {one.question.id} is there, and no record asked for it"

    def _rows(self, space: str) -> Iterator[StoredAmendment]:
        before = ""
        while page := self.snapshot.amendments.amendments(space, limit=_PAGE, before=before):
            yield from page
            before = page[-1].question.id


def _compare(row: StoredAmendment, told: _Told) -> Iterator[str]:
    name = row.question.id
    if row.question.digest != told.asked.digest:
        yield f"amendment {name} is not what was asked for"
    if row.state.value != told.state:
        yield f"amendment {name} is `{row.state.value}`, and its records say `{told.state}`"
    here = {(one.person, one.kind.value, sha256(one.statement).hexdigest()) for one in row.answers}
    if here != told.answers:
        yield f"amendment {name} has other answers than its records"
    if told.given is not (told.state == AmendmentState.APPLIED.value):
        yield f"amendment {name} is `{told.state}` by its records, and its task's records say otherwise"
