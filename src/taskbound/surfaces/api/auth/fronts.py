"""The HTTP front of agents' gateways: verifies what it presents, and binds its seats to tasks.

1. Only the account that owns the data directory, or the configured front account, may take the role `front`,
   and no process beneath a gateway or a run. It is trusted for TLS, HTTP, and which token a request carried.
   Servers that it starts are inside.
2. Its external origin must be the daemon's configured one, the audience of tokens and key proofs.
3. A request shows a token of the task, for this agent's gateway and namespace, with its key; the proof is
   claimed. The request's address is built from configuration, never from the request.
4. A seat's connection opens with the token's text: it belongs to the task at any daemon and after any loss,
   while one token that was shown is valid.
5. Each call names its token, and the token's row is read again at any daemon: it is void once revoked,
   expired, or once its admission or task ends. A seat outlives its tokens but not its task.
6. A refused token leaves one record, as at the API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.errors import DeniedError, TaskboundError
from taskbound.core.identity import UnprovenError
from taskbound.core.identity.proof import TokenProof
from taskbound.core.task import NoTaskError, require_going
from taskbound.core.token import TokenEndedError, UnknownTokenError
from taskbound.flows.task import bind
from taskbound.flows.token import resource_of
from taskbound.flows.token.standing import require_token_goes_on
from taskbound.flows.token.verifying import Request, read_shown, require_task_kind
from taskbound.surfaces.api.auth.client import leaf_of
from taskbound.surfaces.api.operations.token import note_unbelieved
from taskbound.surfaces.api.server.connection import Connection
from taskbound.surfaces.api.server.operation import operation
from taskbound.surfaces.api.server.reply import fault_of
from taskbound.wire.connection import Seated, ShowProof

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskbound.core.task import Task
    from taskbound.core.token import Token
    from taskbound.flows.means import SharedSnapshot
    from taskbound.flows.token.verifying import Presenter
    from taskbound.ports.store import Snapshot
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.peer import Peer
    from taskbound.wire.connection import Open
    from taskbound.wire.envelope import Answer, Push


class OtherGatewayError(DeniedError):
    """The HTTP front's origin differs from the one for which the daemon issues tokens."""

    code = "other-gateway-origin"
    remedy = "give both the same `gateway_origin`, and start both anew"


def require_front(daemon: Daemon, peer: Connection) -> None:
    """Raises UnprovenError or NotOutsideError unless the process may be a front (rule 1)."""
    if peer.peer.proof.uid != daemon.network.front_uid:
        raise UnprovenError(
            "only the account of the gateway over HTTP brings requests of others",
            remedy="run it under the account that owns the data directory, or say `--front` to the daemon",
        )
    daemon.require_outside(peer, front=True)


def require_same_origin(daemon: Daemon, ask: Open) -> None:
    """Raises OtherGatewayError unless the front's origin is the daemon's (rule 2)."""
    known = daemon.network.gateway_origin
    if ask.origin != known:
        raise OtherGatewayError(
            f"tokens are issued for the gateway at `{known}`, and this one is known as `{ask.origin}`"
        )


@operation(ShowProof)
async def _show_proof(daemon: Daemon, connection: Connection, ask: ShowProof) -> Answer:
    if connection.role != "front":  # it was looked at as it was opened (rule 1)
        raise UnprovenError("only the gateway over HTTP asks whose a request is")
    try:
        return await _shown(daemon, connection, ask)
    except TaskboundError as error:
        await note_unbelieved(daemon, connection.namespace, "token", ask.shown.authorization, error)  # 6
        return fault_of(error, operation="connection:show", unproven=True)


async def _shown(daemon: Daemon, connection: Connection, ask: ShowProof) -> Seated:
    resource = resource_of(daemon.network.gateway_origin, ask.agent)
    request = Request(
        method=ask.shown.method,
        uri=resource,
        authorization=ask.shown.authorization,
        dpop=ask.shown.dpop,
        certificate=leaf_of(ask.shown),
    )

    def read(one_look: SharedSnapshot) -> Presenter:
        return read_shown(
            daemon.adapters,
            daemon.token.verification,
            request,
            audience=resource,
            namespace=connection.namespace,
            stands=require_token_goes_on,
            one_look=one_look,
        )

    try:
        found = await daemon.network.showings.prove(read, paced=False)
    except TaskboundError:
        require_task_kind(request.authorization)
        raise
    token = found.verified.token
    if token.agent != ask.agent:
        raise UnknownTokenError("the token is of another agent")
    return Seated(task=token.task, token=token.id, until=token.expires)


def seat(daemon: Daemon, ask: Open, name: str, peer: Peer, push: Callable[[Push], None]) -> Connection:
    """Returns the connection of an opening: of the named agent, or of its token's task (rule 4).

    Raises MalformedError if the token cannot be parsed, and DeniedError if it is void or not allowed here.
    """
    token: Token | None = None
    made = Connection(
        name=name, role=ask.role, namespace=ask.namespace, agent=ask.agent, peer=peer, push=push
    )
    if ask.token:
        require_front(daemon, made)
        require_task_kind(f"Bearer {ask.token}")
        token = daemon.token.verification.verify_relayed(
            ask.token,
            audience=resource_of(daemon.network.gateway_origin, ask.agent),
            namespace=ask.namespace,
            stands=require_token_goes_on,
        ).token
        if token.agent != ask.agent:
            raise UnknownTokenError("the token is of another agent")
        made.seat = token.task
    return made


def task_of(daemon: Daemon, connection: Connection, one_look: SharedSnapshot) -> Task:
    """Returns the task of a connection (rules 4 and 5); raises DeniedError; runs in the worker's thread."""
    if not connection.seat:
        return bind(
            daemon.adapters,
            connection.namespace,
            connection.agent,
            boot=daemon.boot,
            ancestry=daemon.insiders.line(connection.peer.ancestry),
            named=connection.named,
            last=connection.last,
        )

    def look(snapshot: Snapshot) -> Task:
        found = snapshot.tasks.task(connection.namespace, connection.seat)
        heads = snapshot.tasks.heads(connection.namespace, {connection.seat})
        if found is None:
            raise NoTaskError(f"no task is named `{connection.seat}`")
        require_going(found.id, heads, daemon.adapters.clock.now())
        return found

    return one_look.once((task_of, connection.namespace, connection.seat), look)


def proof_of(daemon: Daemon, connection: Connection, token: str, one_look: SharedSnapshot) -> str:
    """Returns the proof for records by the token that a call on a seat carried (rule 5).

    The call's commit checks whether the token is valid (`flows.decision.tokens`). Raises UnknownTokenError.
    """
    if connection.role != "gateway" or not connection.seat:
        return connection.proof

    def look(snapshot: Snapshot) -> str:
        row = _own(daemon, snapshot, connection, token)
        return TokenProof(token=row.id, binding=row.binding, task=row.task).words

    return one_look.once((proof_of, connection.name, token), look)


def over_of(
    daemon: Daemon, connection: Connection, tokens: Iterable[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the expired ones of some tokens, and those void for another reason (rule 5)."""
    expired: list[str] = []
    ended: list[str] = []
    with daemon.adapters.store.read() as snapshot:
        for one in tokens:
            try:
                row = _own(daemon, snapshot, connection, one)
                require_token_goes_on(snapshot, row, daemon.adapters.clock.now())
            except TokenEndedError:
                expired.append(one)
            except DeniedError:
                ended.append(one)
    return tuple(expired), tuple(ended)


def _own(daemon: Daemon, snapshot: Snapshot, connection: Connection, token: str) -> Token:
    row = snapshot.tokens.token(connection.namespace, token)
    own = resource_of(daemon.network.gateway_origin, connection.agent)
    if row is None or (row.task, row.audience) != (connection.seat, own):
        raise UnknownTokenError("the call names no token of its task for this gateway")
    return row
