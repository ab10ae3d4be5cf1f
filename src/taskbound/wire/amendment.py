"""Widening amendments of tasks: asking for them, and looking at them; they are answered as approvals are."""

from __future__ import annotations

import msgspec

from taskbound.wire.frame import Message


class AskAmendment(Message, frozen=True, tag="task:widen", tag_field="op"):
    """Ask those who approve for its agent to give a task a wider scope. A person's act."""

    task: str
    scope: msgspec.Raw
    reason: str
    """Why it needs more, 1 to 500 characters."""
    seconds: int = 3600
    """How long it may be answered; never past the task's deadline."""
    seen: str = ""
    """The digest of the scope that it had when it was looked at; empty for whichever it has."""


class ShowAmendment(Message, frozen=True, tag="amendment:show", tag_field="op"):
    """Ask for one amendment, with all that is signed and shown of it."""

    amendment: str


class AmendmentRow(Message, frozen=True):
    """One amendment in short."""

    amendment: str
    task: str
    agent: str
    requester: str
    asker: str
    state: str
    lifters: tuple[str, ...]
    missing: str
    """What is missing until it is applied, in words; empty when it is over."""
    why: str
    """Why the asker wants it."""
    asked: int
    deadline: int
    reason: str = ""
    """Why it is over."""


class AmendmentAnswer(Message, frozen=True):
    """One answer that was given."""

    kind: str
    person: str
    key: str
    received: int


class AmendmentDetail(Message, frozen=True, tag="amendment", tag_field="is"):
    """One amendment in full: from this its digest and the difference are computed, where it is shown."""

    row: AmendmentRow
    digest: str
    question: str
    """The canonical bytes whose SHA-256 is the digest, as text; the whole new scope is in them."""
    before: str
    """The canonical bytes of the scope that the task has, as text; empty when it has another one by now."""
    remainders: tuple[tuple[str, int, int], ...]
    """(limit, left, of) of the task now."""
    answers: tuple[AmendmentAnswer, ...]
    may_answer: tuple[str, ...]
    """Names of those whose word counts now."""
