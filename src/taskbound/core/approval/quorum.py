"""Who may answer an approval request and whether enough have; what they sign, also of a plan.

Of `quorum`:

1. Who asked for the task approves nothing of it, nor does who asked for an ancestor or a descendant: each
   of them has set the agent to work. Neither does whoever controls the agent: the person under whose account
   it has run for one of these tasks, since what runs there can do what they can. Persons who are one human
   are one; so an approver is never one of them under another name.
2. A confirmation is the requester's own word, and nobody else's; it counts as no approval.
3. A group's members answer where a policy names the group. Where it names those who approve for the agent,
   those who approve for the tool go first: if anybody was ever named for it, they answer and nobody else,
   also when all of them have left. Whoever left the organization, or the group, counts no more. An amendment
   names each tool whose approvers have to answer beside those of the agent.
4. Humans are counted, each once, however many keys, accounts or answers they have.
5. A denial by anyone who could have approved or confirmed is final.
6. Evidence is no person's word: an issuer's token about exactly this question counts while it is proven, by
   the issuers of now. Nobody denies it; who asked for the task takes the question back.
7. Where a sign-in is asked for, each yes counts by the one that its person had when it came, which lasts
   still: as well, and as lately before it, as is asked for. A no needs none. An answer that came with no
   sign-in has none: neither an account and its process nor a key that signs says how somebody signed in.
8. Nobody is asked who has no account at an issuer of people, and so could never sign in.
9. A tool of a target may have groups among those who approve for it: whoever is in them now.

Of `waiting`:

1. A group is named as the policy names it, and persons where the policy names none. The deadline's day is
   named where it is not the day of the question.

Of `statement`:

1. The statement is text that can be read before it is signed. Its first line says what it is, so that no
   signature over anything else is an answer, and an answer is nothing else.
2. There is one way to write each statement; what is not exactly that is none.
3. It names the approval digest: whoever signed another digest has seen another question (A198).
4. A narrowing names the digest of the narrowed action too, in a line that no other answer has.
5. The first line names what is answered as well: an action, a plan of them, or an amendment of a task. Only
   an action can be narrowed, and who signed about one has said nothing about another.
6. An answer covers no retry unless a line of it says how many, and only a yes to one action can (law 7).

Of `plan`:

1. The plan digest is the SHA-256 of the canonical object of version, kind, who asked for the task and for
   which, and the approval digests of the steps, in order. So whoever changes, adds, drops or swaps a step,
   or anything that one of them names, has another plan (I-28).
2. Each step is a question of its own, which names the plan and its place in it. So of a plan and its
   questions neither can be exchanged for others.
"""

from __future__ import annotations

import re
from dataclasses import field
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical, parse_object
from taskbound.core.approval.errors import (
    BadStatementError,
    NoApproverError,
    NotEntitledError,
    OtherQuestionError,
    StatementTimeError,
    UnreadablePlanError,
)
from taskbound.core.approval.question import AGENT, NeedKind
from taskbound.core.clock import Instant, render_instant
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.identity import PersonState, group_named
from taskbound.core.policy.operation import SignIn, StepUpError, asked_words, unmet

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from taskbound.core.action import JsonValue
    from taskbound.core.approval.question import Need, Question
    from taskbound.core.identity import Group, Person
    from taskbound.core.policy.operation import StepUp


PLAN_VERSION: Final = 1
"""The version of what stands in the digest; another composition is another version."""
_KIND: Final = "taskbound plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked of people about several held actions at once (rule 1)."""

    namespace: str
    id: str
    task: str
    requester: str
    """Who asked for the task."""
    questions: tuple[str, ...]
    """The approval digests of its steps, in order."""
    nonce: str
    asked: Instant
    deadline: Instant
    canonical: bytes = field(init=False, repr=False, compare=False)
    digest: str = field(init=False)
    """Rule 1: what people sign."""

    def __post_init__(self) -> None:
        """Compute the digest, once."""
        value: dict[str, JsonValue] = {
            "kind": _KIND,
            "version": PLAN_VERSION,
            "questions": list(self.questions),
        }
        for name in (*_TEXTS, *_WHOLE):
            value[name] = getattr(self, name)
        written = canonical(value)
        object.__setattr__(self, "canonical", written)
        object.__setattr__(self, "digest", sha256(written).hexdigest())

    def has(self, question: Question) -> bool:
        """Whether this very question stands in its place in this plan (rule 2)."""
        place = question.step - 1
        named = (question.namespace, question.plan) == (self.namespace, self.id)
        return named and 0 <= place < len(self.questions) and self.questions[place] == question.digest


_TEXTS: Final = ("namespace", "id", "task", "requester", "nonce")
_WHOLE: Final = ("asked", "deadline")


def parse_plan(raw: bytes) -> Plan:
    """The plan that these canonical bytes hold.

    Raises:
        UnreadablePlanError: They hold none, or not in canonical form.
    """
    try:
        plan = _plan(parse_object(raw))
    except MalformedError as error:
        raise UnreadablePlanError(f"a plan can't be read: {error.message}") from error
    if plan.canonical != raw:
        raise UnreadablePlanError("a plan is not as it was asked")
    return plan


def _plan(value: dict[str, JsonValue]) -> Plan:
    texts = {name: said for name in _TEXTS if isinstance(said := value.get(name), str)}
    whole = {
        name: Instant(said)
        for name in _WHOLE
        if isinstance(said := value.get(name), int) and not isinstance(said, bool)
    }
    questions = value.get("questions")
    if len(texts) + len(whole) < len(_TEXTS) + len(_WHOLE) or not isinstance(questions, list):
        raise UnreadablePlanError("a plan has not all that a plan has")
    return Plan(
        namespace=texts["namespace"],
        id=texts["id"],
        task=texts["task"],
        requester=texts["requester"],
        nonce=texts["nonce"],
        questions=tuple(str(one) for one in questions),
        asked=whole["asked"],
        deadline=whole["deadline"],
    )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSignIn:
    """How a person had signed in who brought their answer, and what that rests on (rule 7)."""

    acr: str
    """In their issuer's words; empty where it did not say."""
    at: Instant
    token: str = ""
    """The token of theirs that said so; empty where a browser showed its session."""
    session: str = ""
    """The session that it rests on; empty where it rests on none."""

    @property
    def sign_in(self) -> SignIn:
        """As rules about sign-ins take it."""
        return SignIn(acr=self.acr, at=self.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one person has said to one question, with their signature; or an issuer, with its token."""

    kind: AnswerKind
    person: str
    """Of evidence: the issuer's short name."""
    key: str
    """Of evidence: the token's digest."""
    at: Instant
    """As the statement says."""
    received: Instant
    statement: bytes
    signature: bytes
    sign_in: AnswerSignIn | None = None
    """None for an answer that came with none (rule 7)."""


def retries_covered(answer: Answer) -> int:
    """How many retries this answer covers, by what was signed; an issuer's word covers none."""
    if answer.kind is AnswerKind.EVIDENCE:
        return 0
    try:
        return parse_statement(answer.statement).retries
    except BadStatementError:
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Circle:
    """Everybody whose word may count for one question, as they stand now."""

    persons: Mapping[str, Person]
    groups: tuple[Group, ...]
    approvers: tuple[str, ...]
    """Those who approve for the agent."""
    tool: tuple[str, ...] | None
    """Those who approve for the tool; None where nobody was named for it."""
    requester: str
    kin: frozenset[str]
    """Who asked for an ancestor or a descendant of the task."""
    controllers: frozenset[str]
    """Under whose accounts the agent has run for the task, or for one above or beneath it."""
    issuers: frozenset[str]
    """Short names of those whose signed word counts."""
    human: Callable[[str], str]
    """The human behind a person's name."""
    tools: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of an amendment: those who approve for each tool for which anybody was named."""
    signs_in: Callable[[str], bool] = field(default=lambda _: False)
    """Whether the person of this name has an account at an issuer at which people sign in (rule 8)."""


def askable(need: Need, circle: Circle) -> frozenset[str]:
    """Names of all whose word counts for this need now (rules 1, 2 and 3)."""
    if need.kind is NeedKind.CONFIRMATION:
        return _present({circle.requester}, circle)
    if need.kind is NeedKind.EVIDENCE:
        return frozenset()  # 6
    barred = {circle.human(name) for name in {circle.requester, *circle.kin, *circle.controllers}}
    named = {name for group in circle.groups if group.name == need.group for name in group.everyone}
    if need.tool:
        named = _each(circle.tools.get(need.tool, ()), circle)
    elif need.group == AGENT:
        named = set(circle.approvers) if circle.tool is None else _each(circle.tool, circle)
    return frozenset(name for name in _present(named, circle) if circle.human(name) not in barred)


def _each(named: Collection[str], circle: Circle) -> set[str]:
    """The persons who are named, and those who are now in the groups that are (rule 9)."""
    groups = {group_named(one) for one in named} - {""}
    members = {name for group in circle.groups if group.name in groups for name in group.everyone}
    return {one for one in named if not group_named(one)} | members


def _present(names: Collection[str], circle: Circle) -> frozenset[str]:
    known = circle.persons
    return frozenset(one for one in names if one in known and known[one].state is PersonState.PRESENT)


def require_askable(needs: Iterable[Need], circle: Circle, steps: Sequence[StepUp] = ()) -> None:
    """Go on only when enough humans could lift the hold: what nobody can answer is refused, not held.

    Args:
        needs: What lifts it.
        circle: Who may answer, now.
        steps: How they have to have signed in.

    Raises:
        NoApproverError: Too few could.
    """
    for need in needs:
        if need.kind is NeedKind.EVIDENCE:
            if not any(_vouches(issuer, need) for issuer in circle.issuers):
                raise NoApproverError(f"`{need.lifter}` needs an issuer whose signed word counts")
            continue
        able = askable(need, circle)
        could = {circle.human(name) for name in able if not steps or circle.signs_in(name)}  # 8
        if len(could) < need.quorum:
            unlinked = len({circle.human(name) for name in able}) >= need.quorum
            raise NoApproverError(
                f"`{need.lifter}` needs {need.quorum}, and {len(could) or 'nobody'} may answer it"
                f"{' and has an account to sign in with' if unlinked else ''}",
                remedy="link accounts of theirs at an issuer of people" if unlinked else "",
            )


def require_entitled(kind: AnswerKind, person: str, needs: Iterable[Need], circle: Circle) -> None:
    """Go on only when this person's answer of this kind counts for the question now.

    Raises:
        NotEntitledError: It does not.
    """
    wanted = {need.kind.value: need for need in needs if person in askable(need, circle)}
    if not wanted:
        raise NotEntitledError(f"`{person}` is none of those whose word counts here")
    if kind is not AnswerKind.DENY and kind.value not in wanted:
        raise NotEntitledError(f"`{person}` can {' or '.join(sorted(wanted))} this, and not {kind.value} it")


def require_signed_in(
    kind: AnswerKind, steps: Sequence[StepUp], signed: AnswerSignIn | None, now: Instant
) -> None:
    """Go on only when an answer of this kind comes now with the sign-in that is asked for (rule 7).

    Raises:
        StepUpError: It does not, and how to sign in.
    """
    if kind is AnswerKind.DENY:
        return
    left = unmet(steps, signed.sign_in if signed is not None else None, now)
    if left:
        raise StepUpError(
            "a yes to this needs another sign-in",
            steps=left,
            remedy="sign in as it says, and answer over the API with the token that you get by that, or on "
            "its page `/approvals/ID`; a terminal and a passkey's page know of no sign-in, and can deny",
        )


def missing(
    needs: Iterable[Need],
    answers: Iterable[Answer],
    circle: Circle,
    standing: Collection[str],
    steps: Sequence[StepUp] = (),
) -> str:
    """What is missing until the hold is lifted, in words; empty when nothing is (rule 4).

    Args:
        needs: Of the question.
        answers: All of them.
        circle: Who may answer, now.
        standing: Ids of the keys whose word counts now, and digests of the tokens that are proven now.
        steps: How whoever said yes has to have signed in (rule 7); answers have only what lasts of that.
    """
    said = [one for one in answers if one.key in standing]
    how = f", signed in {asked_words(steps)}" if steps else ""
    for need in needs:
        if need.kind is NeedKind.EVIDENCE:
            if not any(one.kind is AnswerKind.EVIDENCE and _vouches(one.person, need) for one in said):
                return f"`{need.lifter}` was not given"
            continue
        can = askable(need, circle)
        humans = {
            circle.human(one.person)
            for one in said
            if one.kind.value == need.kind.value and one.person in can and _meets(one, steps)
        }
        if len(humans) < need.quorum:
            return f"`{need.lifter}` has {len(humans)} of {need.quorum}{how}"
    return ""


def _meets(answer: Answer, steps: Sequence[StepUp]) -> bool:
    """Whether an answer came with the sign-in that is asked for; its age is that of when it came (rule 7)."""
    signed = answer.sign_in.sign_in if answer.sign_in is not None else None
    return not unmet(steps, signed, answer.received)


def require_wanted(issuer: str, needs: Iterable[Need]) -> None:
    """Go on only when the signed word of this issuer is asked for (rule 6).

    Raises:
        NotEntitledError: It is not.
    """
    if not any(need.kind is NeedKind.EVIDENCE and _vouches(issuer, need) for need in needs):
        raise NotEntitledError(f"nobody asks for the signed word of `{issuer}` here")


def _vouches(issuer: str, need: Need) -> bool:
    return need.group in {"jws", f"jws.{issuer}"}


def yes_of(question: Question, person: str) -> AnswerKind:
    """What this person says by yes: a confirmation only where one is asked of them (rule 2)."""
    asked = any(need.kind is NeedKind.CONFIRMATION for need in question.needs)
    return AnswerKind.CONFIRM if asked and person == question.requester else AnswerKind.APPROVE


def waiting_words(question: Question, circle: Circle) -> str:
    """The sentence about this question, by the people of now."""
    asked = " and ".join(_need_words(one, circle) for one in question.needs)
    day, _, time = render_instant(question.deadline).partition("T")
    until = time[:5] if render_instant(question.asked).startswith(day) else f"{day} {time[:5]}"
    return f"waiting for {asked}: {question.id}, until {until} UTC"


def _need_words(need: Need, circle: Circle) -> str:
    if need.kind is NeedKind.EVIDENCE:
        issuer = need.group.partition(".")[2]
        return f"evidence by {issuer or 'an issuer'}"
    if need.kind is NeedKind.CONFIRMATION:
        return f"confirmation by {circle.requester}"
    by = " or ".join(sorted(askable(need, circle))) if need.group == AGENT else need.group  # 1
    return f"approval by {f'{need.quorum} of ' if need.quorum > 1 else ''}{by or 'those who approve for it'}"
