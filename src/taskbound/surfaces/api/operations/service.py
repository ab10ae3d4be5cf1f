"""Operations on services, their keys and their shared claims.

Of `service`:
1. A service asks with a token of its own and may do only what is for services (`Right.SERVICE`), so a stolen
   token reads no more than its service.
2. Our own processes are never such a service, whatever their account.
Of `sharing`:
1. The owner of a claim follows from the service's proof alone.
2. An answer is opaque bytes: it is neither parsed nor logged.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, assert_never

from taskbound.core.clock import Instant
from taskbound.core.errors import DeniedError
from taskbound.core.identity import UnprovenError
from taskbound.core.identity.proof import PrincipalKind, TokenProof
from taskbound.core.identity.service import UnknownServiceError, parse_service, require_answered_for
from taskbound.core.token.shared import (
    Answered,
    BadClaimError,
    Begun,
    StillServing,
    Unfinished,
    parse_answer,
    parse_wish,
    require_named,
)
from taskbound.flows.identity.services import (
    add_service,
    add_service_key,
    change_service,
    remove_service,
    remove_service_key,
)
from taskbound.flows.token.services import Asker
from taskbound.surfaces.api.server.operation import as_giver, from_snapshot, operation
from taskbound.wire import workload as wire
from taskbound.wire.connection import Done
from taskbound.wire.workload import AnswerRequest, BeginRequest, RequestRow, UseProof

if TYPE_CHECKING:
    from taskbound.core.identity.proof import Principal
    from taskbound.core.identity.service import Service, ServiceKey
    from taskbound.core.token.shared import SharedBeginning
    from taskbound.ports.store import Snapshot
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.operation import GiverAct, Reading
    from taskbound.wire.envelope import Answer


def is_service_seat(connection: Connection) -> bool:
    """Returns whether the caller is a service that shows a token of its own (rules 1 and 2)."""
    principal = connection.principal
    if principal is None or connection.client or principal.is_process:
        return False
    return principal.kind is PrincipalKind.SERVICE


def require_service_seat(connection: Connection) -> Principal:
    """Returns the service that shows a token of its own; else raises UnprovenError."""
    if connection.principal is None or not is_service_seat(connection):
        raise UnprovenError("only a service asks for that, with a token of its own")
    return connection.principal


def require_no_service(connection: Connection) -> None:
    """Raises UnprovenError for a service that shows a token (rule 1)."""
    if is_service_seat(connection):
        raise UnprovenError("a service asks with its token for what is a service's, and for nothing else")


@as_giver(wire.AddService)
def _put_service(act: GiverAct, ask: wire.AddService) -> None:
    service = parse_service(
        act.namespace,
        ask.name,
        owner=ask.owner,
        audience=ask.audience,
        tools=ask.tools,
        added=act.adapters.clock.now(),
    )
    issuing = act.daemon.token.issuing.issuing
    ours = (issuing.issuer, issuing.domain, act.daemon.network.gateway_origin)
    add_service(act.adapters, service, ours=ours, actor=act.actor, owns=act.owns)


@as_giver(wire.ChangeService)
def _set_service(act: GiverAct, ask: wire.ChangeService) -> None:
    change_service(
        act.adapters,
        act.namespace,
        ask.name,
        owner=ask.owner,
        tools=ask.tools,
        actor=act.actor,
        owns=act.owns,
    )


@as_giver(wire.RemoveService)
def _take_service_away(act: GiverAct, ask: wire.RemoveService) -> None:
    remove_service(act.adapters, act.namespace, ask.name, actor=act.actor, owns=act.owns)


@as_giver(wire.AddServiceKey)
def _put_key(act: GiverAct, ask: wire.AddServiceKey) -> Answer:
    key = ask.key.encode("utf-8", "surrogatepass")
    made = add_service_key(act.adapters, act.namespace, ask.name, key, actor=act.actor, owns=act.owns)
    return Done(detail=made.kid)


@as_giver(wire.RemoveServiceKey)
def _take_key_away(act: GiverAct, ask: wire.RemoveServiceKey) -> None:
    remove_service_key(act.adapters, act.namespace, ask.name, ask.key, actor=act.actor, owns=act.owns)


@from_snapshot(wire.ListServices)
def _list_services(reading: Reading, _ask: wire.ListServices) -> Answer:
    space = reading.namespace
    found, keys = reading.snapshot.services.services(space), reading.snapshot.services.service_keys(space)
    rows = [_row(reading.snapshot, one, _keys_of(keys, one.name)) for one in found]
    return wire.ServiceRows(rows=tuple(rows))


@operation(wire.ShowService)
async def _show_service(daemon: Daemon, connection: Connection, ask: wire.ShowService) -> Answer:
    return await daemon.read(lambda: _detail(daemon, connection.namespace, ask.name))


@operation(wire.ShowOwnService)
async def _show_own(daemon: Daemon, connection: Connection, _ask: wire.ShowOwnService) -> Answer:
    principal = require_service_seat(connection)
    return await daemon.read(lambda: _detail(daemon, principal.namespace, principal.name))


def _detail(daemon: Daemon, namespace: str, name: str) -> wire.ServiceDetail:
    with daemon.adapters.store.read() as snapshot:
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


@operation(BeginRequest)
async def _begin_request(daemon: Daemon, connection: Connection, ask: BeginRequest) -> Answer:
    asker = _asker(connection)
    wish = parse_wish(
        txn=ask.txn, token=ask.token, request=ask.request, claimant=ask.claimant, takes=ask.takes
    )
    return request_row(await daemon.first(lambda: daemon.shared_claims.begin(asker, wish)))


@operation(AnswerRequest)
async def _answer_request(daemon: Daemon, connection: Connection, ask: AnswerRequest) -> Answer:
    asker = _asker(connection)
    require_named(ask.txn, ask.request, ask.claimant)
    answer = _parsed(ask.answer) if ask.answer else None

    def work() -> Answer:
        daemon.shared_claims.answer(
            asker, txn=ask.txn, request=ask.request, claimant=ask.claimant, answer=answer
        )
        return Done()

    return await daemon.first(work)


@operation(UseProof)
async def _use_proof(daemon: Daemon, connection: Connection, ask: UseProof) -> Answer:
    asker = _asker(connection)

    def work() -> Answer:
        daemon.shared_claims.use(asker, ask.kind, ask.digest, Instant(ask.until))
        return Done()

    return await daemon.first(work)


def request_row(found: SharedBeginning) -> RequestRow:
    """Converts the state of a request to its wire form."""
    match found:
        case Begun():
            return RequestRow(state="begun")
        case Answered(answer=answer):
            return RequestRow(state="answered", answer=b64encode(answer).decode("ascii"))
        case StillServing():
            return RequestRow(state="still")
        case Unfinished():
            return RequestRow(state="unknown")
        case _ as never:
            assert_never(never)


def _asker(connection: Connection) -> Asker:
    principal = require_service_seat(connection)
    if not isinstance(principal.proof, TokenProof):
        raise UnprovenError("only a service asks for that, with a token of its own")
    return Asker(namespace=principal.namespace, service=principal.name, token=principal.proof.token)  # 1


def _parsed(text: str) -> bytes:
    try:
        return parse_answer(b64decode(text, validate=True))
    except ValueError as error:
        raise BadClaimError("the answer is not in base64", where="answer") from error
