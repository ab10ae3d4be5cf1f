"""Operations on actions: decide, outcome, malformed, list, show, explain."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.approval import waiting_words
from taskbound.core.approval.probe import parse_reading
from taskbound.core.audit import ActionRefusedMalformed
from taskbound.core.credential import credential_of
from taskbound.core.decision import (
    Hold,
    Narrowed,
    Permit,
    Refuse,
    Repeated,
    Settled,
    TooManyRefusalsError,
    Waiting,
)
from taskbound.flows.action import Release, Report, Withhold, explain, reconcile
from taskbound.flows.action.explain import UnknownActionError
from taskbound.flows.approval.circle import see_people
from taskbound.flows.approval.look import NeedsProbe
from taskbound.flows.credential.naming import credential_with
from taskbound.flows.decision.commit import SERVICE
from taskbound.flows.decision.usable import NotDecided
from taskbound.surfaces.api.background.looking import MOST_ROUNDS
from taskbound.surfaces.api.operations.service import is_service_seat
from taskbound.surfaces.api.operations.show import (
    action_detail,
    action_row,
    changed_values,
    reasons,
    require_action,
    require_decision,
    require_task,
)
from taskbound.surfaces.api.server.operation import as_person, from_snapshot, handed, operation
from taskbound.surfaces.api.server.worker import OverloadedError, WaitingCall
from taskbound.wire import action as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.approval import Question
    from taskbound.core.audit import ActionUndecided
    from taskbound.core.decision import Proposal, Reason
    from taskbound.flows.approval.look import OperandFindings
    from taskbound.flows.decision import Answer as Decided
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Snapshot
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.operation import PersonAct, Reading
    from taskbound.surfaces.api.server.reply import Reply
    from taskbound.wire.envelope import Answer


_PAGE: Final = 500
ANSWERED: Final = 4.5
"""Seconds after which a call that is looked at has an answer: less than the 5 after which its gateway takes a
daemon for lost (`surfaces.gateway.link`), and more than one look may take."""


@handed(wire.Decide)
def _decide(daemon: Daemon, connection: Connection, ask: wire.Decide, reply: Reply) -> None:
    answer = partial(answer_of, daemon, connection)
    have_decided(daemon, WaitingCall(connection=connection, ask=ask), reply.after(answer), reply.fail)


def answer_of(daemon: Daemon, connection: Connection, found: Decided | NeedsProbe) -> Answer:
    """Returns the decision as an answer for the connection that made the call."""
    match found:
        case Settled():
            return _expected(daemon, connection, _settled(daemon, connection, found))
        case NotDecided(refusal=refusal):
            return _refused("", connection.task, refusal)
        case Waiting():
            return _held(daemon, connection, found.hold.action, found.decision, found.proposal)
        case Repeated():
            return _stored(daemon, connection, found)
        case Narrowed():
            return _narrowed(daemon, connection, found)
        case NeedsProbe():
            return _read_first(found)


async def decided(daemon: Daemon, asked: WaitingCall) -> Decided | NeedsProbe:
    """Awaits the result of `have_decided`."""
    future: asyncio.Future[Decided | NeedsProbe] = daemon.loop.create_future()

    def answer(found: Decided | NeedsProbe) -> None:
        if not future.done():
            future.set_result(found)

    def fail(error: Exception) -> None:
        if not future.done():
            future.set_exception(error)

    have_decided(daemon, asked, answer, fail)
    return await future


def have_decided(
    daemon: Daemon,
    asked: WaitingCall,
    answer: Callable[[Decided | NeedsProbe], None],
    fail: Callable[[Exception], None],
) -> None:
    """Decides a call after its operands were looked at, and then calls exactly one of the two callbacks.

    A tool that has to be called to be looked at is left out: the decision names it
    (`flows.approval.look.reading`). Raises OverloadedError if too many calls wait.
    """

    def see(sight: OperandFindings, until: float) -> None:
        connection = asked.connection
        if not connection.token and daemon.connections.of_name(connection.name) is not connection:
            return  # the caller is gone, and a permit would have no holder
        try:
            again = replace(asked, sight=sight, rounds=asked.rounds + 1, until=until)
            have_decided(daemon, again, answer, fail)
        except OverloadedError as error:
            fail(error)

    def take(found: Decided | NeedsProbe) -> None:
        if not isinstance(found, NeedsProbe) or found.unread:
            answer(found)
        elif asked.rounds >= MOST_ROUNDS:
            fail(OverloadedError("what it names was looked at again and again, and was old each time"))
        else:
            until = asked.until if asked.until is not None else asyncio.get_running_loop().time() + ANSWERED
            holder = (asked.connection.namespace, asked.connection.agent)
            try:
                daemon.looking.hand(holder, found.looks, partial(see, until=until), fail, until)
            except OverloadedError as error:
                fail(error)

    daemon.calls.hand(asked, take, fail)


def _read_first(unseen: NeedsProbe) -> wire.ReadFirst:
    return wire.ReadFirst(
        readings=tuple(
            wire.Reading(tool=parse_reading(one.probe.where).tool, arguments=msgspec.Raw(one.value.encode()))
            for one in unseen.unread
        )
    )


def _settled(daemon: Daemon, connection: Connection, settled: Settled) -> Answer:
    proposal = settled.proposal
    match settled.decision:
        case Permit() as permit:
            return wire.Permitted(
                action=proposal.id,
                task=proposal.action.task,
                digest=proposal.action.digest,
                until=permit.until,
                server=proposal.action.server,
                definition=proposal.action.definition,
                credential=_credential(proposal),
            )
        case Refuse() as refuse:
            return _refused(proposal.id, proposal.action.task, refuse)
        case Hold() as hold:
            return _held(daemon, connection, proposal.id, hold, proposal)


def _held(
    daemon: Daemon, connection: Connection, action: str, hold: Hold, proposal: Proposal
) -> wire.Refused:
    asked, waits = waiting(daemon, connection.namespace, action)
    return wire.Refused(
        action=action,
        task=proposal.action.task,
        code="held",
        instead="nothing has run; call again with exactly the same arguments once it is answered",
        reasons=reasons_of(hold.reasons),
        approval=asked.id if asked is not None else "",
        waits=waits,
    )


def waiting(daemon: Daemon, namespace: str, action: str) -> tuple[Question | None, str]:
    """Returns the open question about a held action, and the sentence that tells the agent about it."""
    adapters = daemon.adapters
    with adapters.store.read() as snapshot:
        found = snapshot.approvals.approval_of(namespace, action)
        task = None if found is None else snapshot.tasks.task(namespace, found.question.task)
        if found is None or task is None:
            return None, "waiting for approval"
        circle = see_people(snapshot, namespace, adapters.clock.now()).circle(
            snapshot, task, found.question.tool
        )
    return found.question, waiting_words(found.question, circle)


def _refused(action: str, task: str, refuse: Refuse) -> wire.Refused:
    return wire.Refused(
        action=action, task=task, code=refuse.code, instead=refuse.instead, reasons=reasons_of(refuse.reasons)
    )


def reasons_of(some: tuple[Reason, ...]) -> tuple[wire.Reason, ...]:
    """Converts the reasons of a decision to their wire form."""
    return tuple(wire.Reason(code=one.code, text=one.text, detail=one.detail) for one in some)


def _stored(daemon: Daemon, connection: Connection, repeated: Repeated) -> Answer:
    with daemon.adapters.store.read() as snapshot:
        kept = _require(snapshot, connection.namespace, repeated.prior.id)
        credential = credential_with(snapshot, kept)
    return wire.Duplicate(
        action=kept.id,
        task=kept.task,
        state=kept.state.value,
        answer=msgspec.Raw(kept.answer) if kept.released and kept.answer is not None else msgspec.UNSET,
        reasons=reasons(kept),
        credential=credential,
    )


def _expected(daemon: Daemon, connection: Connection, answer: Answer) -> Answer:
    """The daemon itself records the outcome of a credential's action (`credential_desk`)."""
    if isinstance(answer, wire.Permitted) and answer.credential:
        daemon.credentials.expect(connection, answer.credential, answer.action)
    return answer


def _credential(proposal: Proposal) -> str:
    """Returns the credential that this permit journaled or renewed; empty for none."""
    life = proposal.life
    if life is None:
        return ""
    return life.renews or credential_of(proposal.id)


def _narrowed(daemon: Daemon, connection: Connection, narrowed: Narrowed) -> Answer:
    with daemon.adapters.store.read() as snapshot:
        kept = _require(snapshot, connection.namespace, narrowed.action)
    return wire.Narrowed(
        action=kept.id,
        task=kept.task,
        arguments=msgspec.Raw(kept.arguments),
        changed=changed_values(narrowed.proposal.action.arguments, kept.arguments),
    )


@handed(wire.Outcome)
def _outcome(daemon: Daemon, connection: Connection, ask: wire.Outcome, reply: Reply) -> None:
    report = Report(
        namespace=connection.namespace,
        connection=connection.name,
        action=ask.action,
        outcome=ask.outcome,
        answer=bytes(ask.answer) if isinstance(ask.answer, msgspec.Raw) else None,
        answer_digest=ask.answer_sha256,
        note=ask.note,
    )
    daemon.reports.hand(report, reply.after(_released), reply.fail)


def _released(answer: Release | Withhold) -> Answer:
    if isinstance(answer, Release):
        return wire.Released(action=answer.action)
    return wire.Withheld(
        action=answer.action, code=answer.code, reason=answer.reason, recorded=answer.recorded
    )


@operation(wire.Malformed)
async def malformed(daemon: Daemon, connection: Connection, ask: wire.Malformed) -> Answer:
    """Records a request that could not be parsed."""
    await daemon.first(lambda: _record_malformed(daemon, connection, ask))
    return Done()


def _record_malformed(daemon: Daemon, connection: Connection, ask: wire.Malformed) -> None:
    """Runs in the worker's thread."""
    event = ActionRefusedMalformed(
        code=ask.code,
        connection=connection.name,
        agent=connection.agent,
        size=ask.size,
        digest=ask.sha256,
        tool=ask.tool,
        task=connection.task or connection.seat,
    )
    record_unread(daemon, connection, event)


def record_unread(
    daemon: Daemon, connection: Connection, event: ActionRefusedMalformed | ActionUndecided
) -> None:
    """Records a request that never reached a decision; beyond the holder's quota it is only counted.

    Runs in the worker's thread.
    """
    principal = connection.principal
    own = f"{SERVICE}{principal.name}" if principal is not None and is_service_seat(connection) else ""
    holder = connection.agent or own
    try:
        daemon.refusals.require(connection.namespace, holder, code=event.code)
    except TooManyRefusalsError:
        return
    daemon.refusals.take(connection.namespace, holder)
    adapters = daemon.adapters
    adapters.store.write(
        lambda tx: tx.audit.append(connection.namespace, adapters.writer, [event], adapters.clock.now())
    )


@from_snapshot(wire.ListActions)
def _list_actions(reading: Reading, ask: wire.ListActions) -> Answer:
    limit = max(1, min(ask.limit, _PAGE))
    require_decision(ask.decision)
    require_task(reading.snapshot, reading.namespace, ask.task)
    require_action(reading.snapshot, reading.namespace, ask.before)
    found = reading.snapshot.actions.actions(
        reading.namespace, task=ask.task, decision=ask.decision, limit=limit + 1, before=ask.before
    )
    page = found[:limit]
    tasks = {one.task for one in page}
    learning = {task for task in tasks if _is_learning(reading.snapshot, reading.connection, task)}
    rows = tuple(action_row(one, learning=one.task in learning) for one in page)
    return wire.ActionRows(rows=rows, more=len(found) > limit)


@from_snapshot(wire.ShowAction)
def _show_action(reading: Reading, ask: wire.ShowAction) -> Answer:
    found = _require(reading.snapshot, reading.namespace, ask.action)
    return action_detail(found, learning=_is_learning(reading.snapshot, reading.connection, found.task))


@operation(wire.ExplainAction)
async def _explain_action(daemon: Daemon, connection: Connection, ask: wire.ExplainAction) -> Answer:
    def read() -> Answer:
        found = explain(daemon.adapters, connection.namespace, ask.action)
        return msgspec.structs.replace(
            action_detail(found.action, learning=found.learning),
            replay=found.replay,
            facts=found.facts,
            grants=found.grants,
            asked=found.asked,
            arguments_read=found.arguments,
            turns=found.turns,
            could_grant=found.could_grant,
        )

    return await daemon.read(read)


@as_person(wire.ReconcileAction)
def _reconcile_action(act: PersonAct, ask: wire.ReconcileAction) -> None:
    reconcile(act.adapters, act.namespace, ask.action, ask.outcome, ask.note, act.actor)


def _is_learning(snapshot: Snapshot, connection: Connection, task: str) -> bool:
    found = snapshot.tasks.task(connection.namespace, task) if task else None
    return found is not None and found.learning


def _require(snapshot: Snapshot, namespace: str, action: str) -> StoredAction:
    found = snapshot.actions.action(namespace, action)
    if found is None:
        raise UnknownActionError(f"no action is named `{action}`")
    return found
