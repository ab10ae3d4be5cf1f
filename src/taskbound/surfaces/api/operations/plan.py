"""Operations on plans: propose, show, answer; and their page.

1. The page takes only denials of a plan: it shows one action, and several are read where their digests are
   computed. A denial grants nothing, so an approver with a passkey keeps the veto.
2. Sheet and statement are those of `taskbound approval show` and of an OpenSSH key.
3. Looking and denying are authorized as on the socket.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.approval import (
    OPEN,
    AnswerKind,
    ApprovalOverError,
    ApprovalState,
    OtherQuestionError,
    SignedTogetherError,
    Statement,
    Subject,
    UnknownApprovalError,
    askable,
    parse_statement,
    render_statement,
    require_showable,
)
from taskbound.core.approval.sheet import Sheet, plan_sheet_of, render_plan_sheet
from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.core.identity.person_key import PasskeyUnreadableError
from taskbound.core.policy.operation import StepUpError
from taskbound.flows.approval.circle import see_people
from taskbound.flows.approval.fatigue import note_display_of_plan
from taskbound.flows.approval.plan import see_whole
from taskbound.flows.approval.proof.kept import signed_in_by
from taskbound.flows.decision import Proposer, Step
from taskbound.flows.means import Actor
from taskbound.flows.task import nearest_run
from taskbound.surfaces.api.operations.approval import detail_of, stepped
from taskbound.surfaces.api.operations.show import sheet_for
from taskbound.surfaces.api.page.sitting import require_brought
from taskbound.surfaces.api.server.operation import operation
from taskbound.wire import approval as wire
from taskbound.wire.approval import AnswerPlan, ShowPlan
from taskbound.wire.jose.compact import encode_base64url
from taskbound.wire.page import PageChoice, PageShown, PageTaken
from taskbound.wire.passkey import parse_passkey, render_assertion

if TYPE_CHECKING:
    from taskbound.core.approval import Plan
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.core.identity.proof import Principal
    from taskbound.flows.approval.look import NeedsProbe, OperandFindings
    from taskbound.flows.approval.plan import PlanWithApprovals
    from taskbound.flows.means import Adapters
    from taskbound.ports.approval import StoredPlan
    from taskbound.ports.store import Snapshot
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.wire.approval import OpenApproval
    from taskbound.wire.envelope import Answer
    from taskbound.wire.page import PageMade
    from taskbound.wire.passkey import Assertion


@operation(wire.ProposePlan)
async def _propose_plan(daemon: Daemon, connection: Connection, ask: wire.ProposePlan) -> Answer:
    steps = [Step(tool=one.tool, arguments=one.arguments.encode()) for one in ask.steps]

    def work(sight: OperandFindings | None) -> Plan | NeedsProbe:
        by = _require_proposer(daemon, connection, ask.task)
        return daemon.planning.ask(connection.namespace, ask.task, steps, by, sight)

    plan = await daemon.looking.until_seen(
        (connection.namespace, ask.task), lambda sight: daemon.first(lambda: work(sight))
    )
    return wire.PlanProposed(plan=plan.id, digest=plan.digest, deadline=plan.deadline)


def _require_proposer(daemon: Daemon, connection: Connection, task: str) -> Proposer:
    space = connection.namespace
    with daemon.adapters.store.read() as snapshot:
        nearest = nearest_run(snapshot, space, daemon.boot, connection.peer.ancestry)
    beneath = nearest is not None and (nearest.namespace, nearest.task) == (space, task)
    actor = daemon.identify(connection) if beneath else daemon.require_person(connection)
    if beneath:
        actor = replace(actor, proof=f"{actor.proof}, beneath the run of {task}")
    return Proposer(actor=actor, connection=connection.name, beneath=beneath)


@operation(wire.ShowPlan)
async def _show_plan(daemon: Daemon, connection: Connection, ask: wire.ShowPlan) -> Answer:
    """Returns one plan in full, after recording that this person saw it."""
    space = connection.namespace

    def look() -> None:
        try:
            actor = daemon.require_person(connection)
        except DeniedError:
            return  # the agent's own look, or that of an account without a person
        note_display_of_plan(daemon.adapters, space, ask.plan, actor)

    def read() -> Answer:
        with daemon.adapters.store.read() as snapshot:
            stored = snapshot.approvals.plan(space, ask.plan)
            if stored is None:
                raise UnknownApprovalError(f"no plan is named `{ask.plan}`")
            return plan_of(daemon.adapters, snapshot, see_whole(snapshot, stored))

    with suppress(UnavailableError):  # what takes nothing more is still read, and counts as unseen
        await daemon.first(look)
    return await daemon.read(read)


@operation(wire.AnswerPlan)
async def _answer_plan(daemon: Daemon, connection: Connection, ask: wire.AnswerPlan) -> Answer:
    require_brought(ask.signature)

    def work() -> Answer:
        daemon.require_person(connection)
        raw, signature = ask.statement.encode(), ask.signature.encode()
        sign_in = signed_in_by(daemon.adapters, connection.principal, parse_statement(raw).person)
        said = daemon.plans.answer(connection.namespace, raw, signature, sign_in)
        daemon.tell_held_soon(said.told)
        return wire.PlanSaid(plan=said.plan, state=said.state.value, missing=said.missing, denied=said.denied)

    try:
        return await daemon.first(work)
    except StepUpError as error:
        who = await daemon.read(partial(daemon.authority.principal_of, connection))
        raise await stepped(daemon, who, "approval:answer-plan", ask.statement, error) from error


def plan_of(adapters: Adapters, snapshot: Snapshot, whole: PlanWithApprovals) -> wire.PlanDetail:
    """Returns everything that is shown of a plan and that its sheet is made from."""
    stored = whole.stored
    people = see_people(snapshot, stored.plan.namespace, adapters.clock.now())
    task = snapshot.tasks.task(stored.plan.namespace, stored.plan.task)
    lacking, may, deny = "", frozenset[str](), frozenset[str]()
    if task is not None and stored.state in OPEN:
        now = adapters.clock.now()
        circles = [(one, people.circle(snapshot, task, one.question.tool)) for one in whole.left]
        words = (
            people.lacking(one.question, one.answers, circle, adapters, now, plan=one.plan)
            for one, circle in circles
        )
        lacking = next((each for each in words if each), "") if stored.state is ApprovalState.PENDING else ""
        able = [
            frozenset(name for need in one.question.needs for name in askable(need, circle))
            for one, circle in circles
        ]
        may, deny = frozenset.intersection(*able), frozenset.union(*able)
    return wire.PlanDetail(
        plan=stored.plan.id,
        state=stored.state.value,
        used=stored.used,
        digest=stored.plan.digest,
        canonical=stored.plan.canonical.decode(),
        missing=lacking,
        may_answer=tuple(sorted(may)),
        reason=stored.reason,
        steps=tuple(detail_of(adapters, snapshot, one) for one in whole.steps),
        may_deny=tuple(sorted(deny)),
    )


_DENY: Final = AnswerKind.DENY.value


def require_denial(stored: StoredPlan, ask: OpenApproval) -> None:
    """Raises unless the page is for a denial of this open plan as it was seen (rule 1).

    Raises SignedTogetherError for an approval, ApprovalOverError for a closed plan, OtherQuestionError for
    another.
    """
    if not ask.deny:
        raise SignedTogetherError(
            f"a page shows one action, and `{stored.plan.id}` is several",
            remedy=f"approve it with `taskbound approval sign {stored.plan.id} --key FILE`",
        )
    _require_open(stored)
    if stored.plan.digest != ask.digest:
        raise OtherQuestionError("what is asked is not what was seen: the digest is another one")


class DenyingPlan:
    """Has a passkey sign the denial of a plan."""

    def __init__(self, daemon: Daemon, opener: Principal, plan: str, own: PersonKey) -> None:
        self._daemon, self._opener, self._plan, self._own = daemon, opener, plan, own
        self._statement = b""

    @property
    def namespace(self) -> str:
        """Returns the namespace of the person."""
        return self._own.namespace

    @property
    def person(self) -> str:
        """Returns the person whose passkey it is."""
        return self._own.person

    async def begin(self) -> PageShown:
        """Returns the plan's sheet and the one statement (rule 2)."""
        adapters, space = self._daemon.adapters, self._own.namespace
        shown_to = Actor(name=self.person, proof=f"page of {self._own.kind.value} {self._own.fingerprint}")
        await self._daemon.authority.authorize(
            self._opener, "approval:show-plan", ShowPlan(plan=self._plan)
        )  # 3
        with suppress(UnavailableError):  # it is shown all the same, and counts as unseen
            await self._daemon.first(lambda: note_display_of_plan(adapters, space, self._plan, shown_to))
        plan, text = await self._daemon.read(self._read)
        said = Statement(
            subject=Subject.PLAN,
            kind=AnswerKind.DENY,
            namespace=space,
            question=plan.id,
            digest=plan.digest,
            person=self.person,
            key=self._own.id,
            at=adapters.clock.now(),
        )
        self._statement = render_statement(said)
        return PageShown(
            sitting="",
            title="Deny a plan",
            person=self.person,
            text=text,
            credential=encode_base64url(parse_passkey(self._own.public).credential),
            choices=(PageChoice(name=_DENY, statement=self._statement.decode()),),
        )

    async def make(self, made: PageMade, origin: str) -> PageShown:
        """Refuses: no passkey is made here."""
        del made, origin
        raise PasskeyUnreadableError("no passkey is made here")

    async def sign(self, choice: str, assertion: Assertion) -> PageTaken:
        """Takes the signature like any answer to a plan."""
        if choice != _DENY or not self._statement:
            raise PasskeyUnreadableError("nothing like that is to be signed here")

        def work() -> PageTaken:
            signature = render_assertion(assertion)
            said = self._daemon.plans.answer(self._own.namespace, self._statement, signature)
            self._daemon.tell_held_soon(said.told)
            return PageTaken(words=f"{said.plan} is {said.state.value}")

        ask = AnswerPlan(statement=self._statement.decode(), signature="")
        await self._daemon.authority.authorize(self._opener, "approval:answer-plan", ask)  # 3
        return await self._daemon.first(work)

    def _read(self) -> tuple[Plan, str]:
        with self._daemon.adapters.store.read() as snapshot:
            stored = snapshot.approvals.plan(self._own.namespace, self._plan)
            if stored is None:
                raise UnknownApprovalError(f"no plan is named `{self._plan}`")
            _require_open(stored)
            steps = [sheet_for(snapshot, one) for one in see_whole(snapshot, stored).steps]
        sheet = plan_sheet_of(stored.plan, steps)
        match render_plan_sheet(sheet):
            case Sheet(text=text):
                return stored.plan, text
            case _:
                require_showable(sheet)
                raise UnknownApprovalError("the plan has no sheet")


def _require_open(stored: StoredPlan) -> None:
    if stored.state not in OPEN:
        raise ApprovalOverError(f"the plan is over: it is {stored.state.value}")
