"""Operations on clients that people use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.token.authorization.errors import UnknownClientError
from taskbound.flows.token import add_client, drop_client
from taskbound.wire import authorization as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.ports.token import RegisteredClient
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer

__all__ = ["list_clients", "put_client", "remove_client", "show_client"]


async def put_client(daemon: Daemon, connection: Connection, ask: wire.AddClient) -> Answer:
    """Have a client be sent codes at these addresses."""

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


async def remove_client(daemon: Daemon, connection: Connection, ask: wire.RemoveClient) -> Answer:
    """Send it nothing more."""

    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        drop_client(daemon.means, connection.namespace, ask.client, actor=actor, owns=owns)

    await daemon.first(work)
    return Done()


async def list_clients(daemon: Daemon, connection: Connection, _ask: wire.ListClients) -> Answer:
    """Which are registered."""

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            found = snapshot.authorizations.clients(connection.namespace)
        return wire.ClientRows(rows=tuple(map(_row, found)))

    return await daemon.read(read)


async def show_client(daemon: Daemon, connection: Connection, ask: wire.ShowClient) -> Answer:
    """What one of them is."""

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            found = snapshot.authorizations.client(connection.namespace, ask.client)
        if found is None:
            raise UnknownClientError(f"no client is named `{ask.client}`")
        return _row(found)

    return await daemon.read(read)


def _row(found: RegisteredClient) -> wire.ClientRow:
    return wire.ClientRow(
        client=found.client.id,
        shown=found.client.name,
        redirects=tuple(one.text for one in found.client.redirects),
        added=found.added,
        by=found.by,
    )
