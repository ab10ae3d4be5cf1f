"""Operations on services: who is one, who answers for it, and which keys prove it.

1. What a service asks it asks with a token of its own. It is given what is for services (`Right.SERVICE`) and
   nothing else, whatever anybody may ask: a token that was stolen reads no more than its service does.
2. A process of ours is no such service, whatever its account is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.errors import DeniedError
from taskbound.core.identity import UnprovenError
from taskbound.core.identity.proof import PrincipalKind
from taskbound.core.identity.service import UnknownServiceError, parse_service, require_answered_for
from taskbound.flows.identity.service_key import add_service_key, remove_service_key
from taskbound.flows.identity.services import add_service, change_service, remove_service
from taskbound.wire import service as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.core.identity.proof import Principal
    from taskbound.core.identity.service import Service, ServiceKey
    from taskbound.ports.store import Snapshot
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer


def is_service_seat(connection: Connection) -> bool:
    """Whether who asks is a service that shows a token of its own (rules 1 and 2)."""
    principal = connection.principal
    if principal is None or connection.client or principal.is_process:
        return False
    return principal.kind is PrincipalKind.SERVICE


def require_service_seat(connection: Connection) -> Principal:
    """The service that shows a token of its own.

    Raises:
        UnprovenError: It is somebody else.
    """
    if connection.principal is None or not is_service_seat(connection):
        raise UnprovenError("only a service asks for that, with a token of its own")
    return connection.principal


def require_no_service(connection: Connection) -> None:
    """Go on with what anybody may ask, for whoever is no service that shows a token (rule 1).

    Raises:
        UnprovenError: It is one.
    """
    if is_service_seat(connection):
        raise UnprovenError("a service asks with its token for what is a service's, and for nothing else")


async def put_service(daemon: Daemon, connection: Connection, ask: wire.AddService) -> Answer:
    """Have there be a service."""

    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        service = parse_service(
            connection.namespace,
            ask.name,
            owner=ask.owner,
            audience=ask.audience,
            tools=ask.tools,
            added=daemon.means.clock.now(),
        )
        issuing = daemon.token.issuing.issuing
        ours = (issuing.issuer, issuing.domain, daemon.network.gateway_origin)
        add_service(daemon.means, service, ours=ours, actor=actor, owns=owns)
        return Done()

    return await daemon.first(work)


async def set_service(daemon: Daemon, connection: Connection, ask: wire.ChangeService) -> Answer:
    """Have somebody else answer for it, or have it enforce something else."""

    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        change_service(
            daemon.means,
            connection.namespace,
            ask.name,
            owner=ask.owner,
            tools=ask.tools,
            actor=actor,
            owns=owns,
        )
        return Done()

    return await daemon.first(work)


async def take_service_away(daemon: Daemon, connection: Connection, ask: wire.RemoveService) -> Answer:
    """Have there be no such service any more."""

    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        remove_service(daemon.means, connection.namespace, ask.name, actor=actor, owns=owns)
        return Done()

    return await daemon.first(work)


async def put_key(daemon: Daemon, connection: Connection, ask: wire.AddServiceKey) -> Answer:
    """Have a key prove it; `Done` says its thumbprint."""

    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        key = ask.key.encode("utf-8", "surrogatepass")
        made = add_service_key(daemon.means, connection.namespace, ask.name, key, actor=actor, owns=owns)
        return Done(detail=made.kid)

    return await daemon.first(work)


async def take_key_away(daemon: Daemon, connection: Connection, ask: wire.RemoveServiceKey) -> Answer:
    """Have a key prove it no more."""

    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        remove_service_key(daemon.means, connection.namespace, ask.name, ask.key, actor=actor, owns=owns)
        return Done()

    return await daemon.first(work)


async def list_services(daemon: Daemon, connection: Connection, _ask: wire.ListServices) -> Answer:
    """Which services there are."""

    def read() -> Answer:
        space = connection.namespace
        with daemon.means.store.read() as snapshot:
            found, keys = snapshot.services.services(space), snapshot.services.service_keys(space)
            rows = [_row(snapshot, one, _keys_of(keys, one.name)) for one in found]
        return wire.ServiceRows(rows=tuple(rows))

    return await daemon.read(read)


async def show_service(daemon: Daemon, connection: Connection, ask: wire.ShowService) -> Answer:
    """One of them, with its keys."""
    return await daemon.read(lambda: _detail(daemon, connection.namespace, ask.name))


async def show_own(daemon: Daemon, connection: Connection, _ask: wire.ShowOwnService) -> Answer:
    """What the service that asks is known as."""
    principal = require_service_seat(connection)
    return await daemon.read(lambda: _detail(daemon, principal.namespace, principal.name))


def _detail(daemon: Daemon, namespace: str, name: str) -> wire.ServiceDetail:
    with daemon.means.store.read() as snapshot:
        found = snapshot.services.service(namespace, name)
        if found is None:
            raise UnknownServiceError("no service has that name")
        keys = snapshot.services.service_keys(namespace, name)
        row = _row(snapshot, found, keys)
    return wire.ServiceDetail(
        row=row,
        keys=tuple(
            wire.ServiceKeyRow(kid=one.kid, added=one.added, removed=one.removed or 0) for one in keys
        ),
    )


def _keys_of(keys: tuple[ServiceKey, ...], service: str) -> tuple[ServiceKey, ...]:
    return tuple(one for one in keys if one.service == service)


def _row(snapshot: Snapshot, service: Service, keys: tuple[ServiceKey, ...]) -> wire.ServiceRow:
    trouble = ""
    try:
        require_answered_for(service, snapshot.identities.person(service.namespace, service.owner))
    except DeniedError as error:
        trouble = error.message
    return wire.ServiceRow(
        name=service.name,
        owner=service.owner,
        audience=service.audience,
        tools=service.tools,
        added=service.added,
        keys=sum(one.removed is None for one in keys),
        trouble=trouble,
    )
