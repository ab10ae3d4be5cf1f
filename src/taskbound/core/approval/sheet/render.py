"""Renders exact actions, approval questions and plans as the lines that an approver reads.

Every byte of the arguments is shown exactly once, uncut; only canonical arguments have a sheet, so the
shown arguments are the sent ones. An action or plan above its limits has no sheet: it is refused, never
held (law 6). The agent's words come last, after a line that says so. The first and last lines state the
number of lines. Each step of a plan is shown by its complete own sheet; foreign text cannot imitate a
step's first line, because it always follows a gutter.
"""

from __future__ import annotations

import re
from dataclasses import fields
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.action import canonical, parse_object
from taskbound.core.approval.errors import TooLongToShowError
from taskbound.core.approval.question import NeedKind
from taskbound.core.approval.sheet.lines import (
    SHEET_WIDTH,
    Item,
    Label,
    Quoted,
    bewares,
    lay_out,
    leaf_atoms,
    leaves,
    remarks,
)
from taskbound.core.clock import render_instant
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.target.kind import RENEWS, SECONDS
from taskbound.core.tool.name import credential_kind
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.core.action import Action, JsonValue
    from taskbound.core.approval.probe import Operand
    from taskbound.core.approval.question import First, Need, Question
    from taskbound.core.approval.quorum import Plan
    from taskbound.core.approval.sheet.lines import Way
    from taskbound.core.clock import Instant


class BadSheetError(MalformedError):
    """The text is not a sheet as shown, or a value cannot appear on a sheet."""

    code = "bad-sheet"
    remedy = "have the question shown again, and copy all of its lines"


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetLimits:
    """Limits on the length of a sheet; an action above them is refused."""

    lines: int = 400
    """Eight to ten screens: some 2,000 words, or ten minutes at the pace at which people read for sense."""
    size: int = 32_768
    """Bytes of arguments and words together. A row of 10,000 spaces is one short escape, so lines alone
    bound neither the work nor what hides in a repetition; 400 full lines hold less than this."""


SHEET_LIMITS: Final = SheetLimits()
PLAN_LIMITS: Final = SheetLimits(lines=800)
"""Of a plan, all its steps together. Of the thirty lines of a small action twenty-five say of each step what
they say of the one before it: twice the lines are less than twice the reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetOperand:
    """Something outside the arguments that the action depends on, as a probe found it."""

    kind: str
    """What sort of probe found it, such as `file` or `row`."""
    place: str
    """Where: a pointer to the argument that names it."""
    found: tuple[tuple[str, str], ...]
    """What was there, by name: a resolved path, a content hash, a version, an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetNeed:
    """One need of the hold, and the number of people that must meet it."""

    lifter: str
    """As policies name it, such as `approval:finance:2`."""
    persons: int
    """How many different people."""
    who: str
    """The group or person that must meet it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetOf:
    """One held action with everything that the approver's signature covers, and the agent's words."""

    namespace: str
    digest: str
    """The approval digest: what is signed."""
    question: str
    """The question's id."""
    narrows: str
    """Approval digest of the question that was answered with this action; empty when it narrows none."""
    retry: int = 0
    """The number of the retry of an answered question; 0 if it is no retry."""
    first: First | None = None
    """Of a retry: what of the question that was answered is another."""
    action: str
    """The action's id."""
    action_digest: str
    agent: str
    task: str
    requester: str
    tool: str
    server: str
    """The digest of the server's pinned identity."""
    server_identity: str
    """That identity in words: transport, binary with its hash, arguments."""
    definition: str
    """The digest of the tool's pinned definition."""
    arguments: bytes
    """Canonical: the bytes that will be sent."""
    operands: tuple[SheetOperand, ...]
    owner: str = ""
    """The owner of the tool, added when the sheet is shown; empty without an owner."""
    gives: str = ""
    """The declared purpose of a kind of credential, added when the sheet is shown; empty for other tools."""
    attempt: int
    """Which attempt of this act in the tree of tasks this is, from 1."""
    last_outcome: str
    """Of the attempt before it, or `none`."""
    grant: str
    """The grant that covers it."""
    scope: str
    """The scope's version or digest."""
    policies: tuple[str, ...]
    """The policies that hold it."""
    needs: tuple[SheetNeed, ...]
    """All that has to be given, each with its quorum."""
    bundle: str
    """The digest of the policies in force."""
    asked: Instant
    deadline: Instant
    edition: int
    """How often the task was given a scope, from 1."""
    nonce: str
    purpose: str
    """The task's, in its requester's words."""
    reason: str
    """The agent's own words about this action; nothing has looked into them."""
    plan: str = ""
    """Id of the plan whose step it is; then `digest` is no more what is signed, but counts by that plan."""
    step: int = 0
    """Which step of it, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSheetOf:
    """A plan with everything that the approver's signature covers."""

    namespace: str
    digest: str
    """The plan digest: what is signed."""
    plan: str
    """Its id."""
    task: str
    requester: str
    nonce: str
    asked: Instant
    deadline: Instant
    steps: tuple[SheetOf, ...]


VERSION: Final = 1
"""The version of the form; another order or label is another version."""
UNPROVEN: Final = "words of the requester and of the agent: nothing has looked into them"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet(NoTruth):
    """The text to show; each line ends with a line feed."""

    text: str
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TooLong(NoTruth):
    """The action is too long to show and must be refused."""

    what: str
    """`lines` or `bytes`."""
    limit: int


Rendering: TypeAlias = Sheet | TooLong


def render_sheet(of: SheetOf, limits: SheetLimits = SHEET_LIMITS) -> Rendering:
    """Renders an action; raises BadSheetError or BadInstantError for values that cannot be shown."""
    if len(of.arguments) + sum(map(len, _texts(of))) > limits.size:
        return TooLong(what="bytes", limit=limits.size)
    arguments = parse_object(of.arguments)
    if canonical(arguments) != of.arguments:
        raise BadSheetError("the arguments are not in canonical form")
    counted = (of.attempt, of.edition, *(need.persons for need in of.needs))
    if min(counted) < 1 or min(of.step, of.retry) < 0:
        raise BadSheetError("an attempt, a quorum, a step or an edition is no number that counts")
    if bool(of.retry) != (of.first is not None):
        raise BadSheetError("a retry is one of something")
    body = (line for item in _items(of, arguments) for line in lay_out(item))
    lines = list(islice(body, limits.lines - 1))
    if len(lines) + 2 > limits.lines:
        return TooLong(what="lines", limit=limits.lines)
    count = len(lines) + 2
    first = ("Taskbound", "form", f"{VERSION},", f"{count}", "lines", "of", f"{SHEET_WIDTH}", "columns")
    lines = [
        *lay_out(Item(label=Label.SHEET, atoms=first)),
        *lines,
        *lay_out(Item(label=Label.END, atoms=("of", f"{count}", "lines"))),
    ]
    return Sheet(text="\n".join(lines) + "\n", lines=count)


def _items(of: SheetOf, arguments: dict[str, JsonValue]) -> Iterator[Item]:
    yield from _asked(of)
    yield from _acting(of)
    yield from _arguments(of, arguments)
    yield from _given(of.tool, arguments.get(SECONDS), renews=RENEWS in arguments)
    for number, operand in enumerate(of.operands, 1):
        yield from _operand(f"{number}/{len(of.operands)}", operand)
    yield from _rests_on(of)
    yield Item(label=Label.UNPROVEN, atoms=tuple(UNPROVEN.split()))
    yield from _said(Label.PURPOSE, of.purpose)
    yield from _said(Label.REASON, of.reason)


def _asked(of: SheetOf) -> Iterator[Item]:
    yield from _digest(Label.PART if of.plan else Label.DIGEST, of.digest)
    if of.plan:
        yield from _named(Label.PLAN, of.plan)
    if of.step:
        yield Item(label=Label.STEP, atoms=(f"{of.step}",))
    yield from _named(Label.QUESTION, of.question)
    if of.narrows:
        yield from _digest(Label.NARROWS, of.narrows)
    if of.first is not None:
        yield from _retry(of.retry, of.first)
    yield Item(label=Label.ASKED, atoms=(render_instant(of.asked),))
    yield Item(label=Label.DEADLINE, atoms=(render_instant(of.deadline),))
    for number, need in enumerate(of.needs, 1):
        name = f"{number}/{len(of.needs)}"
        whom = (f"{need.persons}", "of", Quoted(text=need.who), "for", Quoted(text=need.lifter))
        yield Item(label=Label.NEED, atoms=(name, *whom))
        for text in (need.who, need.lifter):
            yield from bewares(f"needed {name}:", text)


def _retry(number: int, first: First) -> Iterator[Item]:
    named = ("of", Quoted(text=first.id), "action", Quoted(text=first.action))
    nonce = ("nonce", Quoted(text=first.nonce))
    times = ("asked", render_instant(first.asked), "until", render_instant(first.deadline))
    yield Item(label=Label.RETRY, atoms=(f"{number}", *named, *nonce, *times))
    for text in (first.id, first.action, first.nonce):
        yield from bewares("retry:", text)


def _acting(of: SheetOf) -> Iterator[Item]:
    yield from _named(Label.AGENT, of.agent)
    yield from _named(Label.REQUESTER, of.requester)
    yield from _named(Label.NAMESPACE, of.namespace)
    yield from _named(Label.TASK, of.task)
    yield from _named(Label.TOOL, of.tool)
    if of.owner:
        yield from _named(Label.OWNER, of.owner)
    if of.gives:
        yield from _said(Label.GIVES, of.gives)
    yield from _named(Label.SERVER_IDENTITY, of.server_identity)
    before = ("the", "one", "before:", Quoted(text=of.last_outcome))
    yield Item(label=Label.ATTEMPT, atoms=(f"{of.attempt},", *before))


def _arguments(of: SheetOf, arguments: dict[str, JsonValue]) -> Iterator[Item]:
    found = tuple(leaves(arguments))
    seen: set[Way] = set()
    size = f"{len(of.arguments)}"
    yield Item(label=Label.ARGUMENTS, atoms=(f"{len(found)}", "values", "in", size, "bytes"))
    for number, leaf in enumerate(found, 1):
        name = f"{number}/{len(found)}"
        yield Item(label=Label.ARGUMENT, atoms=(name, *leaf_atoms(leaf)))
        for depth, step in enumerate(leaf.way, 1):
            if isinstance(step, str) and leaf.way[:depth] not in seen:
                seen.add(leaf.way[:depth])
                yield from remarks(f"{name} key:", step)
        if isinstance(leaf.value, str):
            yield from remarks(f"{name} text:", leaf.value)


def _given(tool: str, seconds: JsonValue, *, renews: bool) -> Iterator[Item]:
    if credential_kind(tool) is None:
        return
    whole = isinstance(seconds, int) and not isinstance(seconds, bool)
    life = f"{seconds} seconds" if whole else "as long as its kind may"
    given = (
        "a yes lets a credential that the task has live longer: the one that `renews` names"
        if renews
        else "a yes gives a credential: its secret goes to whoever makes this call, and to nobody else"
    )
    for said in (
        given,
        "with it all that its kind may do is done without another question",
        f"it lasts {life} from then on, and never longer than its task",
    ):
        yield Item(label=Label.NOTE, atoms=("tool:", *said.split()))


def _operand(name: str, operand: SheetOperand) -> Iterator[Item]:
    atoms = (name, Quoted(text=operand.kind), "at", Quoted(text=operand.place))
    yield Item(label=Label.OPERAND, atoms=atoms)
    for text in (operand.kind, operand.place):
        yield from bewares(f"operand {name}:", text)
    for what, found in operand.found:
        yield Item(label=Label.FOUND, atoms=(name, Quoted(text=what), "=", Quoted(text=found)))
        for text in (what, found):
            yield from bewares(f"operand {name} found:", text)


def _rests_on(of: SheetOf) -> Iterator[Item]:
    yield from _named(Label.GRANT, of.grant)
    yield from _digest(Label.SCOPE, of.scope)
    yield Item(label=Label.EDITION, atoms=(f"{of.edition}",))
    for policy in of.policies:
        yield from _named(Label.POLICY, policy)
    yield from _digest(Label.BUNDLE, of.bundle)
    yield from _named(Label.ACTION, of.action)
    yield from _digest(Label.ACTION_DIGEST, of.action_digest)
    yield from _digest(Label.SERVER, of.server)
    yield from _digest(Label.DEFINITION, of.definition)
    yield from _named(Label.NONCE, of.nonce)


def _digest(label: Label, text: str) -> Iterator[Item]:
    if _DIGEST.fullmatch(text):
        yield Item(label=label, atoms=(text,))
    else:
        yield from _named(label, text)


def _named(label: Label, text: str) -> Iterator[Item]:
    yield Item(label=label, atoms=(Quoted(text=text),))
    yield from bewares(f"{label.value}:", text)


def _said(label: Label, text: str) -> Iterator[Item]:
    yield Item(label=label, atoms=(Quoted(text=text),))
    yield from remarks(f"{label.value}:", text)


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case tuple():
            for one in value:
                yield from _texts(one)
        case SheetOf() | SheetOperand() | SheetNeed():
            for each in fields(value):
                yield from _texts(getattr(value, each.name))
        case _:
            return


_EACH: Final = "whoever says yes"
"""Of whom a sign-in is asked that stands beside other lifters."""


def sheet_of(  # noqa: PLR0913 -- what is not in the question, each thing by its name
    question: Question,
    action: Action,
    *,
    server_identity: str = "",
    attempt: int = 1,
    last_outcome: str = "none",
    grant: str = "",
    policies: tuple[str, ...] = (),
    reason: str = "",
) -> SheetOf:
    """Collects the sheet's content (except the tool's owner); raises BadSheetError for another action."""
    return SheetOf(
        namespace=question.namespace,
        digest=question.digest,
        question=question.id,
        narrows=question.narrows,
        retry=question.retry,
        first=question.first,
        action=question.action,
        action_digest=_about(question, action),
        agent=question.agent,
        task=question.task,
        requester=question.requester,
        tool=question.tool,
        server=action.server,
        server_identity=server_identity,
        definition=action.definition,
        arguments=action.arguments,
        operands=tuple(map(_question_operand, question.operands)),
        attempt=attempt,
        last_outcome=last_outcome,
        grant=grant,
        scope=question.scope,
        edition=question.edition,
        policies=policies,
        needs=_needs(question),
        bundle=question.bundle,
        asked=question.asked,
        deadline=question.deadline,
        nonce=question.nonce,
        purpose=question.purpose,
        reason=reason,
        plan=question.plan,
        step=question.step,
    )


def _about(question: Question, action: Action) -> str:
    if action.digest != question.act:
        raise BadSheetError("the question is about another action")
    return action.digest


def _question_operand(one: Operand) -> SheetOperand:
    return SheetOperand(kind=one.kind.value, place=one.place, found=one.found)


def _needs(question: Question) -> tuple[SheetNeed, ...]:
    needs = question.needs
    named = {one.lifter for one in needs}
    most = max((need.quorum for need in needs), default=1)
    return (
        *(_need(one, question.requester) for one in needs),
        *(SheetNeed(lifter=one, persons=most, who=_EACH) for one in question.lifters if one not in named),
    )


def _need(need: Need, requester: str) -> SheetNeed:
    who = requester if need.kind is NeedKind.CONFIRMATION else need.group
    return SheetNeed(lifter=need.lifter, persons=need.quorum, who=who)


def plan_sheet_of(plan: Plan, steps: Sequence[SheetOf]) -> PlanSheetOf:
    named = tuple((one.plan, one.step, one.digest) for one in steps)
    if named != tuple((plan.id, number, digest) for number, digest in enumerate(plan.questions, 1)):
        raise BadSheetError("the plan has other steps")
    return PlanSheetOf(
        namespace=plan.namespace,
        digest=plan.digest,
        plan=plan.id,
        task=plan.task,
        requester=plan.requester,
        nonce=plan.nonce,
        asked=plan.asked,
        deadline=plan.deadline,
        steps=tuple(steps),
    )


def render_plan_sheet(of: PlanSheetOf, limits: SheetLimits = PLAN_LIMITS) -> Rendering:
    parts: list[str] = []
    for number, step in enumerate(of.steps, 1):
        shown = render_sheet(step)
        if not isinstance(shown, Sheet):
            return shown
        parts += [*_lines(Item(label=Label.STEP, atoms=(f"{number}", "of", f"{len(of.steps)}"))), shown.text]
        if sum(map(len, parts)) > limits.lines * (SHEET_WIDTH + 1):
            return TooLong(what="lines", limit=limits.lines)
    head = "".join(line for item in _head(of) for line in _lines(item))
    count = head.count("\n") + sum(part.count("\n") for part in parts) + 2
    if count > limits.lines:
        return TooLong(what="lines", limit=limits.lines)
    size = sum(len(step.arguments) for step in of.steps)
    if size > limits.size:
        return TooLong(what="bytes", limit=limits.size)
    words = (
        "Taskbound",
        "plan",
        "form",
        f"{VERSION},",
        f"{count}",
        "lines",
        "of",
        f"{SHEET_WIDTH}",
        "columns",
    )
    first = "".join(_lines(Item(label=Label.SHEET, atoms=words)))
    last = "".join(_lines(Item(label=Label.END, atoms=("of", f"{count}", "lines"))))
    return Sheet(text=f"{first}{head}{''.join(parts)}{last}", lines=count)


def _head(of: PlanSheetOf) -> Iterator[Item]:
    yield Item(label=Label.DIGEST, atoms=(of.digest,))
    yield Item(label=Label.PLAN, atoms=(Quoted(text=of.plan),))
    yield Item(label=Label.ASKED, atoms=(render_instant(of.asked),))
    yield Item(label=Label.DEADLINE, atoms=(render_instant(of.deadline),))
    for label, name in (
        (Label.REQUESTER, of.requester),
        (Label.NAMESPACE, of.namespace),
        (Label.TASK, of.task),
        (Label.NONCE, of.nonce),
    ):
        yield Item(label=label, atoms=(Quoted(text=name),))


def _lines(item: Item) -> Iterator[str]:
    return (f"{line}\n" for line in lay_out(item))


def require_showable(of: SheetOf | PlanSheetOf) -> None:
    match render_sheet(of) if isinstance(of, SheetOf) else render_plan_sheet(of):
        case Sheet():
            return
        case TooLong(what=what, limit=limit):
            raise TooLongToShowError(f"it takes more than {limit} {what} to be shown")
