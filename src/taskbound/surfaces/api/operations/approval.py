"""Operations on approvals: list, show, answer, prove, withdraw, leave; and their browser page.

1. On the page, the person is the one signed in with the browser (`SignIns.person`), looked up again in the
   worker right before their answer takes effect. A browser that is not signed in is shown nothing.
2. The page needs the same rights as any other client: `approval:show` and `approval:answer`, as that person.
3. The answer is signed by the person's key. The page adds how the person had signed in, to their own answer
   only.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.approval import (
    OPEN,
    AnswerKind,
    AnswerSignIn,
    ApprovalState,
    NeedKind,
    Statement,
    Subject,
    UnknownApprovalError,
    askable,
    parse_statement,
    render_statement,
    retries_covered,
    yes_of,
)
from taskbound.core.approval.amendment import AmendmentState
from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.core.identity.person_key import PersonKeyKind, why_not_standing
from taskbound.core.identity.proof import Principal, PrincipalKind
from taskbound.core.identity.sign_in import NotSignedInError
from taskbound.core.policy.operation import SignIn, StepUpError, unmet
from taskbound.flows.approval.circle import see_people
from taskbound.flows.approval.fatigue import note_display
from taskbound.flows.approval.limits import measure, set_limits
from taskbound.flows.approval.look import NeedsProbe
from taskbound.flows.approval.proof.evidence import give_evidence
from taskbound.flows.approval.proof.kept import signed_in_by, subject_of
from taskbound.surfaces.api.auth.sign_in import require_page
from taskbound.surfaces.api.operations.amendment import amendment_rows, answer_amendment, is_amendment
from taskbound.surfaces.api.operations.show import BadFilterError, changed_values, gives_of, sheet_text
from taskbound.surfaces.api.page.sitting import require_brought
from taskbound.surfaces.api.server.operation import as_person, from_snapshot, operation
from taskbound.wire import approval as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.core.approval import EligibleApprovers
    from taskbound.core.approval.fatigue import ApprovalLimits
    from taskbound.core.clock import Instant
    from taskbound.flows.approval.circle import People
    from taskbound.flows.approval.look import OperandFindings
    from taskbound.flows.decision.narrowing import NarrowedTo
    from taskbound.flows.identity.sign_in import SignedIn
    from taskbound.flows.means import Adapters
    from taskbound.ports.action import StoredAction
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Snapshot
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.operation import PersonAct, Reading
    from taskbound.wire.action import AmendmentRow
    from taskbound.wire.envelope import Answer


_PAGE: Final = 500
_HOURS: Final = 24 * 366
_STATES: Final = {one.value: one for one in ApprovalState}
_AMENDED: Final = frozenset(one.value for one in AmendmentState)


@from_snapshot(wire.ListApprovals)
def _list_approvals(reading: Reading, ask: wire.ListApprovals) -> Answer:
    unknown = [one for one in ask.states if one not in _STATES and one not in _AMENDED]
    if unknown:
        raise BadFilterError(f"`{unknown[0]}` is no state of an approval")
    limit = max(1, min(ask.limit, _PAGE))
    states = {_STATES[one] for one in ask.states if one in _STATES}
    of_held = states or not ask.states
    now, space = reading.adapters.clock.now(), reading.namespace
    amended = bool(ask.before) and reading.snapshot.amendments.amendment(space, ask.before) is not None
    found = (
        reading.snapshot.approvals.approvals(
            space, states=states, task=ask.task, limit=limit + 1, before=ask.before
        )
        if of_held and not amended
        else ()
    )
    rows = tuple(_row(reading.adapters, reading.snapshot, one, now)[0] for one in found[:limit])
    some: tuple[AmendmentRow, ...] = ()
    if amended or not ask.before:
        some = amendment_rows(reading.adapters, reading.snapshot, space, ask, limit + 1)
    return wire.ApprovalRows(
        rows=rows, more=len(found) > limit, amendments=some[:limit], more_amendments=len(some) > limit
    )


@operation(wire.ShowApproval)
async def _show_approval(daemon: Daemon, connection: Connection, ask: wire.ShowApproval) -> Answer:
    """Returns one approval in full, after recording that this person saw it."""
    space = connection.namespace

    def look() -> None:
        try:
            actor = daemon.require_person(connection)
        except DeniedError:
            return  # the agent's own look, or that of an account without a person
        note_display(daemon.adapters, space, ask.approval, actor)

    def read() -> Answer:
        with daemon.adapters.store.read() as snapshot:
            reads = snapshot.approvals
            found = reads.approval(space, ask.approval) or reads.approval_of(space, ask.approval)
            if found is None:
                raise UnknownApprovalError(f"no approval is named `{ask.approval}`")
            return detail_of(daemon.adapters, snapshot, found)

    with suppress(UnavailableError):  # what takes nothing more is still read, and counts as unseen
        await daemon.first(look)
    return await daemon.read(read)


@operation(wire.AnswerApproval)
async def _answer_approval(daemon: Daemon, connection: Connection, ask: wire.AnswerApproval) -> Answer:
    require_brought(ask.signature)

    def work() -> Answer:
        daemon.require_person(connection)
        raw, signature = ask.statement.encode(), ask.signature.encode()
        said = parse_statement(raw)
        if said.subject is Subject.AMENDMENT:
            return answer_amendment(daemon, connection, raw, signature)
        sign_in = signed_in_by(daemon.adapters, connection.principal, said.person)
        told, lacking = daemon.approvals.answer(connection.namespace, raw, signature, sign_in)
        daemon.tell_held_soon([told])
        return wire.ApprovalSaid(
            approval=told.approval, action=told.action, state=told.state.value, missing=lacking
        )

    try:
        return await daemon.first(work)
    except StepUpError as error:
        who = await daemon.read(partial(daemon.authority.principal_of, connection))
        raise await stepped(daemon, who, "approval:answer", ask.statement, error) from error


async def stepped(
    daemon: Daemon, principal: Principal, operation: str, statement: str, error: StepUpError
) -> DeniedError:
    """Records that an answer needs a stronger sign-in, and returns the refusal that asks for it."""
    space, about = principal.namespace, parse_statement(statement.encode()).question

    def bundle() -> str:
        with daemon.adapters.store.read() as snapshot:
            one = snapshot.approvals.approval(space, about)
            steps = snapshot.approvals.steps_of(space, {about}) if one is None else (one,)
        return next((each.question.bundle for each in steps), "")

    return await daemon.authority.step_up(principal, operation, (about, await daemon.read(bundle)), error)


@as_person(wire.ProveApproval)
def _prove_approval(act: PersonAct, ask: wire.ProveApproval) -> Answer:
    told, lacking = give_evidence(act.adapters, act.namespace, ask.approval, ask.token, act.actor)
    act.daemon.tell_held_soon([told])
    return wire.ApprovalSaid(
        approval=told.approval, action=told.action, state=told.state.value, missing=lacking
    )


@operation(wire.MeasureApprovals)
async def _measure_approvals(daemon: Daemon, connection: Connection, ask: wire.MeasureApprovals) -> Answer:
    hours = max(1, min(ask.hours, _HOURS))

    def read() -> Answer:
        limits, agents, persons = measure(daemon.adapters, connection.namespace, hours)
        return wire.ApprovalStats(
            hours=hours,
            limits=_limits(limits),
            agents=tuple(
                wire.AgentLoad(agent=one.agent, asked=one.asked, busiest=one.busiest, states=dict(one.states))
                for one in agents
            ),
            persons=tuple(
                wire.PersonLoad(
                    person=one.person,
                    shown=one.shown,
                    busiest=one.busiest,
                    yes=one.yes,
                    no=one.no,
                    hasty=one.hasty,
                    unseen=one.unseen,
                    median=one.median,
                    speed=one.speed,
                )
                for one in persons
            ),
        )

    return await daemon.read(read)


@operation(wire.LimitApprovals)
async def _limit_approvals(daemon: Daemon, connection: Connection, ask: wire.LimitApprovals) -> Answer:
    said = {"open": ask.open, "hourly": ask.hourly, "speed": ask.speed}

    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        values = {name: value for name, value in said.items() if value}
        return _limits(set_limits(daemon.adapters, connection.namespace, actor=actor, owns=owns, **values))

    return await daemon.first(work)


def _limits(limits: ApprovalLimits) -> wire.ApprovalLimits:
    return wire.ApprovalLimits(open=limits.open, hourly=limits.hourly, speed=limits.speed)


@operation(wire.NarrowApproval)
async def _narrow_approval(daemon: Daemon, connection: Connection, ask: wire.NarrowApproval) -> Answer:
    require_brought(ask.signature)

    def work(sight: OperandFindings | None) -> NarrowedTo | NeedsProbe:
        daemon.require_person(connection)
        raw, signature, less = ask.statement.encode(), ask.signature.encode(), ask.arguments.encode()
        sign_in = signed_in_by(daemon.adapters, connection.principal, parse_statement(raw).person)
        done = daemon.narrowings.narrow(connection.namespace, raw, signature, less, sight, sign_in)
        if not isinstance(done, NeedsProbe):
            daemon.tell_held_soon([done.held])
        return done

    try:
        done = await daemon.looking.until_seen(
            (connection.namespace, connection.asker), lambda sight: daemon.first(lambda: work(sight))
        )
    except StepUpError as error:
        who = await daemon.read(partial(daemon.authority.principal_of, connection))
        raise await stepped(daemon, who, "approval:narrow", ask.statement, error) from error
    return wire.ApprovalSaid(
        approval=done.instead.approval,
        action=done.instead.action,
        state=done.instead.state.value,
        missing=done.missing,
    )


@as_person(wire.WithdrawApproval)
def _withdraw_approval(act: PersonAct, ask: wire.WithdrawApproval) -> Answer:
    if is_amendment(act.adapters, act.namespace, ask.approval):
        over = act.daemon.widenings.withdraw(act.namespace, ask.approval, act.actor, reason=ask.reason)
        return Done(detail=over.state.value)
    told = act.daemon.approvals.withdraw(act.namespace, ask.approval, act.actor, reason=ask.reason)
    act.daemon.tell_held_soon(told)
    return Done(detail=told[0].state.value)


@operation(wire.LeaveHold, injects=True)
async def _leave_hold(daemon: Daemon, connection: Connection, ask: wire.LeaveHold) -> Answer:
    def work() -> Answer:
        daemon.require_asker(connection)
        daemon.approvals.leave(
            connection.namespace, connection.name, action=ask.action, reason="the client cancelled the call"
        )
        return Done()

    return await daemon.first(work)


def _row(
    adapters: Adapters, snapshot: Snapshot, one: StoredApproval, now: Instant
) -> tuple[wire.ApprovalRow, tuple[str, ...]]:
    question = one.question
    people = see_people(snapshot, question.namespace, now)
    task = snapshot.tasks.task(question.namespace, question.task)
    lacking, may = "", frozenset[str]()
    if task is not None and one.state in OPEN:
        circle = people.circle(snapshot, task, question.tool)
        lacking = people.lacking(question, one.answers, circle, adapters, now, plan=one.plan)
        may = frozenset(name for need in question.needs for name in askable(need, circle))
    row = wire.ApprovalRow(
        approval=question.id,
        action=question.action,
        task=question.task,
        agent=question.agent,
        tool=question.tool,
        requester=question.requester,
        state=one.state.value,
        lifters=question.lifters,
        missing=lacking,
        asked=question.asked,
        deadline=question.deadline,
        reason=one.reason,
        plan=question.plan,
        step=question.step,
    )
    return row, tuple(sorted(may))


def detail_of(adapters: Adapters, snapshot: Snapshot, one: StoredApproval) -> wire.ApprovalDetail:
    """Returns everything that is shown of an approval and that its sheet is made from."""
    question = one.question
    kept = _action(snapshot, one)
    tool = snapshot.tools.tool(question.namespace, question.tool)
    server = snapshot.tools.server(question.namespace, tool.server) if tool is not None else None
    same = server is not None and server.identity == kept.server
    row, may = _row(adapters, snapshot, one, adapters.clock.now())
    before, after = _narrowing(snapshot, one)
    pair = [_action(snapshot, each) for each in (before or one, after or one)]
    return wire.ApprovalDetail(
        row=row,
        digest=question.digest,
        question=question.canonical.decode(),
        arguments=kept.arguments.decode(),
        server=kept.server,
        server_identity=server.spec.decode() if server is not None and same else "",
        definition=kept.definition,
        owner=tool.owner if tool is not None else "",
        gives=gives_of(tool, kept.definition),
        attempt=kept.attempt,
        last_outcome=snapshot.actions.act(question.namespace, kept.root, kept.act_key).last_outcome,
        policies=kept.policies,
        answers=tuple(
            wire.ApprovalAnswer(
                kind=given.kind.value,
                person=given.person,
                key=given.key,
                received=given.received,
                retries=retries_covered(given),
                acr="" if given.sign_in is None else given.sign_in.acr,
                authenticated=0 if given.sign_in is None else given.sign_in.at,
            )
            for given in one.answers
        ),
        may_answer=may,
        subject=subject_of(question)
        if any(need.kind is NeedKind.EVIDENCE for need in question.needs)
        else "",
        narrows="" if before is None else before.question.id,
        retries="" if question.first is None else question.first.id,
        narrowed_to="" if after is None else after.question.id,
        changed=changed_values(pair[0].arguments, pair[1].arguments),
    )


def _action(snapshot: Snapshot, one: StoredApproval) -> StoredAction:
    question = one.question
    kept = snapshot.actions.action(question.namespace, question.action)
    if kept is None:
        raise UnknownApprovalError(f"the action of approval `{question.id}` is not there")
    return kept


def _narrowing(
    snapshot: Snapshot, one: StoredApproval
) -> tuple[StoredApproval | None, StoredApproval | None]:
    """Returns the question that this one narrows, or the question that narrowed this one."""
    question, reads = one.question, snapshot.approvals
    if one.state is ApprovalState.NARROWED:
        return None, reads.narrowed_to(question.namespace, question.digest)
    if not question.narrows:
        return None, None
    narrowed = reads.approvals(
        question.namespace, states={ApprovalState.NARROWED}, task=question.task, limit=_PAGE
    )
    return next((each for each in narrowed if each.question.digest == question.narrows), None), None


@operation(wire.LookAtApproval)
async def _look(daemon: Daemon, connection: Connection, ask: wire.LookAtApproval) -> Answer:
    """Returns the question to the signed-in person (rule 1), after recording that they saw it."""
    try:
        signed = await daemon.read(partial(_signed_in, daemon, connection))
    except NotSignedInError:
        return wire.ApprovalPage(person="", acr="", within=0, met=False)
    principal, adapters = _principal(signed), daemon.adapters
    await daemon.authority.authorize(
        principal, "approval:show", wire.ShowApproval(approval=ask.approval)
    )  # 2
    with suppress(UnavailableError):  # it is shown all the same, and counts as unseen
        await daemon.first(lambda: note_display(adapters, signed.namespace, ask.approval, signed.actor))

    def read() -> Answer:
        with adapters.store.read() as snapshot:
            found = snapshot.approvals.approval(signed.namespace, ask.approval)
            if found is None:
                raise UnknownApprovalError(f"no approval is named `{ask.approval}`")
            return _page(daemon, snapshot, found, signed)

    return await daemon.read(read)


@operation(wire.AnswerOnPage)
async def _say(daemon: Daemon, connection: Connection, ask: wire.AnswerOnPage) -> Answer:
    require_brought(ask.signature)
    signed = await daemon.read(partial(_signed_in, daemon, connection))
    principal = _principal(signed)
    brought = wire.AnswerApproval(statement=ask.statement, signature=ask.signature)
    await daemon.authority.authorize(principal, "approval:answer", brought)  # 2

    def work() -> Answer:
        now = _signed_in(daemon, connection)  # 1
        if (now.session, now.actor.name) != (signed.session, signed.actor.name):
            raise NotSignedInError("another person has signed in with this browser since then")
        raw = ask.statement.encode()
        own = parse_statement(raw).person == now.actor.name  # 3
        how = AnswerSignIn(acr=now.acr, at=now.authenticated, session=now.session) if own else None
        told, lacking = daemon.approvals.answer(now.namespace, raw, ask.signature.encode(), how)
        daemon.tell_held_soon([told])
        return wire.ApprovalSaid(
            approval=told.approval, action=told.action, state=told.state.value, missing=lacking
        )

    try:
        return await daemon.first(work)
    except StepUpError as error:
        raise await stepped(daemon, principal, "approval:answer", ask.statement, error) from error


def _signed_in(daemon: Daemon, connection: Connection) -> SignedIn:
    found = daemon.sign_ins.person(require_page(connection))
    if found.namespace != connection.namespace:
        raise NotSignedInError("no person is signed in with this browser in that namespace")
    return found


def _principal(signed: SignedIn) -> Principal:
    return Principal(
        kind=PrincipalKind.PERSON, namespace=signed.namespace, name=signed.actor.name, proof=signed.proof
    )


def _page(daemon: Daemon, snapshot: Snapshot, found: StoredApproval, signed: SignedIn) -> wire.ApprovalPage:
    question, now, person = found.question, daemon.adapters.clock.now(), signed.actor.name
    left = unmet(question.steps, SignIn(acr=signed.acr, at=signed.authenticated), now)
    people = see_people(snapshot, question.namespace, now)
    task = snapshot.tasks.task(question.namespace, question.task)
    lacking, statements = "", tuple[wire.PageStatement, ...]()
    if task is not None and found.state in OPEN and not question.plan:
        circle = people.circle(snapshot, task, question.tool)
        lacking = people.lacking(question, found.answers, circle, daemon.adapters, now)
        if not left and person in _may(found, circle):
            statements = _statements(found, people, person, now)
    # One way can be asked of an issuer at a time; where several are to be met, no sign-in meets them.
    return wire.ApprovalPage(
        person=person,
        acr=next((one.acr for one in left if one.acr), ""),
        within=min((one.within for one in left if one.within), default=0),
        met=not left,
        state=found.state.value,
        sheet=sheet_text(snapshot, found),
        missing=lacking,
        statements=statements,
    )


def _may(found: StoredApproval, circle: EligibleApprovers) -> frozenset[str]:
    return frozenset(name for need in found.question.needs for name in askable(need, circle))


def _statements(
    found: StoredApproval, people: People, person: str, now: Instant
) -> tuple[wire.PageStatement, ...]:
    """Returns the approving statement for each OpenSSH key of the person.

    Passkeys use the daemon's own page.
    """
    question = found.question
    kind: AnswerKind = yes_of(question, person)
    return tuple(
        wire.PageStatement(
            key=key.id,
            text=render_statement(
                Statement(
                    kind=kind,
                    namespace=question.namespace,
                    question=question.id,
                    digest=question.digest,
                    person=person,
                    key=key.id,
                    at=now,
                )
            ).decode(),
        )
        for key in people.keys.values()
        if key.person == person
        and key.kind is PersonKeyKind.OPENSSH
        and not why_not_standing(key, people.persons, now)
    )
