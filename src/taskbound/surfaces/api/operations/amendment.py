"""Operations on widening amendments: ask, show, and their part of the `approval` operations."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from taskbound.core.action import parse_document
from taskbound.core.approval import UnknownApprovalError, askable
from taskbound.core.approval.amendment import AmendmentState
from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.core.scope import counted_limits, parse_scope
from taskbound.flows.approval.amendment import amendment_circle, note_amendment
from taskbound.flows.approval.circle import see_people
from taskbound.flows.task import AmendmentOrder
from taskbound.surfaces.api.server.operation import operation
from taskbound.wire import action as wire
from taskbound.wire.approval import ApprovalSaid

if TYPE_CHECKING:
    from taskbound.flows.means import Adapters
    from taskbound.flows.task import AmendmentUpdate
    from taskbound.ports.store import Snapshot
    from taskbound.ports.task import StoredAmendment
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.wire.approval import ListApprovals
    from taskbound.wire.envelope import Answer


@operation(wire.AskAmendment)
async def _ask_amendment(daemon: Daemon, connection: Connection, ask: wire.AskAmendment) -> Answer:
    order = AmendmentOrder(
        namespace=connection.namespace,
        task=ask.task,
        scope=parse_scope(parse_document(bytes(ask.scope))),
        reason=ask.reason,
        seconds=ask.seconds,
        seen=ask.seen,
    )
    asked = await daemon.first(lambda: daemon.widenings.ask(order, daemon.require_person(connection)))
    return await _detail(daemon, connection, asked.question.id)


@operation(wire.ShowAmendment)
async def _show_amendment(daemon: Daemon, connection: Connection, ask: wire.ShowAmendment) -> Answer:
    """Returns one amendment in full, after recording that this person saw it."""

    def look() -> None:
        try:
            actor = daemon.require_person(connection)
        except DeniedError:
            return  # the agent's own look, or that of an account without a person
        note_amendment(daemon.adapters, connection.namespace, ask.amendment, actor)

    with suppress(UnavailableError):  # what takes nothing more is still read, and counts as unseen
        await daemon.first(look)
    return await _detail(daemon, connection, ask.amendment)


def answer_amendment(daemon: Daemon, connection: Connection, raw: bytes, signature: bytes) -> ApprovalSaid:
    """Takes a signed answer to an amendment; runs in the worker's thread."""
    told = daemon.widenings.answer(connection.namespace, raw, signature)
    if told.ended:
        daemon.loop.call_soon_threadsafe(daemon.tell_ended, told.ended)
    return _said(told)


def is_amendment(adapters: Adapters, namespace: str, name: str) -> bool:
    """Returns whether an amendment has this id."""
    with adapters.store.read() as snapshot:
        return snapshot.amendments.amendment(namespace, name) is not None


def amendment_rows(
    adapters: Adapters, snapshot: Snapshot, namespace: str, ask: ListApprovals, limit: int
) -> tuple[wire.AmendmentRow, ...]:
    """Returns a page of amendments in the given states, or in any state if none is given; newest first."""
    wanted = {one for one in AmendmentState if one.value in ask.states}
    if ask.states and not wanted:
        return ()
    found = snapshot.amendments.amendments(
        namespace, states=wanted, task=ask.task, limit=limit, before=ask.before
    )
    return tuple(_row(adapters, snapshot, one)[0] for one in found)


async def _detail(daemon: Daemon, connection: Connection, name: str) -> Answer:
    def read() -> Answer:
        with daemon.adapters.store.read() as snapshot:
            found = snapshot.amendments.amendment(connection.namespace, name)
            if found is None:
                raise UnknownApprovalError(f"no amendment is named `{name}`")
            return _whole(daemon.adapters, snapshot, found)

    return await daemon.read(read)


def _whole(adapters: Adapters, snapshot: Snapshot, one: StoredAmendment) -> wire.AmendmentDetail:
    question = one.question
    row, may = _row(adapters, snapshot, one)
    task = snapshot.tasks.task(question.namespace, question.task)
    same = task is not None and task.scope.digest == question.before
    left = snapshot.tasks.remainders(question.namespace, question.task)
    limits = counted_limits(task.scope) if task is not None else {}
    return wire.AmendmentDetail(
        row=row,
        digest=question.digest,
        question=question.canonical.decode(),
        before=task.scope.canonical.decode() if task is not None and same else "",
        remainders=tuple((name, left.get(name, 0), of) for name, of in sorted(limits.items())),
        answers=tuple(
            wire.AmendmentAnswer(
                kind=given.kind.value, person=given.person, key=given.key, received=given.received
            )
            for given in one.answers
        ),
        may_answer=may,
    )


def _row(
    adapters: Adapters, snapshot: Snapshot, one: StoredAmendment
) -> tuple[wire.AmendmentRow, tuple[str, ...]]:
    question = one.question
    task = snapshot.tasks.task(question.namespace, question.task)
    lacking, may = "", frozenset[str]()
    if task is not None and one.state is AmendmentState.PENDING:
        people = see_people(snapshot, question.namespace, adapters.clock.now())
        circle = amendment_circle(snapshot, people, task, question.asker)
        lacking = people.lacking(question, one.answers, circle, adapters, adapters.clock.now())
        may = frozenset(name for need in question.needs for name in askable(need, circle))
    row = wire.AmendmentRow(
        amendment=question.id,
        task=question.task,
        agent=question.agent,
        requester=question.requester,
        asker=question.asker,
        state=one.state.value,
        lifters=question.lifters,
        missing=lacking,
        why=question.reason,
        asked=question.asked,
        deadline=question.deadline,
        reason=one.reason,
    )
    return row, tuple(sorted(may))


def _said(told: AmendmentUpdate) -> ApprovalSaid:
    return ApprovalSaid(
        approval=told.amendment,
        action="",
        state=told.state.value,
        missing=told.missing or (told.reason if told.state is AmendmentState.SUPERSEDED else ""),
    )
