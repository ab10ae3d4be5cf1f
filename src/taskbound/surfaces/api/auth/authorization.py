"""Operations on clients that people use, and on the admissions of clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.token.authorization.errors import UnknownClientError
from taskbound.core.token.authorization.request import NEVER
from taskbound.flows.token import add_client, drop_client, end_admission
from taskbound.surfaces.api.server.operation import operation
from taskbound.wire import authorization as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.token.authorization.request import Admission
    from taskbound.ports.token import RegisteredClient
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.wire.envelope import Answer


_PAGE: Final = 200


@operation(wire.AddClient)
async def _put_client(daemon: Daemon, connection: Connection, ask: wire.AddClient) -> Answer:
    def work() -> RegisteredClient:
        actor, owns = daemon.require_giver(connection)
        return add_client(
            daemon.means,
            connection.namespace,
            ask.client,
            shown=ask.shown,
            redirects=ask.redirects,
            actor=actor,
            owns=owns,
        )

    return _row(await daemon.first(work))


@operation(wire.RemoveClient)
async def _remove_client(daemon: Daemon, connection: Connection, ask: wire.RemoveClient) -> Answer:
    """Removes a client; no more codes are sent to it."""

    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        drop_client(daemon.means, connection.namespace, ask.client, actor=actor, owns=owns)

    await daemon.first(work)
    return Done()


@operation(wire.ListClients)
async def _list_clients(daemon: Daemon, connection: Connection, _ask: wire.ListClients) -> Answer:
    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            found = snapshot.authorizations.clients(connection.namespace)
        return wire.ClientRows(rows=tuple(map(_row, found)))

    return await daemon.read(read)


@operation(wire.ShowClient)
async def _show_client(daemon: Daemon, connection: Connection, ask: wire.ShowClient) -> Answer:
    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            found = snapshot.authorizations.client(connection.namespace, ask.client)
        if found is None:
            raise UnknownClientError(f"no client is named `{ask.client}`")
        return _row(found)

    return await daemon.read(read)


@operation(wire.ListAdmissions)
async def _list_admissions(daemon: Daemon, connection: Connection, ask: wire.ListAdmissions) -> Answer:
    """Returns the admissions of clients, newest first."""
    limit = max(1, min(ask.limit, _PAGE))

    def read() -> Answer:
        now = daemon.means.clock.now()
        with daemon.means.store.read() as snapshot:
            found = snapshot.authorizations.admissions(
                connection.namespace, client=ask.client, task=ask.task, limit=limit + 1, before=ask.before
            )
        rows = tuple(_admission(one, now) for one in found[:limit])
        return wire.AdmissionRows(rows=rows, more=len(found) > limit)

    return await daemon.read(read)


@operation(wire.EndAdmission)
async def _end_one(daemon: Daemon, connection: Connection, ask: wire.EndAdmission) -> Answer:
    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        why = ask.why or "no reason given"
        end_admission(daemon.means, connection.namespace, ask.admission, actor, owns=owns, why=why)
        return Done()

    return await daemon.first(work)


def _admission(found: Admission, now: Instant) -> wire.AdmissionRow:
    over = "over" if now >= found.until else "stands"
    return wire.AdmissionRow(
        admission=found.id,
        client=found.client,
        agent=found.agent,
        task=found.task,
        person=found.person,
        resource=found.resource,
        state=over if found.ended == NEVER else "ended",
        begun=found.begun,
        until=found.until,
        bound=bool(found.jkt),
        ended=None if found.ended == NEVER else found.ended,
        why=found.why,
    )


def _row(found: RegisteredClient) -> wire.ClientRow:
    return wire.ClientRow(
        client=found.client.id,
        shown=found.client.name,
        redirects=tuple(one.text for one in found.client.redirects),
        added=found.added,
        by=found.by,
    )
