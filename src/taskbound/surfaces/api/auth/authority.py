"""Authorizes every operation of the daemon, for each surface, by the rules in force.

1. An operation is authorized before its work begins, and again in the worker or its own thread right before
   the work takes effect, because facts and rules may have changed while it waited. Its first write depends on
   that authorization (`flows.policy.held`).
2. A refused write leaves one record, within the principal's quota. An agent that asks in a person's name uses
   its own quota.
3. Frequent operations of gateways, egress, broker, services and agents with tokens are answered from memory,
   by principal, proof, operation and the rules in force. The rules in force are read again after each change
   by this daemon, and at most one second after a change by another daemon.
4. A gateway acts for its agent; so does an egress that asks for a gateway, on a connection bound to a task.
   Egress, API, broker and front are services. Every other caller is a person: the owner of the account, or
   `uid:N`. Which accounts may connect at all is checked separately.
5. Slow work (validating a bundle, replaying actions) never delays authorization, because stopping everything
   must be authorized too. Work that waits for another process, such as the signer, has threads of its own.
6. A caller who was asked to sign in again and presents another token of the same key that also falls short is
   refused without a further challenge, so that a program cannot loop.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from functools import cache, partial
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from taskbound.core.audit import OperationRefused
from taskbound.core.decision import TooManyRefusalsError
from taskbound.core.identity.person import PeerProof, PersonState
from taskbound.core.identity.proof import Principal, PrincipalKind, TokenProof
from taskbound.core.policy.operation import (
    About,
    Allowed,
    Barred,
    Operation,
    OperationForbiddenError,
    OperationRequest,
    Resource,
    Right,
    StepUpError,
)
from taskbound.core.policy.operations import OPERATIONS
from taskbound.flows.decision.commit import PERSON, SERVICE
from taskbound.flows.policy.operations import (
    OperationCall,
    authorize,
    authorized,
    bases,
    conclude_standing,
    forbidden,
    hold,
    proof_kind,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.errors import DeniedError
    from taskbound.core.policy import ActiveBundle
    from taskbound.core.policy.operation import OperationVerdict
    from taskbound.flows.policy.operations import AuthorizationBasis
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.place import NotOutsideError
    from taskbound.wire.envelope import Ask


T = TypeVar("T")
FRESH: Final = 1.0
"""Seconds for which it is remembered what is in force, for answers from memory (rule 3)."""
_THREADS: Final = 2
WAITING: Final = 8
"""Threads that wait for others."""
_KEPT: Final = 16_384
_STEPS: Final = 4_096
"""Who was asked to sign in anew, for which operation, that is remembered."""
_KINDS: Final = {
    "api": PrincipalKind.SERVICE,
    "broker": PrincipalKind.SERVICE,
    "egress": PrincipalKind.SERVICE,
    "front": PrincipalKind.SERVICE,
    "gateway": PrincipalKind.AGENT,
}
_OPENING: Final = Operation(name="connection:open", right=Right.ANYONE, about=About.NAMESPACE)
_HOLDERS: Final = {PrincipalKind.AGENT: "", PrincipalKind.PERSON: PERSON, PrincipalKind.SERVICE: SERVICE}
"""What stands before a name where a quota is kept."""


def _nothing() -> tuple[AuthorizationBasis, ...]:
    """The daemon's own work outside any operation needs no authorization."""
    return ()


_again: ContextVar[Callable[[], tuple[AuthorizationBasis, ...]]] = ContextVar("_again", default=_nothing)


def _both(
    first: Callable[[], tuple[AuthorizationBasis, ...]], second: Callable[[], tuple[AuthorizationBasis, ...]]
) -> tuple[AuthorizationBasis, ...]:
    """A nested operation depends on the authorization of both."""
    return (*first(), *second())


def _asks_all_the_time(connection: Connection, operation: Operation) -> bool:
    """Returns whether rule 3 applies; never for a person, whose groups may have changed."""
    if connection.role in _KINDS or connection.token:
        return True
    asks = connection.principal
    return operation.serves and asks is not None and asks.kind is not PrincipalKind.PERSON


def again() -> Callable[[Callable[[], T]], T]:
    """Returns a function that runs work after authorizing the current operation again (rule 1).

    Any thread. Writes in that work depend on this authorization and on the caller's own bases.
    """
    bases_again = based()

    def do(work: Callable[[], T]) -> T:
        with hold(*bases_again()):
            return work()

    return do


def based() -> Callable[[], tuple[AuthorizationBasis, ...]]:
    """Returns a function that authorizes the current operation again (rule 1).

    For batched work, any thread. It returns the bases on which the writes of that operation depend.
    """
    authorize, known = _again.get(), bases()
    return lambda: (*known, *authorize())


async def apart(work: Callable[[], T]) -> T:
    """Runs work that waits for other processes outside the loop and the worker, and returns its result.

    Within an operation it is authorized again right before (rule 1).
    """
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_waiting(), copy_context().run, again(), work)  # 5


async def at_once(work: Callable[[], T]) -> T:
    """Like `apart`, for work that grants or withdraws authority and must not queue behind other waiters."""
    return await asyncio.to_thread(again(), work)


@cache
def _waiting() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(WAITING, thread_name_prefix="apart")


class Authority:
    """Decides which principal may perform which operation.

    Used in the loop unless a method says otherwise.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="authority")  # 5
        self._forces: dict[str, tuple[ActiveBundle, int, float]] = {}
        self._steps: dict[tuple[str, str, str, str], str] = {}
        self._standing: dict[tuple[ActiveBundle, str, PrincipalKind, str, str, str], OperationVerdict] = {}

    async def authorize(self, principal: Principal, operation: str, message: object) -> None:
        """Raises OperationForbiddenError or UnavailableError unless the rules let this principal do this.

        Later writes depend on it. `operation` is `word:verb`; `message` has the members of
        `core.policy.operations`.
        """
        await self._authorize(
            OperationCall(
                principal=principal,
                operation=OPERATIONS[operation],
                message=message,
                owns=isinstance(principal.proof, PeerProof)
                and principal.proof.uid == self._daemon.owner_uid
                and principal.kind is PrincipalKind.PERSON,
            )
        )

    async def require(self, connection: Connection, operation: Operation, ask: Ask) -> None:
        """Raises OperationForbiddenError or UnavailableError unless the rules let this connection do this."""
        if operation.is_standing and _asks_all_the_time(connection, operation):
            match self.standing(connection, operation):
                case Allowed():
                    return
                case Barred():
                    await self.refuse(connection, operation, ask)
        principal = await self._aside(partial(self.principal_of, connection, operation))
        await self.authorize(principal, operation.name, ask)

    def standing(self, connection: Connection, operation: Operation) -> OperationVerdict:
        """Returns the verdict for a gateway or an egress, from memory where possible (rule 3)."""
        namespace = connection.namespace
        force = self._force(namespace)
        principal = self.principal_of(connection, operation)
        kind = proof_kind(principal.proof)
        key = (force, namespace, principal.kind, principal.name, operation.name, kind)
        known = self._standing.get(key)
        if known is None:
            known = conclude_standing(self._daemon.adapters, principal, operation, force)
            if len(self._standing) >= _KEPT:
                self._standing.clear()
            self._standing[key] = known
        return known

    async def refuse(self, connection: Connection, operation: Operation, ask: Ask) -> NoReturn:
        """Records and raises the verdict of `standing`.

        If the rules changed meanwhile, the caller asks again.
        """
        principal = self.principal_of(connection, operation)
        await self._authorize(OperationCall(principal=principal, operation=operation, message=ask))
        raise OperationForbiddenError(
            f"`{operation.name}` was refused by rules that are not in force any more", remedy="ask again"
        )

    def principal_of(self, connection: Connection, operation: Operation | None = None) -> Principal:
        """Returns the principal of a connection (rule 4); reads the store for a person; any thread."""
        if connection.principal is not None:
            return connection.principal
        kind = _KINDS.get(connection.role, PrincipalKind.PERSON)
        if connection.agent and operation is not None and operation.right is Right.GATEWAY:
            kind = PrincipalKind.AGENT  # also of an egress' connection that belongs to a task (`injecting`)
        name = connection.agent if kind is PrincipalKind.AGENT else connection.role
        proof = connection.peer.proof
        if kind is PrincipalKind.PERSON:
            with self._daemon.adapters.store.read() as snapshot:
                persons = snapshot.identities.persons(connection.namespace)
            found = (
                one.name
                for one in persons.values()
                if one.uid == proof.uid and one.state is PersonState.PRESENT
            )
            name = next(found, f"uid:{proof.uid}")
        return Principal(kind=kind, namespace=connection.namespace, name=name, proof=proof)

    async def _authorize(self, asked: OperationCall) -> None:
        verdict, request = await self._aside(partial(authorize, self._daemon.adapters, asked))
        match verdict:
            case Allowed():
                _again.set(partial(_both, _again.get(), partial(self._once_more, asked)))
            case Barred():
                await self._daemon.first(partial(self._record, verdict, request))
                raise self._challenged(forbidden(verdict, request), request)

    def _challenged(self, error: DeniedError, request: OperationRequest) -> DeniedError:
        """Removes the challenge from a refusal if the caller already signed in again (rule 6)."""
        proof = request.principal.proof
        if not isinstance(error, StepUpError) or not isinstance(proof, TokenProof):
            return error
        by = "" if proof.binding is None else proof.binding.thumbprint
        key = (request.principal.namespace, request.principal.name, request.operation.name, by)
        before = self._steps.pop(key, proof.token)
        if before != proof.token:
            return OperationForbiddenError(f"{error.message}, and so was not the one just now")
        while len(self._steps) >= _STEPS:
            del self._steps[next(iter(self._steps))]
        self._steps[key] = proof.token
        return error

    async def step_up(
        self, principal: Principal, operation: str, about: tuple[str, str], error: StepUpError
    ) -> DeniedError:
        """Records a refusal that asks for a stronger sign-in, and returns it (rules 2 and 6).

        `about` is the id that is answered and the digest of the bundle in force when the question was asked.
        """
        request = await self._refused(principal, OPERATIONS[operation], about, error)
        return self._challenged(error, request)

    async def refuse_inside(
        self, connection: Connection, operation: Operation, error: NotOutsideError
    ) -> None:
        """Records that a person's operation was refused to a process beneath a gateway or run (rule 2)."""
        bundle = self._daemon.adapters.policy.digest_of(self._force(connection.namespace))
        principal = await self._aside(partial(self.principal_of, connection, operation))
        await self._refused(principal, operation, ("", bundle), error)

    async def refuse_opening(
        self, namespace: str, role: str, proof: PeerProof, error: NotOutsideError
    ) -> None:
        """Records that a process beneath a gateway or run was refused a connection in this role (rule 2).

        Callers choose these names themselves, so all such refusals share the quota of unknown names.
        """
        kind = _KINDS.get(role, PrincipalKind.PERSON)
        principal = Principal(kind=kind, namespace=namespace, name=role, proof=proof)
        await self._refused(principal, _OPENING, ("", ""), error, holder=PERSON)

    async def _refused(
        self,
        principal: Principal,
        operation: Operation,
        about: tuple[str, str],
        error: DeniedError,
        *,
        holder: str = "",
    ) -> OperationRequest:
        """Records a refusal that no rule made, on the quota of this holder."""
        request = OperationRequest(
            principal=principal,
            groups=(),
            operation=operation,
            resource=Resource(about=operation.about, name=about[0]),
            facts={},
        )
        barred = Barred(code=error.code, policies=(), details=(), bundle=about[1])
        await self._daemon.first(partial(self._record, barred, request, holder))
        return request

    async def _aside(self, work: Callable[[], T]) -> T:
        """Runs work in threads reserved for authorization (rule 5)."""
        return await self._daemon.loop.run_in_executor(self._threads, work)

    def _once_more(self, asked: OperationCall) -> tuple[AuthorizationBasis, ...]:
        """Authorizes on the facts of now (rule 1); runs in the worker's thread."""
        return (authorized(self._daemon.adapters, asked, self._record),)

    def record(self, verdict: Barred, request: OperationRequest, *, agent: str) -> None:
        """Records a refusal to an agent that asked in a person's name (rule 2).

        Runs in the worker's thread.
        """
        self._record(verdict, request, agent)

    def _record(self, verdict: Barred, request: OperationRequest, holder: str = "") -> None:
        """Runs in the worker's thread."""
        if not request.operation.changes:
            return
        principal, refusals = request.principal, self._daemon.refusals
        holder = holder or f"{_HOLDERS[principal.kind]}{principal.name}"
        try:
            refusals.require(principal.namespace, holder, code=OperationForbiddenError.code)
        except TooManyRefusalsError:
            return
        refusals.take(principal.namespace, holder)
        event = OperationRefused(
            operation=request.operation.name,
            about=f"{request.resource.about.value} {request.resource.name}".strip(),
            code=verdict.code,
            policies=verdict.policies,
            bundle=verdict.bundle,
            by=f"{principal.kind.value} {principal.name}",
            proof=principal.proof.words,
        )
        adapters = self._daemon.adapters
        adapters.store.write(
            lambda tx: tx.audit.append(principal.namespace, adapters.writer, [event], adapters.clock.now())
        )

    def _force(self, namespace: str) -> ActiveBundle:
        """Returns the rules in force as far as they are known (rule 3)."""
        now = self._daemon.loop.time()
        moves = self._daemon.adapters.policy.moves
        known = self._forces.get(namespace)
        if known is not None and known[1] == moves and now < known[2]:
            return known[0]
        with self._daemon.adapters.store.read() as snapshot:
            force = snapshot.policy.in_force(namespace)
        self._forces[namespace] = (force, moves, now + FRESH)
        return force
