"""Requests from the network: finds the principal of each from the credentials that it presents.

1. Only the account that owns the data directory, or the configured API account, may take the role `api`, and
   no process beneath a gateway or a run; that is checked each second in which it asks. It is trusted for TLS
   and HTTP, and no more.
2. In its own name it asks only whether the daemon answers, for public keys and token status, for what it
   needs to serve, for counters, to report what it refused itself (`serving`), and for a browser's
   authorization request, which grants nothing before a person consents. Every other request presents a proof.
3. A request without a proof, or with a void one, is refused without revealing which operations or objects
   exist.
4. A request runs on a seat of its own, which is the principal's, with no account, process or right of the
   process that carried it.
5. Operations of gateways, the egress and local processes are not available over the network. Nor may the
   holder of a person's token admit further clients with it.
6. A token that ended while its request waited is void: it is checked again right before the work. An agent's
   request to end its own task is accepted also after the task ended, because the answer may have been lost.
7. A form of OAuth proves its client itself (`client_proof`); a token proves nothing there. Public clients are
   known only by the grant they bring (`client_grants`).
8. An agent that shows a token of its task has a seat that belongs to that task, with a name of its own: no
   two requests share permits (`core.decision.holder`). Each request is a heartbeat.
9. A page asks in its process' name, with what its browser showed; `SignIns.person` finds the signed-in
   person. No other request sees a browser's cookie.
10. Each proven principal has a rate limit of its own, whatever its addresses (`showing`). Unproven names have
    none, because anybody could exhaust it.
11. A valid token of the wrong kind for the operation is answered with the scope that it lacks.
12. Each issuer of workloads is waited for separately (`issuers`), because a stranger can present tokens of a
    slow one. Verification itself never waits.
13. A refused token of ours, or its proof, leaves one record within the quota of unknown names: a replay or a
    missing key is an attack.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from taskbound.core.decision.hold import AFAR
from taskbound.core.errors import TaskboundError
from taskbound.core.identity import PeerProof, UnprovenError, parse_name
from taskbound.core.identity.errors import NoProofError
from taskbound.core.identity.proof import Principal, PrincipalKind, TokenProof, WorkloadKind
from taskbound.core.policy.operation import Right
from taskbound.core.token import DEFAULT_NAMESPACE, OtherKindError
from taskbound.core.token.exchange import BadExchangeError
from taskbound.flows.identity import require_personal
from taskbound.flows.token import Askings
from taskbound.flows.token.exchange import actor_of
from taskbound.flows.token.standing import require_token_gives_up, require_token_stands
from taskbound.flows.token.verifying import Request, read_shown
from taskbound.surfaces.api.auth.client import (
    ClientGrants,
    awaited,
    is_public,
    leaf_of,
    prove_client,
    public_client,
    read_key,
    require_namespace,
)
from taskbound.surfaces.api.auth.showing import Showings
from taskbound.surfaces.api.background.strangers import RemoteHolders
from taskbound.surfaces.api.operations.token import note_unbelieved
from taskbound.surfaces.api.operations.workload import Issuers
from taskbound.surfaces.api.server.connection import Connection
from taskbound.surfaces.api.server.peer import Peer
from taskbound.surfaces.api.server.reply import fault_of
from taskbound.surfaces.api.server.tracing import Tracing
from taskbound.wire.authorization import (
    PUBLIC,
    AskConsent,
    AskToken,
    AwaitConsent,
    ClientForm,
    GiveBackToken,
    ShowStatusList,
    ShowTokenJwks,
)
from taskbound.wire.connection import Fault, Ping
from taskbound.wire.network import Agree, PageAsk, ShowClientAuthorities, ShowCounts, TellRefused
from taskbound.wire.routes import LEFT_OUT
from taskbound.wire.task import EndOwnTask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.errors import DeniedError
    from taskbound.core.policy.operation import Operation
    from taskbound.flows.decision import LostHolders
    from taskbound.flows.means import Actor, Adapters
    from taskbound.flows.task import Tasks
    from taskbound.flows.token import Descriptions, Tokens
    from taskbound.flows.token.verifying import Stands
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.place import Installation
    from taskbound.surfaces.api.server.worker import Worker
    from taskbound.wire.envelope import Push, Said
    from taskbound.wire.network import Shown


NEAR: Final = frozenset(LEFT_OUT)
"""Operations that are refused over the network (rule 5)."""
_OWN: Final = (
    *(Agree, AskConsent, AwaitConsent, Ping),
    *(ShowClientAuthorities, ShowCounts, ShowStatusList, ShowTokenJwks, TellRefused),
)
"""What the process asks in its own name (rule 2)."""
_SCOPES: Final = {Right.GATEWAY: "task", Right.SERVICE: "service"}
"""The scope of the tokens that reach an operation of this right, where it is not `operations` (rule 11)."""
_SCOPE_OF: Final = {
    PrincipalKind.AGENT: "task",
    PrincipalKind.PERSON: "operations",
    PrincipalKind.SERVICE: "service",
}
_DESCRIBERS: Final = 2
FRESH: Final = 1.0
"""Seconds after which it is looked at again whether its process stands beneath a run (rule 1)."""
_NOBODY: Final = Peer(proof=PeerProof(uid=-(2**31), pid=0, started=0), ancestry=())
"""The account and process of a principal over the network (rule 4)."""


class Network:
    """The state of the daemon for requests from the network."""

    def __init__(
        self,
        adapters: Adapters,
        worker: Worker,
        place: Installation,
        tokens: Tokens,
        tasks: Tasks,
        doubts: LostHolders,
    ) -> None:
        self.uid = place.owner_uid if place.api is None else place.api
        """The account that brings them (rule 1)."""
        self.issuer = place.issuer
        self.front_uid = place.owner_uid if place.front is None else place.front
        """The account of the process before agents' gateways (`fronts`)."""
        self.gateway_origin = place.gateway_origin
        """How the gateway over HTTP is known outside."""
        self.showings = Showings(adapters, worker, place.pace)
        """Proves what requests show, and uses it up (rule 10)."""
        self.grants = ClientGrants(adapters, tokens)
        """Gives tokens to clients that people use."""
        self.askings = Askings(adapters, tasks)
        """What such clients ask for, and what people answer; what writes is done in the worker's thread."""
        self.afar = RemoteHolders(adapters, doubts)
        """Looks after agents that were permitted something over the network."""
        self.heard: set[tuple[str, str]] = set()
        """(namespace, task) of every token of a task that was shown since it was last asked (rule 8)."""
        self.descriptions: Descriptions | None = None
        """What such clients' documents say; none where nothing fetches them."""
        self.describers, self.describing = ThreadPoolExecutor(_DESCRIBERS, thread_name_prefix="clients"), 0
        """Where hosts are waited for, and how many are; the number in the loop."""
        self.issuers = Issuers()
        """Issuers of workloads that are asked (rule 12)."""
        self.tracing = Tracing()
        """Reports spans if they are collected."""
        self._adapters = adapters

    def take_heard(self) -> frozenset[tuple[str, str]]:
        """Returns the tasks whose agents were active since the last call; runs in the loop."""
        heard, self.heard = frozenset(self.heard), set()
        return heard

    def require_person(self, principal: Principal) -> Actor:
        """Returns the person of a token that is still valid, right before the work (rule 6).

        Raises UnprovenError for an agent or a foreign token, and DeniedError for an ended one.
        """
        actor, proof = require_personal(principal), principal.proof
        with self._adapters.store.read() as snapshot:
            token = proof.token if isinstance(proof, TokenProof) else ""
            row = snapshot.tokens.token(principal.namespace, token)
            if row is None:
                raise UnprovenError("this is a person's act, and no token of theirs was shown")
            require_token_stands(snapshot, row, self._adapters.clock.now())
        return actor

    def require_giving_up(self, principal: Principal | None) -> Actor:
        """Returns the agent that ends its own task, by a token valid for that (rule 6).

        Raises UnprovenError for any other principal, and DeniedError for an ended token.
        """
        proof = None if principal is None else principal.proof
        if principal is None or not isinstance(proof, TokenProof):
            raise UnprovenError("an agent gives its task up over a network, with a token of that task")
        with self._adapters.store.read() as snapshot:
            row = snapshot.tokens.token(principal.namespace, proof.token)
            if row is None:
                raise UnprovenError("that token was not issued here")
            require_token_gives_up(snapshot, row, self._adapters.clock.now())
        return actor_of(principal)


def require_api(daemon: Daemon, connection: Connection) -> None:
    """Raises UnprovenError or NotOutsideError unless the connection may be the API's (rule 1)."""
    if connection.role != "api" or connection.peer.proof.uid != daemon.network.uid:
        raise UnprovenError("only the account of the API brings requests of others")
    now = daemon.loop.time()
    if now >= connection.outside:
        daemon.require_outside(connection)
        connection.outside = now + FRESH


def shows(connection: Connection, said: Said) -> bool:
    """Returns whether a request comes from the network and not from the API process itself (rule 2)."""
    return said.shown is not None or (connection.role == "api" and not isinstance(said.ask, _OWN))


async def prove(daemon: Daemon, connection: Connection, said: Said, operation: str) -> Connection | Fault:
    """Returns the seat of the principal (rule 4); raises the refusal of rule 3."""
    shown = said.shown
    try:
        require_api(daemon, connection)
        if operation.removeprefix("api:") in NEAR:
            raise UnprovenError(f"`{operation}` is not asked for over a network")  # 5
    except TaskboundError as error:
        return fault_of(error, operation=operation)
    if isinstance(said.ask, PageAsk):
        return _page(connection, said.ask, shown, operation)  # 9
    if isinstance(said.ask, ClientForm):
        return await _client(daemon, connection, said.ask, shown, operation)  # 7
    try:
        return await _seat(daemon, connection, shown, _stands_for(said))
    except TaskboundError as error:
        if shown is not None:
            await note_unbelieved(daemon, DEFAULT_NAMESPACE, "token", shown.authorization, error)
        return fault_of(error, operation=operation, unproven=True)


def _stands_for(said: Said) -> Stands:
    """Returns the state that the operation needs of the token (rule 6)."""
    return require_token_gives_up if isinstance(said.ask, EndOwnTask) else require_token_stands


async def _seat(daemon: Daemon, connection: Connection, shown: Shown | None, stands: Stands) -> Connection:
    network = daemon.network
    if shown is None or not shown.authorization:
        raise NoProofError("the request shows no proof of who asks")
    request = Request(
        method=shown.method,
        uri=shown.uri,
        authorization=shown.authorization,
        dpop=shown.dpop,
        certificate=leaf_of(shown),
    )
    principal = (
        await network.showings.prove(
            lambda one_look: read_shown(
                daemon.adapters,
                daemon.token.verification,
                request,
                audience=network.issuer,
                stands=stands,
                one_look=one_look,
            )
        )
    ).principal  # 10
    proof = principal.proof
    if isinstance(proof, TokenProof) and proof.task:
        network.heard.add((principal.namespace, proof.task))
        return seat_of_task(daemon, principal, proof.task)
    return _seat_of(connection, principal)


def _page(carrier: Connection, ask: PageAsk, shown: Shown | None, operation: str) -> Connection | Fault:
    try:
        if shown is None or shown.authorization:
            raise UnprovenError("this is asked by a page of ours, and by nothing else")
        namespace = parse_name(ask.namespace, what="a namespace")
    except TaskboundError as error:
        return fault_of(error, operation=operation)
    service = Principal(
        kind=PrincipalKind.SERVICE, namespace=namespace, name=carrier.role, proof=carrier.peer.proof
    )
    seat = _seat_of(carrier, service)
    seat.shown = shown
    return seat


async def _client(
    daemon: Daemon, carrier: Connection, ask: ClientForm, shown: Shown | None, operation: str
) -> Connection | Fault:
    """A bad key proof does not reveal whether the client exists."""
    if shown is None:
        return fault_of(NoProofError("the request shows no proof of who asks"), unproven=True)
    try:
        key = await daemon.read(partial(read_key, daemon.adapters, shown))
    except TaskboundError as error:
        await note_unbelieved(daemon, DEFAULT_NAMESPACE, "dpop", shown.dpop, error)
        return replace(fault_of(error, operation=operation), where="DPoP")
    try:
        if not _is_public(ask, shown):
            await _ask_issuer(daemon, dict(ask.form), shown)
        principal = await daemon.read(partial(_client_of, daemon, carrier, ask, shown))
    except BadExchangeError as error:
        return fault_of(error, operation=operation)
    except TaskboundError as error:
        return fault_of(error, operation=operation, unproven=True)
    claim = None if principal.is_process else key.claim(principal.namespace)
    try:
        await daemon.network.showings.use(principal, claim)  # 10
    except TaskboundError as error:
        await note_unbelieved(daemon, principal.namespace, "dpop", shown.dpop, error)
        return replace(fault_of(error, operation=operation), where="DPoP")
    seat = _seat_of(carrier, principal)
    seat.binding, seat.client = key.binding, True
    return seat


async def _ask_issuer(daemon: Daemon, form: Mapping[str, str], shown: Shown) -> None:
    if "actor_token" not in form:
        return
    found = await daemon.read(partial(awaited, daemon.adapters, daemon.proofs, form, shown))
    if found is not None:
        await daemon.network.issuers.ask(found, partial(daemon.proofs.ask, WorkloadKind.OIDC, found))


def _is_public(ask: ClientForm, shown: Shown) -> bool:
    form = dict(ask.form)
    if isinstance(ask, AskToken) and form.get("grant_type") in PUBLIC:
        return True
    return isinstance(ask, GiveBackToken) and is_public(form, shown)


def _client_of(daemon: Daemon, carrier: Connection, ask: ClientForm, shown: Shown) -> Principal:
    form = dict(ask.form)
    if _is_public(ask, shown):
        return public_client(carrier, require_namespace(daemon.adapters, form), form, shown)
    return prove_client(daemon.adapters, daemon.proofs, form, shown)


def told_of_kind(error: DeniedError, seat: Connection, operation: Operation) -> DeniedError:
    """Returns the refusal, naming the missing scope for a token of the wrong kind (rule 11)."""
    if seat.principal is None or seat.client:
        return error
    mine, right = _SCOPE_OF[seat.principal.kind], operation.right
    scope = _SCOPES.get(right, "operations")
    if scope == mine or right is Right.ANYONE or (operation.serves and mine == _SCOPES[Right.SERVICE]):
        return error
    return OtherKindError(error.message, remedy=f"show a token with the scope `{scope}`", where=scope)


def _seat_of(connection: Connection, principal: Principal) -> Connection:
    return Connection(
        name=connection.name,
        role="network",
        namespace=principal.namespace,
        agent="",
        peer=_NOBODY,
        push=_unheard,
        principal=principal,
    )


def seat_of_task(daemon: Daemon, principal: Principal, task: str) -> Connection:
    """Returns the seat of an agent that showed a token of its task (rule 8)."""
    return Connection(
        name=daemon.adapters.chance.name(AFAR),
        role="network",
        namespace=principal.namespace,
        agent=principal.name,
        peer=_NOBODY,
        push=_unheard,
        principal=principal,
        seat=task,
    )


def _unheard(push: Push) -> None:
    """A seat of one request receives no pushed messages."""
    del push
