"""Operations on the connection and the daemon itself, and acts that the command line carries out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound import __version__
from taskbound.core.audit.events import PersonActed
from taskbound.core.task import TaskState
from taskbound.flows.credential.naming import count_credentials
from taskbound.flows.revocation import stop
from taskbound.surfaces.api.auth.fronts import over_of
from taskbound.surfaces.api.operations.policy import in_force
from taskbound.surfaces.api.server.operation import operation
from taskbound.wire.connection import (
    BackUpStore,
    BeginInit,
    Bind,
    Bound,
    Done,
    EndDaemon,
    ForgetOriginals,
    Ping,
    ReconcileStore,
    RestoreStore,
    StartDaemon,
    Status,
    StatusReport,
    StopPush,
    UndoInit,
    UpgradeStore,
)
from taskbound.wire.token import Stop

if TYPE_CHECKING:
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.wire.envelope import Answer
    from taskbound.wire.frame import Message


@operation(Bind)
async def _bind_task(daemon: Daemon, connection: Connection, ask: Bind) -> Answer:
    def work() -> Answer:
        daemon.require_gateway(connection)
        connection.last = connection.last or ask.last
        task = daemon.bind(connection)
        with daemon.adapters.store.read() as snapshot:
            found = snapshot.tasks.task(connection.namespace, task)
        purpose, deadline = (found.purpose, found.deadline) if found is not None else ("", 0)
        expired, ended = over_of(daemon, connection, ask.tokens)
        return Bound(task=task, purpose=purpose, deadline=deadline, expired=expired, ended=ended)

    return await daemon.first(work)


@operation(Ping)
async def _ping(_daemon: Daemon, _connection: Connection, _ask: Ping) -> Answer:
    return Done()


@operation(Status)
async def _status(daemon: Daemon, connection: Connection, _ask: Status) -> Answer:
    agent_uids = tuple(sorted(daemon.gateway_accounts))
    fronts = (daemon.network.gateway_origin,) * len(daemon.connections.fronts())
    brokers = len(daemon.connections.brokers(connection.namespace))
    epoch = daemon.credentials.epoch

    def read() -> Answer:
        adapters = daemon.adapters
        policy = in_force(daemon, connection.namespace)
        with adapters.store.read() as snapshot:
            checkpoint = snapshot.audit.checkpoint()
            credentials = count_credentials(snapshot, connection.namespace, adapters.clock.now())
            return StatusReport(
                version=__version__,
                home=daemon.home,
                pid=daemon.pid,
                started=daemon.started,
                stopped=snapshot.revocation.kill_switch(connection.namespace).stopped,
                store=adapters.store.describe(),
                running_tasks=snapshot.tasks.count(connection.namespace, TaskState.RUNNING),
                learning_tasks=snapshot.tasks.count(connection.namespace, TaskState.RUNNING, learning=True),
                records=snapshot.audit.count(),
                covered=checkpoint.size if checkpoint else 0,
                checkpoint_at=checkpoint.at if checkpoint else 0,
                monitor_delivered_at=daemon.deliveries.delivered_at(),
                policy=policy,
                signer=daemon.signer_state,
                undecided=adapters.freshness.trouble,
                signer_uid=daemon.signer_uid,
                agent_uids=agent_uids,
                fronts=fronts,
                demo=snapshot.identities.namespace(connection.namespace).demo,
                reserve=adapters.store.reserve_state(),
                targets=len(snapshot.targets.targets(connection.namespace)),
                brokers=brokers,
                living_credentials=credentials.living,
                revoking_credentials=credentials.revoking,
                overdue_credentials=credentials.overdue,
                oldest_revocation=credentials.oldest,
                epoch=epoch.epoch,
                doubted=epoch.since,
                doubt=epoch.why,
                doubted_targets=epoch.left,
            )

    return await daemon.read(read)


@operation(Stop)
async def _stop_all(daemon: Daemon, connection: Connection, ask: Stop) -> Answer:
    switch = await daemon.first(
        lambda: stop(
            daemon.adapters,
            connection.namespace,
            stopped=ask.stopped,
            reason=ask.reason,
            actor=daemon.require_person(connection),
        )
    )
    for gateway in daemon.connections.gateways():
        if gateway.namespace == connection.namespace:
            gateway.push(StopPush(stopped=switch.stopped))
    return Done(detail="stopped" if switch.stopped else "not stopped")


@operation(
    EndDaemon,
    StartDaemon,
    BackUpStore,
    ReconcileStore,
    RestoreStore,
    UpgradeStore,
    BeginInit,
    ForgetOriginals,
    UndoInit,
)
async def _allow_act(daemon: Daemon, connection: Connection, ask: Message) -> Answer:
    operation = str(ask.__struct_config__.tag)

    def work() -> Answer:
        actor, _ = daemon.require_giver(connection)
        adapters = daemon.adapters
        event = PersonActed(operation=operation, by=actor.name, proof=actor.proof)
        adapters.store.write(
            lambda tx: tx.audit.append(connection.namespace, adapters.writer, [event], adapters.clock.now())
        )
        return Done()

    return await daemon.first(work)
