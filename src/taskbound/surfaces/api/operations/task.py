"""Operations on tasks, templates, runs and issuers of evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

import msgspec

from taskbound.core.action import parse_document
from taskbound.core.scope import parse_scope
from taskbound.core.task import (
    Disowned,
    Lapsed,
    NoTaskError,
    Proven,
    Stated,
    TaskEvent,
    TaskSyntaxError,
    Template,
    ending,
    evidence_names,
    evidence_text,
    parse_holds,
)
from taskbound.flows.task import (
    ChildOrder,
    TaskOrder,
    add_issuer,
    drop_issuer,
    drop_template,
    look_again,
    nearest_run,
    register_run,
    save_template,
)
from taskbound.surfaces.api.operations.show import (
    require_agent,
    require_task,
    task_detail,
    task_row,
    task_states,
    template_row,
)
from taskbound.surfaces.api.server.operation import as_giver, as_person, from_snapshot, operation
from taskbound.wire import task as wire
from taskbound.wire.connection import Done
from taskbound.wire.jose import parse_jwks

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.scope import Scope
    from taskbound.core.task import Evidence, Task, Verdict
    from taskbound.flows.means import Actor, TaskChange
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.operation import GiverAct, PersonAct, Reading
    from taskbound.wire.envelope import Answer


@as_giver(wire.AddIssuer)
def _put_issuer(act: GiverAct, ask: wire.AddIssuer) -> None:
    add_issuer(
        act.adapters,
        act.namespace,
        ask.name,
        issuer=ask.issuer,
        audience=ask.audience,
        keys=ask.keys.encode(),
        actor=act.actor,
        owns=act.owns,
    )


@as_giver(wire.RemoveIssuer)
def _remove_issuer(act: GiverAct, ask: wire.RemoveIssuer) -> None:
    drop_issuer(act.adapters, act.namespace, ask.name, actor=act.actor, owns=act.owns)


@from_snapshot(wire.ListIssuers)
def _list_issuers(reading: Reading, _ask: wire.ListIssuers) -> Answer:
    found = reading.snapshot.identities.issuers(reading.namespace)
    rows = tuple(
        wire.IssuerRow(
            name=one.name,
            issuer=one.issuer,
            audience=one.audience,
            keys=tuple(f"{key.kid} {key.algorithm.value} {key.thumbprint}" for key in parse_jwks(one.keys)),
        )
        for one in found
    )
    return wire.IssuerRows(rows=rows)


def evidence_row(evidence: Evidence, verdict: Verdict) -> wire.EvidenceRow:
    """Returns one piece of a task's evidence."""
    until, reason = 0, ""
    match verdict:
        case Stated():
            word = "stated"
        case Proven(until=until):
            word = "proven"
        case Lapsed(since=until):
            word = "lapsed"
        case Disowned(reason=reason):
            word = "disowned"
        case _:
            assert_never(verdict)
    return wire.EvidenceRow(
        text=evidence_text(evidence),
        names=evidence_names(evidence),
        verdict=word,
        until=until,
        reason=reason,
    )


_PAGE: Final = 500
_REASON: Final = 200
"""Characters of an agent's word for why its task ends."""


@operation(wire.StartTask)
async def _start_task(daemon: Daemon, connection: Connection, ask: wire.StartTask) -> Answer:
    order = TaskOrder(
        namespace=connection.namespace,
        agent=ask.agent,
        purpose=ask.purpose,
        seconds=ask.seconds,
        template=ask.template,
        scope=_scope(ask.scope),
        evidence=ask.evidence,
        tokens=ask.tokens,
        learning=ask.learning,
        heartbeat=ask.heartbeat,
        grace=ask.grace,
    )
    task = await daemon.first(lambda: daemon.tasks.start(order, daemon.require_person(connection)))
    return await _detail(daemon, connection, task.id)


@operation(wire.DelegateTask)
async def _delegate_task(daemon: Daemon, connection: Connection, ask: wire.DelegateTask) -> Answer:
    order = ChildOrder(
        namespace=connection.namespace,
        parent=ask.parent,
        agent=ask.agent,
        purpose=ask.purpose,
        seconds=ask.seconds,
        template=ask.template,
        scope=_scope(ask.scope),
        evidence=ask.evidence,
        tokens=ask.tokens,
        heartbeat=ask.heartbeat,
        grace=ask.grace,
    )
    task = await daemon.first(lambda: daemon.delegations.delegate(order, daemon.require_person(connection)))
    return await _detail(daemon, connection, task.id)


@operation(wire.ShowTask)
async def _show_task(daemon: Daemon, connection: Connection, ask: wire.ShowTask) -> Answer:
    return await _detail(daemon, connection, ask.task)


@from_snapshot(wire.ListTasks)
def _list_tasks(reading: Reading, ask: wire.ListTasks) -> Answer:
    limit = max(1, min(ask.limit, _PAGE))
    states = task_states(ask.state)
    require_agent(reading.snapshot, reading.namespace, ask.agent)
    require_task(reading.snapshot, reading.namespace, ask.before)
    found = reading.snapshot.tasks.tasks(
        reading.namespace, agent=ask.agent, states=states, limit=limit + 1, before=ask.before
    )
    rows = tuple(
        task_row(one, reading.snapshot.actions.count(one.namespace, one.id)) for one in found[:limit]
    )
    return wire.TaskRows(rows=rows, more=len(found) > limit)


@operation(wire.PauseTask)
async def _pause_task(daemon: Daemon, connection: Connection, ask: wire.PauseTask) -> Answer:
    return await _move(
        daemon,
        lambda actor: daemon.tasks.pause(connection.namespace, ask.task, actor, reason=ask.reason),
        lambda: daemon.require_person(connection),
    )


@operation(wire.ResumeTask)
async def _resume_task(daemon: Daemon, connection: Connection, ask: wire.ResumeTask) -> Answer:
    return await _move(
        daemon,
        lambda actor: daemon.tasks.resume(connection.namespace, ask.task, actor),
        lambda: daemon.require_person(connection),
    )


@operation(wire.EndTask)
async def _end_task(daemon: Daemon, connection: Connection, ask: wire.EndTask) -> Answer:
    event = ending(ask.how)
    return await _move(
        daemon,
        lambda actor: daemon.tasks.end(connection.namespace, ask.task, event, actor, reason=ask.reason),
        lambda: daemon.require_run(connection, ask.task),
    )


@operation(wire.EndOwnTask)
async def _end_own_task(daemon: Daemon, seat: Connection, ask: wire.EndOwnTask) -> Answer:
    event = ending(ask.how)
    if event is TaskEvent.REVOKE:
        raise TaskSyntaxError("an agent gives its task up; who takes it away is a person", where="how")
    if len(ask.reason) > _REASON:
        raise TaskSyntaxError(f"a reason has at most {_REASON} characters", where="reason")
    return await _move(
        daemon,
        lambda actor: daemon.tasks.end(seat.namespace, seat.seat, event, actor, reason=ask.reason),
        lambda: daemon.network.require_giving_up(seat.principal),
    )


async def _move(
    daemon: Daemon, work: Callable[[Actor], list[TaskChange]], who: Callable[[], Actor]
) -> Answer:
    changed = await daemon.first(lambda: work(who()))
    daemon.tell_ended(changed)
    return Done(detail=changed[-1].state.value if changed else "it had ended already")


@operation(wire.StepTask)
async def _step_task(daemon: Daemon, connection: Connection, ask: wire.StepTask) -> Answer:
    await daemon.first(
        lambda: daemon.changes.step(
            connection.namespace, ask.task, ask.name, daemon.require_person(connection)
        )
    )
    return await _detail(daemon, connection, ask.task)


@operation(wire.AmendTask)
async def _amend_task(daemon: Daemon, connection: Connection, ask: wire.AmendTask) -> Answer:
    """Narrows the scope of a task; children that it no longer covers end."""
    scope = parse_scope(parse_document(bytes(ask.scope)))
    ended = await daemon.first(
        lambda: daemon.changes.amend(
            connection.namespace, ask.task, scope, daemon.require_person(connection), seen=ask.seen
        )
    )
    daemon.tell_ended(ended)
    return await _detail(daemon, connection, ask.task)


@operation(wire.RegisterRun)
async def _run_task(daemon: Daemon, connection: Connection, ask: wire.RegisterRun) -> Answer:
    proof = connection.peer.proof
    await daemon.first(
        lambda: register_run(
            daemon.adapters,
            connection.namespace,
            ask.task,
            daemon.require_person(connection),
            boot=daemon.boot,
            pid=proof.pid,
            started=proof.started,
        )
    )
    await daemon.read(daemon.look_inside)
    await leave_others(daemon, ask.task)
    return Done()


async def leave_others(daemon: Daemon, task: str) -> None:
    """Unbinds gateways beneath the task's new run from tasks to which they were bound before."""
    bound = [one for one in daemon.connections.gateways(lost=True) if one.task not in {"", task}]

    def read() -> list[Connection]:
        with daemon.adapters.store.read() as snapshot:
            runs = [
                (one, nearest_run(snapshot, one.namespace, daemon.boot, one.peer.ancestry))
                for one in bound
                if not one.seat
            ]
        return [one for one, run in runs if run is not None and run.task == task]

    for one in await daemon.read(read):
        one.leave(one.task, f"the process above this gateway belongs to the task `{task}` now")


@operation(wire.SaveTemplate)
async def _put_template(daemon: Daemon, connection: Connection, ask: wire.SaveTemplate) -> Answer:
    template = Template(
        namespace=connection.namespace,
        name=ask.name,
        scope=parse_scope(parse_document(bytes(ask.scope))),
        seconds=ask.seconds,
        purpose=ask.purpose,
        heartbeat=ask.heartbeat,
        grace=ask.grace,
        holds=parse_holds(ask.holds),
    )
    await daemon.first(
        lambda: save_template(daemon.adapters, template, daemon.require_person(connection)),
    )
    return Done()


@as_person(wire.RemoveTemplate)
def _remove_template(act: PersonAct, ask: wire.RemoveTemplate) -> None:
    drop_template(act.adapters, act.namespace, ask.name, act.actor)


@from_snapshot(wire.ListTemplates)
def _list_templates(reading: Reading, _ask: wire.ListTemplates) -> Answer:
    return wire.TemplateRows(
        rows=tuple(map(template_row, reading.snapshot.tasks.templates(reading.namespace)))
    )


def _scope(raw: msgspec.Raw | msgspec.UnsetType) -> Scope | None:
    return parse_scope(parse_document(bytes(raw))) if isinstance(raw, msgspec.Raw) else None


async def _detail(daemon: Daemon, connection: Connection, task: str) -> Answer:
    def read() -> Answer:
        stands = look_again(daemon.adapters, connection.namespace, task)
        with daemon.adapters.store.read() as snapshot:
            found: Task | None = snapshot.tasks.task(connection.namespace, task)
            if found is None:
                raise NoTaskError(f"no task is named `{task}`", remedy="list them with `taskbound task list`")
            rows = tuple(evidence_row(one, verdict) for one, verdict in stands)
            held, now = len(daemon.connections.of_task(task)), daemon.adapters.clock.now()
            return task_detail(snapshot, found, held, rows, now)

    return await daemon.read(read)
