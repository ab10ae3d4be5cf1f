"""The process before agents' gateways over HTTP: what it is shown is proven here, and its seats are a task's.

1. The role `front` is of the account that owns the data directory, or of the one that the daemon was told,
   and of no process beneath a gateway or a run. It is believed about what TLS and HTTP said, and about which
   token a request came with. Its own servers stand beneath it, and are inside.
2. It is known outside as the daemon knows it: tokens name it so, and proofs of keys too.
3. A request shows a token of the task, of this agent's gateway and this namespace, with its key; the proof is
   used by that. Where it went is made of what is configured, and of nothing that it says.
4. A seat's connection is opened with the token's text: that makes it of the task, at any daemon and after
   any loss, as long as one token holds that was shown.
5. Each call names the token that it came with. That one's row is looked at again, at whichever daemon: once
   it is revoked, over, or its admission or task is, it brings nothing more. A seat outlives its tokens, and
   not its task.
6. A token that is refused leaves one record, as it does at the API (`network`, rule 13).
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
from taskbound.surfaces.api.client import leaf_of
from taskbound.surfaces.api.connection import Connection
from taskbound.surfaces.api.reply import fault_of
from taskbound.surfaces.api.token import note_unbelieved
from taskbound.wire.connection import Seated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskbound.core.task import Task
    from taskbound.core.token import Token
    from taskbound.flows.means import OneLook
    from taskbound.flows.token.verifying import Shower
    from taskbound.ports.store import Snapshot
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.surfaces.api.peer import Peer
    from taskbound.wire.connection import Open, ShowProof
    from taskbound.wire.envelope import Answer, Push


class OtherGatewayError(DeniedError):
    """The gateway over HTTP is known under another name than the daemon issues tokens for."""

    code = "other-gateway-origin"
    remedy = "give both the same `gateway_origin`, and start both anew"


def require_front(daemon: Daemon, peer: Connection) -> None:
    """Go on only for a process that may stand before gateways (rule 1).

    Raises:
        UnprovenError: It is another account's.
        NotOutsideError: It runs beneath a gateway or a run.
    """
    if peer.peer.proof.uid != daemon.network.front_uid:
        raise UnprovenError(
            "only the account of the gateway over HTTP brings requests of others",
            remedy="run it under the account that owns the data directory, or say `--front` to the daemon",
        )
    daemon.require_outside(peer, front=True)


def require_same_origin(daemon: Daemon, ask: Open) -> None:
    """Go on only with a front that is known as the daemon knows it (rule 2).

    Raises:
        OtherGatewayError: It is not.
    """
    known = daemon.network.gateway_origin
    if ask.origin != known:
        raise OtherGatewayError(
            f"tokens are issued for the gateway at `{known}`, and this one is known as `{ask.origin}`"
        )


async def show_proof(daemon: Daemon, connection: Connection, ask: ShowProof) -> Answer:
    """Whose request it is (rule 3)."""
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

    def read(one_look: OneLook) -> Shower:
        return read_shown(
            daemon.means,
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
    """The connection that an opening makes: of the agent that it names, or of its token's task (rule 4).

    Raises:
        MalformedError: The token can't be read.
        DeniedError: It is worth nothing any more, or this process may show none.
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


def task_of(daemon: Daemon, connection: Connection, one_look: OneLook) -> Task:
    """The task of a connection (rules 4 and 5); in the worker's thread.

    Raises:
        DeniedError: There is none, or it is over.
    """
    if not connection.seat:
        return bind(
            daemon.means,
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
        require_going(found.id, heads, daemon.means.clock.now())
        return found

    return one_look.once((task_of, connection.namespace, connection.seat), look)


def proof_of(daemon: Daemon, connection: Connection, token: str, one_look: OneLook) -> str:
    """How records call who asks: by the token that a call on a seat came with (rule 5).

    Whether it holds the call's commit says (`flows.decision.tokens`).

    Raises:
        UnknownTokenError: There is no such one of this task for this gateway.
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
    """Those of some tokens whose time is over, and those that hold no more for another reason (rule 5)."""
    expired: list[str] = []
    ended: list[str] = []
    with daemon.means.store.read() as snapshot:
        for one in tokens:
            try:
                row = _own(daemon, snapshot, connection, one)
                require_token_goes_on(snapshot, row, daemon.means.clock.now())
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
