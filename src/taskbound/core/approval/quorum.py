"""Who may answer, and whether enough have: asked when somebody answers, and again when it is used.

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
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from taskbound.core.approval.errors import BadStatementError, NoApproverError, NotEntitledError
from taskbound.core.approval.question import AGENT, NeedKind
from taskbound.core.approval.statement import AnswerKind, parse_statement
from taskbound.core.dataclass import dataclass
from taskbound.core.identity import PersonState, group_named
from taskbound.core.policy.step_up import SignIn, StepUpError, asked_words, unmet

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from taskbound.core.approval.question import Need, Question
    from taskbound.core.clock import Instant
    from taskbound.core.identity import Group, Person
    from taskbound.core.policy.step_up import StepUp


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
