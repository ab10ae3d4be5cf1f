"""Entitled approvers, sufficiency of answers, signed statements, and plans of several questions.

`quorum`:

1. The requester of a task, of its ancestors and of its descendants cannot approve, nor can the person
   whose account the agent ran under for one of them. Linked persons count as one human here.
2. A confirmation comes from the requester only and never counts as an approval.
3. Current members answer for a group. For `approval:agent` the tool's approvers answer if any were ever
   named, even if all have left; otherwise the agent's. A target's tool may have groups as approvers.
4. Humans are counted once, independent of their number of keys, accounts and answers.
5. A denial by any person who could approve or confirm is final.
6. Evidence counts while a currently trusted issuer's token about this question verifies; it cannot be
   denied.
7. For a step-up, an approval counts with the sign-in that its person had when it arrived, if that is
   strong and recent enough and still valid. Denials need none.
8. A person without an account at an issuer of people cannot meet a step-up and is not asked.

`waiting`: the sentence names persons only where the policy names no group.

`statement`:

1. The first line states what the text is, so no signature for another purpose can be an answer.
2. Each statement has one text form; any other text is refused.
3. It names the approval digest, so a signature binds the question that was shown (A198).
4. A narrowing names the digest of the narrowed action in an extra line.
5. The first line names the subject: an action, a plan or an amendment. Only an action can be narrowed.
6. An answer covers retries only if a line states how many; only a yes to one action can (law 7).

`plan`: its digest covers requester, task and the steps' approval digests in order (I-28). Each step's
question names the plan and its position, so they cannot be recombined. One answer applies to all 2 to 20
steps, so all need the same lifters and the same people; an issuer's token lifts no plan. A step can be
used after the step before it succeeded; any other outcome ends the rest (law 7). A yes must count for
every remaining step, a denial for at least one; the steps for which it does not count are superseded, not
denied.
"""

from __future__ import annotations

import re
from dataclasses import field
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action import ActionState, canonical, parse_object
from taskbound.core.approval.errors import (
    BadPlanError,
    BadStatementError,
    NoApproverError,
    NotEntitledError,
    OtherQuestionError,
    PlanRefusedError,
    StatementTimeError,
    UnreadablePlanError,
)
from taskbound.core.approval.question import AGENT, ApprovalEvent, Invalidation, NeedKind
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
    """A question about several held actions."""

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
        place = question.step - 1
        named = (question.namespace, question.plan) == (self.namespace, self.id)
        return named and 0 <= place < len(self.questions) and self.questions[place] == question.digest


_TEXTS: Final = ("namespace", "id", "task", "requester", "nonce")
_WHOLE: Final = ("asked", "deadline")


def parse_plan(raw: bytes) -> Plan:
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
    """The kind of a person's answer."""

    APPROVE = "approve"
    DENY = "deny"
    CONFIRM = "confirm"
    """The requester's own word; never an approval."""
    EVIDENCE = "evidence"
    """An issuer's signed word about this question; nothing that a person signs."""
    NARROW = "narrow"
    """No to the held action, and yes to a narrower one: an approval or a confirmation of that."""


class Subject(Enum):
    """What an answer is about."""

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
    """The bytes that are signed."""
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
    """Raises unless the statement answers this question or whole plan and was made while it was open."""
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
    """The sign-in that accompanied an answer, and the session that it depends on."""

    acr: str
    """In their issuer's words; empty where it did not say."""
    at: Instant
    token: str = ""
    """The token of theirs that said so; empty where a browser showed its session."""
    session: str = ""
    """The session that it rests on; empty where it rests on none."""

    @property
    def sign_in(self) -> SignIn:
        return SignIn(acr=self.acr, at=self.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One signed answer of a person, or one token of an issuer."""

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
    """The number of retries that this signed answer covers; 0 for an issuer's token."""
    if answer.kind is AnswerKind.EVIDENCE:
        return 0
    try:
        return parse_statement(answer.statement).retries
    except BadStatementError:
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EligibleApprovers:
    """All people whose answers may count for one question, as of now."""

    persons: Mapping[str, Person]
    groups: tuple[Group, ...]
    approvers: tuple[str, ...]
    """Those who approve for the agent."""
    tool: tuple[str, ...] | None
    """The tool's approvers; None if none were ever named."""
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


def askable(need: Need, circle: EligibleApprovers) -> frozenset[str]:
    """Names of the people whose answers count for this need now."""
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


def _each(named: Collection[str], circle: EligibleApprovers) -> set[str]:
    groups = {group_named(one) for one in named} - {""}
    members = {name for group in circle.groups if group.name in groups for name in group.everyone}
    return {one for one in named if not group_named(one)} | members


def _present(names: Collection[str], circle: EligibleApprovers) -> frozenset[str]:
    known = circle.persons
    return frozenset(one for one in names if one in known and known[one].state is PersonState.PRESENT)


def require_askable(needs: Iterable[Need], circle: EligibleApprovers, steps: Sequence[StepUp] = ()) -> None:
    """Raises NoApproverError if too few people could meet the needs and step-ups."""
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
                f"`{need.lifter}` needs {need.quorum}, and {len(could)} may answer it"
                f"{' and has an account to sign in with' if unlinked else ''}",
                remedy="link accounts of theirs at an issuer of people" if unlinked else "",
            )


def require_entitled(kind: AnswerKind, person: str, needs: Iterable[Need], circle: EligibleApprovers) -> None:
    """Raises NotEntitledError unless this person's answer of this kind counts now."""
    wanted = {need.kind.value: need for need in needs if person in askable(need, circle)}
    if not wanted:
        raise NotEntitledError(f"`{person}` cannot answer this question")
    if kind is not AnswerKind.DENY and kind.value not in wanted:
        raise NotEntitledError(f"`{person}` can {' or '.join(sorted(wanted))} this, and not {kind.value} it")


def require_signed_in(
    kind: AnswerKind, steps: Sequence[StepUp], signed: AnswerSignIn | None, now: Instant
) -> None:
    """Raises StepUpError unless the answer comes with the required sign-in."""
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
    circle: EligibleApprovers,
    standing: Collection[str],
    steps: Sequence[StepUp] = (),
) -> str:
    """Describes in words what the hold still needs; empty if nothing.

    `standing` holds the ids of keys that count now and the digests of tokens that verify now.
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
    signed = answer.sign_in.sign_in if answer.sign_in is not None else None
    return not unmet(steps, signed, answer.received)


def require_wanted(issuer: str, needs: Iterable[Need]) -> None:
    """Raises NotEntitledError unless a need asks for this issuer's token."""
    if not any(need.kind is NeedKind.EVIDENCE and _vouches(issuer, need) for need in needs):
        raise NotEntitledError(f"this question needs no token of issuer `{issuer}`")


def _vouches(issuer: str, need: Need) -> bool:
    return need.group in {"jws", f"jws.{issuer}"}


def yes_of(question: Question, person: str) -> AnswerKind:
    """The kind of yes that this person gives: a confirmation only if one is asked of them."""
    asked = any(need.kind is NeedKind.CONFIRMATION for need in question.needs)
    return AnswerKind.CONFIRM if asked and person == question.requester else AnswerKind.APPROVE


def waiting_words(question: Question, circle: EligibleApprovers) -> str:
    asked = " and ".join(_need_words(one, circle) for one in question.needs)
    day, _, time = render_instant(question.deadline).partition("T")
    until = time[:5] if render_instant(question.asked).startswith(day) else f"{day} {time[:5]}"
    return f"waiting for {asked}: {question.id}, until {until} UTC"


def _need_words(need: Need, circle: EligibleApprovers) -> str:
    if need.kind is NeedKind.EVIDENCE:
        issuer = need.group.partition(".")[2]
        return f"evidence by {issuer or 'an issuer'}"
    if need.kind is NeedKind.CONFIRMATION:
        return f"confirmation by {circle.requester}"
    by = " or ".join(sorted(askable(need, circle))) if need.group == AGENT else need.group  # 1
    return f"approval by {f'{need.quorum} of ' if need.quorum > 1 else ''}{by or 'those who approve for it'}"


LEAST_STEPS: Final = 2
MOST_STEPS: Final = 20
_RUNS: Final = frozenset({ActionState.PERMITTED, ActionState.SENT})


def require_length(steps: int) -> None:
    """Raises BadPlanError unless the number of steps is allowed."""
    if not LEAST_STEPS <= steps <= MOST_STEPS:
        raise BadPlanError(f"a plan has {LEAST_STEPS} to {MOST_STEPS} steps, and not {steps}")


def require_one_answer(questions: Sequence[Question], circles: Sequence[EligibleApprovers]) -> None:
    """Raises PlanRefusedError unless one answer can apply to every step."""
    first = questions[0]
    for number, one in enumerate(questions, 1):
        if one.lifters != first.lifters:
            raise PlanRefusedError(
                f"it needs {_lifters(one)}, and step 1 needs {_lifters(first)}",
                remedy="who signs a plan signs every step: ask about what needs other words by itself",
                where=step_words(number, one.tool),
            )
    for need in first.needs:
        if need.kind is NeedKind.EVIDENCE:
            raise PlanRefusedError(
                f"`{need.lifter}` is a token about one question, and lifts no plan",
                remedy="ask about it by itself",
                where=step_words(1, first.tool),
            )
        able = frozenset.intersection(*(askable(need, circle) for circle in circles))
        humans = {circles[0].human(name) for name in able}
        if len(humans) < need.quorum:
            raise PlanRefusedError(
                f"`{need.lifter}` needs {need.quorum}, and {len(humans)} may answer every step",
                remedy="ask about tools that other persons answer for by themselves",
            )


def why_plan_over(before: ActionState) -> str | None:
    """The reason that the rest is over, empty if the next step may run, None while one runs."""
    if before is ActionState.SUCCEEDED:
        return ""
    return None if before in _RUNS else f"the step before it is {before.value}"


def fates_of_denial(
    left: Sequence[int], denied: Collection[int], person: str
) -> tuple[Invalidation, tuple[Invalidation, ...]]:
    """What a denial does to the plan and each remaining step; `denied` has at least one step."""
    words = f"denied by {person}"
    if set(denied) < set(left):
        numbers = ", ".join(map(str, sorted(denied)))
        words = f"step{'s' if len(denied) > 1 else ''} {numbers}: {words}"
    whole = Invalidation(event=ApprovalEvent.DENY, reason=words)
    rest = Invalidation(event=ApprovalEvent.SUPERSEDE, reason=words)
    one = Invalidation(event=ApprovalEvent.DENY, reason=f"denied by {person}")
    return whole, tuple(one if number in denied else rest for number in left)


def step_words(number: int, tool: str) -> str:
    return f"step {number} (`{tool}`)"


def _lifters(question: Question) -> str:
    return ", ".join(f"`{one}`" for one in question.lifters)
