"""Requests of the process that listens to the network: who asks is found here, from what was shown.

1. The role `api` is of the account that owns the data directory, or of the one that the daemon was told, and
   of no process beneath a gateway or a run: that is looked at each second that it asks. It is believed about
   what TLS and HTTP said, and no more.
2. Nothing is asked in its own name but whether the daemon answers, what anybody may read of tokens' keys and
   status, what it has to know to serve, what it counts and what it refused by itself (`serving`), and what a
   browser brings for a client, which gives nothing until a person has said yes. Each other request shows a
   proof of its own.
3. A request that shows none is refused as such, and one whose proof is nobody's too; neither says which
   operation there is, or whether what it is about exists.
4. What is asked is asked on a seat of its own, which is the principal's: no account, no process, no right
   of whoever carried it here.
5. What is a gateway's, the egress' or of a process of this machine is not asked over the network. Nor does
   who holds a person's token let further clients in by it.
6. A token that ended while its request waited does nothing any more: it is looked at once more right before.
   What is asked by an agent that gives its task up is taken whatever became of the task meanwhile: its answer
   may have been lost.
7. A form of OAuth proves its client itself (`client_proof`): a token proves nobody there. Clients that people
   use are proven by nothing but what they bring (`client_grants`).
8. An agent that shows a token of its task has a seat that belongs to that task, under a name of its own: no
   two requests hold what one was permitted (`core.decision.holder`). It is heard of with each of them.
9. A page asks in its process' name, with what its browser showed: who is signed in there is its own to find
   out (`SignIns.person`). Nothing else is shown a browser's cookie.
10. Whoever was proven has a bucket of their own, whatever addresses they come from: one who asks without end
    takes nothing from others (`showing`). What nothing proves has none: anybody could empty it.
11. A token that is good and of the wrong kind for what is asked is told which scope would reach it.
12. Issuers of workloads are each waited for by itself (`issuers`): who shows tokens of a slow one, as any
    stranger can, keeps nobody waiting but others who show tokens of that one. Proving waits for nobody.
13. A token of ours, or the proof that it comes with, that is refused leaves one record, within the allowance
    of whoever is nobody: one that is replayed, or shown without its key, is somebody's attack on somebody.
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
from taskbound.surfaces.api.afar import Afar
from taskbound.surfaces.api.client import (
    ClientGrants,
    awaited,
    is_public,
    leaf_of,
    prove_client,
    public_client,
    read_key,
    require_namespace,
)
from taskbound.surfaces.api.connection import Connection
from taskbound.surfaces.api.peer import Peer
from taskbound.surfaces.api.reply import fault_of
from taskbound.surfaces.api.showing import Showings
from taskbound.surfaces.api.token import note_unbelieved
from taskbound.surfaces.api.tracing import Tracing
from taskbound.surfaces.api.workload import Issuers
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
from taskbound.wire.task import EndOwnTask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.errors import DeniedError
    from taskbound.core.policy.operation import Operation
    from taskbound.flows.decision import Doubts
    from taskbound.flows.means import Actor, Means
    from taskbound.flows.task import Tasks
    from taskbound.flows.token import Descriptions, Tokens
    from taskbound.flows.token.verifying import Stands
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.surfaces.api.place import Place
    from taskbound.surfaces.api.worker import Worker
    from taskbound.wire.envelope import Push, Said
    from taskbound.wire.network import Shown


NEAR: Final = frozenset(
    {
        *("action:answer", "action:decide", "action:outcome", "action:permit"),
        *(
            "agent:assertion",
            "approval:leave",
            "approval:open",
            "connection:bind",
            "connection:open",
            "connection:ping",
            "connection:show",
        ),
        *("broker:discovered", "broker:failed", "broker:gone", "broker:lease", "broker:left"),
        *("broker:minted", "broker:renewed", "broker:seen", "broker:swept"),
        *("broker:epoch", "broker:reconciled"),
        *("credential:acknowledge", "credential:discover", "credential:end", "credential:inject"),
        *("credential:renewed", "credential:sweep", "credential:take"),
        *("daemon:end", "daemon:start", "init:begin", "init:forget", "init:undo"),
        *("db:backup", "db:reconcile", "db:restore", "db:upgrade"),
        *("network:agree", "network:authorities", "network:counts", "network:refused"),
        *("target:add", "target:admin", "target:remove", "target:test"),
        *("token:consent", "token:consent-person", "token:deny", "token:look"),
        *("person-key:confirm", "person-key:open", "person-key:open-vouching", "task:run"),
        *("tool:cover", "tool:reach", "tool:see", "upstream:sealed", "upstream:token"),
    }
)
"""Operations that nobody asks for over the network (rule 5)."""
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
"""The account and process of whoever is somewhere in a network (rule 4)."""


class Network:
    """What the daemon needs for requests of the network."""

    def __init__(
        self, means: Means, worker: Worker, place: Place, tokens: Tokens, tasks: Tasks, doubts: Doubts
    ) -> None:
        """Be reached under this place's name."""
        self.uid = place.owner_uid if place.api is None else place.api
        """The account that brings them (rule 1)."""
        self.issuer = place.issuer
        self.front_uid = place.owner_uid if place.front is None else place.front
        """The account of the process before agents' gateways (`fronts`)."""
        self.gateway_origin = place.gateway_origin
        """How the gateway over HTTP is known outside."""
        self.showings = Showings(means, worker, place.pace)
        """Proves what requests show, and uses it up (rule 10)."""
        self.grants = ClientGrants(means, tokens)
        """Gives tokens to clients that people use."""
        self.askings = Askings(means, tasks)
        """What such clients ask for, and what people answer; what writes is done in the worker's thread."""
        self.afar = Afar(means, doubts)
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
        """Tells what takes how long, where somebody collects that."""
        self._means = means

    def take_heard(self) -> frozenset[tuple[str, str]]:
        """The tasks whose agents were heard of since the last time; in the loop."""
        heard, self.heard = frozenset(self.heard), set()
        return heard

    def require_person(self, principal: Principal) -> Actor:
        """Who has shown a person's token, which holds now as well: right before what it does (rule 6).

        Raises:
            UnprovenError: It is an agent's, or no token of ours.
            DeniedError: It has ended meanwhile.
        """
        actor, proof = require_personal(principal), principal.proof
        with self._means.store.read() as snapshot:
            token = proof.token if isinstance(proof, TokenProof) else ""
            row = snapshot.tokens.token(principal.namespace, token)
            if row is None:
                raise UnprovenError("this is a person's act, and no token of theirs was shown")
            require_token_stands(snapshot, row, self._means.clock.now())
        return actor

    def require_giving_up(self, principal: Principal | None) -> Actor:
        """The agent that ends its own task, by a token that holds for that now as well (rule 6).

        Raises:
            UnprovenError: It is somebody else, or shows no token of ours.
            DeniedError: It has ended meanwhile.
        """
        proof = None if principal is None else principal.proof
        if principal is None or not isinstance(proof, TokenProof):
            raise UnprovenError("an agent gives its task up over a network, with a token of that task")
        with self._means.store.read() as snapshot:
            row = snapshot.tokens.token(principal.namespace, proof.token)
            if row is None:
                raise UnprovenError("nobody here issued that token")
            require_token_gives_up(snapshot, row, self._means.clock.now())
        return actor_of(principal)


def require_api(daemon: Daemon, connection: Connection) -> None:
    """Go on only for the process that listens to the network (rule 1).

    Raises:
        UnprovenError: It is another account's.
        NotOutsideError: The process runs beneath a gateway or a run.
    """
    if connection.role != "api" or connection.peer.proof.uid != daemon.network.uid:
        raise UnprovenError("only the account of the API brings requests of others")
    now = daemon.loop.time()
    if now >= connection.outside:
        daemon.require_outside(connection)
        connection.outside = now + FRESH


def shows(connection: Connection, said: Said) -> bool:
    """Whether this is a request of the network's, and not its process's own (rule 2)."""
    return said.shown is not None or (connection.role == "api" and not isinstance(said.ask, _OWN))


async def prove(daemon: Daemon, connection: Connection, said: Said, operation: str) -> Connection | Fault:
    """The seat of whoever asks (rule 4), or the refusal of who is not found (rule 3)."""
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
    """What has to be so of a token that is shown for this (rule 6)."""
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
                daemon.means,
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
    """The seat of what a page asks (rule 9)."""
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
    """The seat of the client that a form proves (rule 7); a bad proof of its key says nothing of it."""
    if shown is None:
        return fault_of(NoProofError("the request shows no proof of who asks"), unproven=True)
    try:
        key = await daemon.read(partial(read_key, daemon.means, shown))
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
    """Have the issuer asked whose keys the form's proof needs, if any (rule 12)."""
    if "actor_token" not in form:
        return
    found = await daemon.read(partial(awaited, daemon.means, daemon.proofs, form, shown))
    if found is not None:
        await daemon.network.issuers.ask(found, partial(daemon.proofs.ask, WorkloadKind.OIDC, found))


def _is_public(ask: ClientForm, shown: Shown) -> bool:
    """Whether nothing but what it brings proves a form's client (rule 7)."""
    form = dict(ask.form)
    if isinstance(ask, AskToken) and form.get("grant_type") in PUBLIC:
        return True
    return isinstance(ask, GiveBackToken) and is_public(form, shown)


def _client_of(daemon: Daemon, carrier: Connection, ask: ClientForm, shown: Shown) -> Principal:
    form = dict(ask.form)
    if _is_public(ask, shown):
        return public_client(carrier, require_namespace(daemon.means, form), form, shown)
    return prove_client(daemon.means, daemon.proofs, form, shown)


def told_of_kind(error: DeniedError, seat: Connection, operation: Operation) -> DeniedError:
    """The refusal of who shows a token; of the wrong kind it is told as that (rule 11).

    Args:
        error: Why it was refused.
        seat: Who asked.
        operation: What was asked for.
    """
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
    """The seat of an agent whose token of its task was shown: what holds what it is permitted (rule 8)."""
    return Connection(
        name=daemon.means.chance.name(AFAR),
        role="network",
        namespace=principal.namespace,
        agent=principal.name,
        peer=_NOBODY,
        push=_unheard,
        principal=principal,
        seat=task,
    )


def _unheard(push: Push) -> None:
    """Nothing is said unasked to whoever asked once."""
    del push
