"""What a person signs: one answer to one question, by one key, at one instant.

1. The statement is text that can be read before it is signed. Its first line says what it is, so that no
   signature over anything else is an answer, and an answer is nothing else.
2. There is one way to write each statement; what is not exactly that is none.
3. It names the approval digest: whoever signed another digest has seen another question (A198).
4. A narrowing names the digest of the narrowed action too, in a line that no other answer has.
5. The first line names what is answered as well: an action, a plan of them, or an amendment of a task. Only
   an action can be narrowed, and who signed about one has said nothing about another.
6. An answer covers no retry unless a line of it says how many, and only a yes to one action can (law 7).
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.approval.errors import BadStatementError, OtherQuestionError, StatementTimeError
from taskbound.core.approval.plan import Plan
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from taskbound.core.approval.question import Question


MOST_RETRIES: Final = 3
"""Retries that one answer may cover (rule 6)."""
SKEW: Final = 60_000_000
"""µs by which the clock of a person's machine may differ from ours."""


class AnswerKind(Enum):
    """What a person says."""

    APPROVE = "approve"
    DENY = "deny"
    CONFIRM = "confirm"
    """The requester's own word; never an approval."""
    EVIDENCE = "evidence"
    """An issuer's signed word about this question; nothing that a person signs."""
    NARROW = "narrow"
    """No to the held action, and yes to a narrower one: an approval or a confirmation of that."""


class Subject(Enum):
    """What is answered (rule 5)."""

    ACTION = "action"
    PLAN = "plan"
    AMENDMENT = "amendment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One answer, before or after it is signed."""

    kind: AnswerKind
    namespace: str
    question: str
    """The question's id."""
    digest: str
    """The approval digest that the person has seen."""
    person: str
    key: str
    """Id of the person key that signs."""
    at: Instant
    narrowed: str = ""
    """Of a narrowing: the digest of the action that is to run instead (rule 4)."""
    subject: Subject = Subject.ACTION
    retries: int = 0
    """Of a yes to an action: how many retries it covers, 0 to 3 (rule 6)."""


_LINES: Final = re.compile(
    r"taskbound statement: (?P<kind>approve|deny|confirm|narrow) "
    r"one (?P<subject>action|plan|amendment), version 1\n"
    r"approval digest: (?P<digest>[0-9a-f]{64})\n"
    r"(?:narrowed to: (?P<narrowed>[0-9a-f]{64})\n)?"
    r"(?:retries covered: (?P<retries>[1-3])\n)?"
    r"question: (?P<question>[!-~]{1,100})\n"
    r"namespace: (?P<namespace>[!-~]{1,100})\n"
    r"person: (?P<person>[!-~]{1,100})\n"
    r"key: (?P<key>[!-~]{1,100})\n"
    r"at: (?P<at>0|[1-9][0-9]{0,15})\n"
)


_COVERING: Final = {("approve", "action"), ("confirm", "action")}


def render_statement(statement: Statement) -> bytes:
    """The bytes that are signed (rules 2, 4 and 6)."""
    retries = f"retries covered: {statement.retries}\n" if statement.retries else ""
    narrowed = f"narrowed to: {statement.narrowed}\n" if statement.narrowed else ""
    return (
        f"taskbound statement: {statement.kind.value} one {statement.subject.value}, version 1\n"
        f"approval digest: {statement.digest}\n"
        f"{narrowed}"
        f"{retries}"
        f"question: {statement.question}\n"
        f"namespace: {statement.namespace}\n"
        f"person: {statement.person}\n"
        f"key: {statement.key}\n"
        f"at: {statement.at}\n"
    ).encode()


def parse_statement(raw: bytes) -> Statement:
    """The statement that these bytes are.

    Raises:
        BadStatementError: They are none.
    """
    try:
        found = _LINES.fullmatch(raw.decode("ascii"))
    except UnicodeDecodeError:
        found = None
    if found is None or (found["kind"] == AnswerKind.NARROW.value) != bool(found["narrowed"]):  # 4
        raise BadStatementError("what was signed is no answer to a question")
    if found["narrowed"] and found["subject"] != Subject.ACTION.value:  # 5
        raise BadStatementError("only an action can be narrowed")
    if found["retries"] and (found["kind"], found["subject"]) not in _COVERING:  # 6
        raise BadStatementError("only a yes to one action can cover retries")
    return Statement(
        kind=AnswerKind(found["kind"]),
        namespace=found["namespace"],
        question=found["question"],
        digest=found["digest"],
        person=found["person"],
        key=found["key"],
        at=Instant(int(found["at"])),
        narrowed=found["narrowed"] or "",
        subject=Subject(found["subject"]),
        retries=int(found["retries"] or 0),
    )


def require_answers(statement: Statement, question: Question | Plan, now: Instant) -> None:
    """Go on only when this statement answers this question, and was made while it was open (rules 3 and 5).

    Args:
        statement: What was signed.
        question: What is asked; a plan is asked as a whole.
        now: The instant.

    Raises:
        OtherQuestionError: It answers another one.
        StatementTimeError: It was made before it was asked, or says that it will be made.
    """
    subject = Subject.PLAN if isinstance(question, Plan) else Subject.ACTION
    if statement.subject is not subject:  # 5
        raise OtherQuestionError(
            f"what was signed answers one {statement.subject.value}, and not one {subject.value}"
        )
    named = (statement.namespace, statement.question, statement.digest)
    if named != (question.namespace, question.id, question.digest):
        raise OtherQuestionError("what was signed is not what is asked: the digest is another one")
    if not question.asked - SKEW <= statement.at <= now + SKEW:
        raise StatementTimeError("the statement was not made between the question and now")
