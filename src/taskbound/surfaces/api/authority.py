"""Authorizing what is asked of the daemon, whichever surface brought it, by the rules in force.

1. An operation is authorized before its work begins, and once more in the worker, or in a thread of its
   own, right before the work takes effect: between the two it may have waited, and rules and facts may be
   others. What it writes first is held to what it was authorized by then (`flows.policy.held`).
2. A refusal of what would have changed something leaves one record, as far as the principal's quota goes.
   An agent that asks in a person's name (an exchange that starts a task) takes it from its own.
3. What gateways, egress, broker, services and agents with tokens ask for all the time is answered from
   memory. Such an answer depends on the principal, how it was proven, the operation and what is in force,
   and is kept under all four; what is in force is known anew after each change by this daemon, and after a
   second where another one may have changed it.
4. A gateway acts for its agent, and so does an egress by what a gateway asks for, on a connection that
   belongs to a task; egress, API, broker and front are services, everybody else a person: the one whose
   account it is, or `uid:N`. Whether an account may speak at all is said elsewhere, and stays said.
5. What takes long beside the loop (a bundle that is looked at, actions that are replayed) never keeps an
   operation waiting to be authorized: stopping everything is one of them. What waits for another process (a
   signer) has threads of its own too: one that is slow keeps nothing waiting but what needs it.
6. Who is asked to sign in anew, and comes with another token of the same key that does not meet it either,
   is told no, and how no more: a program that signs a person in again and again ends there.
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
    Asked,
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
    from taskbound.core.policy import InForce
    from taskbound.core.policy.operation import OperationVerdict
    from taskbound.flows.policy.operations import Basis
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.surfaces.api.place import NotOutsideError
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


def _nothing() -> tuple[Basis, ...]:
    """Outside of any operation nothing is authorized: the daemon does it by itself."""
    return ()


_again: ContextVar[Callable[[], tuple[Basis, ...]]] = ContextVar("_again", default=_nothing)


def _both(
    first: Callable[[], tuple[Basis, ...]], second: Callable[[], tuple[Basis, ...]]
) -> tuple[Basis, ...]:
    """An operation that asks for another one too is held to the rules about both."""
    return (*first(), *second())


def _asks_all_the_time(connection: Connection, operation: Operation) -> bool:
    """Whether rule 3 is of this one; never of a person, whose groups may be others by now."""
    if connection.role in _KINDS or connection.token:
        return True
    asks = connection.principal
    return operation.serves and asks is not None and asks.kind is not PrincipalKind.PERSON


def again() -> Callable[[Callable[[], T]], T]:
    """What does the work of the operation that is asked for here, once more authorized (rule 1); anywhere.

    What is written there is held to what it was authorized by, and to what holds whoever asks for this work.
    """
    bases_again = based()

    def do(work: Callable[[], T]) -> T:
        with hold(*bases_again()):
            return work()

    return do


def based() -> Callable[[], tuple[Basis, ...]]:
    """What authorizes the operation that is asked for here once more (rule 1); anywhere.

    What it answers is what the operation's work is held to, for who does several operations' work at once.
    """
    authorize, known = _again.get(), bases()
    return lambda: (*known, *authorize())


async def apart(work: Callable[[], T]) -> T:
    """What this work returns or raises, which waits for others; done beside the loop and the worker.

    Within an operation it is authorized once more right before (rule 1).
    """
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_waiting(), copy_context().run, again(), work)  # 5


async def at_once(work: Callable[[], T]) -> T:
    """As `apart`, of what must not stand behind those who wait: authority that is taken or given back."""
    return await asyncio.to_thread(again(), work)


@cache
def _waiting() -> ThreadPoolExecutor:
    """Those threads (rule 5)."""
    return ThreadPoolExecutor(WAITING, thread_name_prefix="apart")


class Authority:
    """Says who may ask for which operation; used in the loop, but for what says otherwise."""

    def __init__(self, daemon: Daemon) -> None:
        """Authorize for this daemon."""
        self._daemon = daemon
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="authority")  # 5
        self._forces: dict[str, tuple[InForce, int, float]] = {}
        self._steps: dict[tuple[str, str, str, str], str] = {}
        self._standing: dict[tuple[InForce, str, PrincipalKind, str, str, str], OperationVerdict] = {}

    async def authorize(self, principal: Principal, operation: str, message: object) -> None:
        """Go on only when the rules in force let this principal ask for this; what follows is held to it too.

        Args:
            principal: Who asks, as they were proven.
            operation: `word:verb`; its message has the members that `core.policy.operations` names.
            message: What it is asked with.

        Raises:
            OperationForbiddenError: They do not.
            UnavailableError: The store can't tell.
        """
        await self._authorize(
            Asked(
                principal=principal,
                operation=OPERATIONS[operation],
                message=message,
                owns=isinstance(principal.proof, PeerProof)
                and principal.proof.uid == self._daemon.owner_uid
                and principal.kind is PrincipalKind.PERSON,
            )
        )

    async def require(self, connection: Connection, operation: Operation, ask: Ask) -> None:
        """Go on only when the rules in force let this connection ask for this.

        Raises:
            OperationForbiddenError: They do not.
            UnavailableError: The store can't tell.
        """
        if operation.is_standing and _asks_all_the_time(connection, operation):
            match self.standing(connection, operation):
                case Allowed():
                    return
                case Barred():
                    await self.refuse(connection, operation, ask)
        principal = await self._aside(partial(self.principal_of, connection, operation))
        await self.authorize(principal, operation.name, ask)

    def standing(self, connection: Connection, operation: Operation) -> OperationVerdict:
        """What is said to a gateway or an egress that asks for this, from memory where it can be (rule 3)."""
        namespace = connection.namespace
        force = self._force(namespace)
        principal = self.principal_of(connection, operation)
        kind = proof_kind(principal.proof)
        key = (force, namespace, principal.kind, principal.name, operation.name, kind)
        known = self._standing.get(key)
        if known is None:
            known = conclude_standing(self._daemon.means, principal, operation, force)
            if len(self._standing) >= _KEPT:
                self._standing.clear()
            self._standing[key] = known
        return known

    async def refuse(self, connection: Connection, operation: Operation, ask: Ask) -> NoReturn:
        """Record and raise what `standing` said.

        Raises:
            OperationForbiddenError: Always, unless the rules are others by now: then it is to be asked again.
        """
        principal = self.principal_of(connection, operation)
        await self._authorize(Asked(principal=principal, operation=operation, message=ask))
        raise OperationForbiddenError(
            f"`{operation.name}` was refused by rules that are not in force any more", remedy="ask again"
        )

    def principal_of(self, connection: Connection, operation: Operation | None = None) -> Principal:
        """Who is at the other end (rule 4); reads the store for a person, from any thread."""
        if connection.principal is not None:
            return connection.principal
        kind = _KINDS.get(connection.role, PrincipalKind.PERSON)
        if connection.agent and operation is not None and operation.right is Right.GATEWAY:
            kind = PrincipalKind.AGENT  # also of an egress' connection that belongs to a task (`injecting`)
        name = connection.agent if kind is PrincipalKind.AGENT else connection.role
        proof = connection.peer.proof
        if kind is PrincipalKind.PERSON:
            with self._daemon.means.store.read() as snapshot:
                persons = snapshot.identities.persons(connection.namespace)
            found = (
                one.name
                for one in persons.values()
                if one.uid == proof.uid and one.state is PersonState.PRESENT
            )
            name = next(found, f"uid:{proof.uid}")
        return Principal(kind=kind, namespace=connection.namespace, name=name, proof=proof)

    async def _authorize(self, asked: Asked) -> None:
        verdict, request = await self._aside(partial(authorize, self._daemon.means, asked))
        match verdict:
            case Allowed():
                _again.set(partial(_both, _again.get(), partial(self._once_more, asked)))
            case Barred():
                await self._daemon.first(partial(self._record, verdict, request))
                raise self._challenged(forbidden(verdict, request), request)

    def _challenged(self, error: DeniedError, request: OperationRequest) -> DeniedError:
        """What is said to who would have to sign in anew, and did so already: no more than no (rule 6)."""
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
        """What is said to who has to sign in anew for an answer; recorded as a refusal (rules 2 and 6).

        Args:
            principal: Who brings the answer.
            operation: By which operation.
            about: The id of what is answered, and the digest of the bundle that it was asked under.
            error: How they have to sign in.
        """
        request = await self._refused(principal, OPERATIONS[operation], about, error)
        return self._challenged(error, request)

    async def refuse_inside(
        self, connection: Connection, operation: Operation, error: NotOutsideError
    ) -> None:
        """Record that a person's act was refused to a process beneath a gateway or a run (rule 2)."""
        bundle = self._daemon.means.policy.digest_of(self._force(connection.namespace))
        principal = await self._aside(partial(self.principal_of, connection, operation))
        await self._refused(principal, operation, ("", bundle), error)

    async def refuse_opening(
        self, namespace: str, role: str, proof: PeerProof, error: NotOutsideError
    ) -> None:
        """Record that a connection in this role was refused to a process beneath a gateway or a run (rule 2).

        Names are the caller's own: all these refusals share the quota of names that nothing has.
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
        """Record a refusal that no rule gave, on the quota of this holder; what was asked for."""
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
        """What this work returns or raises; done in threads that do nothing else (rule 5)."""
        return await self._daemon.loop.run_in_executor(self._threads, work)

    def _once_more(self, asked: Asked) -> tuple[Basis, ...]:
        """Authorize it on what is known now (rule 1); in the worker's thread."""
        return (authorized(self._daemon.means, asked, self._record),)

    def record(self, verdict: Barred, request: OperationRequest, *, agent: str) -> None:
        """Leave a record of what this agent was refused in a person's name (rule 2); in the worker."""
        self._record(verdict, request, agent)

    def _record(self, verdict: Barred, request: OperationRequest, holder: str = "") -> None:
        """Leave a record of the refusal (rule 2); in the worker's thread."""
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
        means = self._daemon.means
        means.store.write(
            lambda tx: tx.audit.append(principal.namespace, means.writer, [event], means.clock.now())
        )

    def _force(self, namespace: str) -> InForce:
        """What is in force, as far as it is known (rule 3)."""
        now = self._daemon.loop.time()
        moves = self._daemon.means.policy.moves
        known = self._forces.get(namespace)
        if known is not None and known[1] == moves and now < known[2]:
            return known[0]
        with self._daemon.means.store.read() as snapshot:
            force = snapshot.policy.in_force(namespace)
        self._forces[namespace] = (force, moves, now + FRESH)
        return force
