"""Authorizes operations of our own API by the rules in force, and again when they take effect.

- A flow's refusal stays: policy here only takes rights away.
- The first transaction of an operation locks the bundle in force. If it is not the one that authorized the
  operation, nothing is written and the operation is authorized anew.
- An operation that changes the bundle in force locks it exclusively from the start, as two shared locks that
  upgrade would deadlock.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar, assert_never

from taskbound.core.approval import AnswerKind, BadStatementError, parse_statement
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import UnavailableError
from taskbound.core.identity.person import PeerProof, PersonState
from taskbound.core.identity.proof import AccountProof, PrincipalKind, TokenProof, WorkloadProof
from taskbound.core.policy import DamagedBundleError, FactKind
from taskbound.core.policy.operation import (
    OPERATION_FACTS,
    Allowed,
    Barred,
    OperationForbiddenError,
    OperationRequest,
    Resource,
    Right,
    StepUpError,
    conclude_operation,
    is_way_back,
    lift,
)
from taskbound.flows.policy.about import look_up, sign_in_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from taskbound.core.approval import Statement
    from taskbound.core.clock import Instant
    from taskbound.core.identity.proof import Principal, Proof
    from taskbound.core.policy import ActiveBundle, Fact
    from taskbound.core.policy.operation import Operation, OperationVerdict
    from taskbound.flows.means import Adapters
    from taskbound.ports.policy import OperationRules
    from taskbound.ports.store import Snapshot, Store, Transaction

    Refused = Callable[[Barred, OperationRequest], None]
    """Called with a refusal before it is raised."""


_TRIES: Final = 8
_WAY_BACK: Final = "base:way-back"
_STATEMENT: Final = "statement"
_ON_DAMAGE: Final = frozenset(
    {Right.ANYONE, Right.READ, Right.GATEWAY, Right.EGRESS, Right.BROKER, Right.SERVICE}
)


class MovingError(UnavailableError):
    """The bundle in force kept changing while an operation was authorized."""

    code = "moving-in-force"
    remedy = "try again"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationCall:
    """A request for an operation, from any surface."""

    principal: Principal
    operation: Operation
    message: object
    """What it is asked with; its members are named by the operation."""
    owns: bool = False
    """Whether the principal is the account that owns the data directory."""


def authorize(adapters: Adapters, asked: OperationCall) -> tuple[OperationVerdict, OperationRequest]:
    verdict, request, _ = authorize_at(adapters, asked)
    return verdict, request


def authorize_at(
    adapters: Adapters, asked: OperationCall
) -> tuple[OperationVerdict, OperationRequest, ActiveBundle]:
    namespace = asked.principal.namespace
    for _ in range(_TRIES):
        with adapters.store.read() as snapshot:
            force = snapshot.policy.in_force(namespace)
        found = rules_of(adapters, namespace, force, asked.operation, gives=_releases(asked))
        if isinstance(found, Barred):
            return found, _request(asked, (), Resource(about=asked.operation.about, name=""), {}), force
        with adapters.store.read() as snapshot:
            request = _gathered(snapshot, asked, found)
            if snapshot.policy.in_force(namespace) == force:
                break
    else:
        raise MovingError("another bundle of policies was put in force meanwhile, again and again")
    verdict = conclude_operation(found.answer(request), found.words)
    if isinstance(verdict, Barred) and verdict.steps:
        verdict = lift(verdict, sign_in_of(adapters, asked.principal), adapters.clock.now())
    if isinstance(verdict, Barred) and asked.owns and is_way_back(request):
        verdict = Allowed(policies=(_WAY_BACK,), bundle=verdict.bundle)
    return verdict, request, force


def conclude_standing(
    adapters: Adapters, principal: Principal, operation: Operation, force: ActiveBundle
) -> OperationVerdict:
    """Returns the verdict on an operation that depends on nothing else (`Operation.is_standing`)."""
    rules = rules_of(adapters, principal.namespace, force, operation)
    if isinstance(rules, Barred):
        return rules
    request = OperationRequest(
        principal=principal,
        groups=(),
        operation=operation,
        resource=Resource(about=operation.about, name=""),
        facts={"proof_kind": proof_kind(principal.proof)},
    )
    return conclude_operation(rules.answer(request), rules.words)


def rules_of(
    adapters: Adapters, namespace: str, force: ActiveBundle, operation: Operation, *, gives: bool = False
) -> OperationRules | Barred:
    """Returns the rules, or a refusal if none may decide; `gives` if the request gives authority back."""
    policies = adapters.policy
    try:
        engine = policies.at(namespace, force)
    except DamagedBundleError as error:
        if (operation.ends and not gives) or operation.right in _ON_DAMAGE:
            return policies.rights.operations
        return Barred(
            code=error.code, policies=(), details=(error.message,), bundle=policies.digest_of(force)
        )
    return engine.operations if engine.operations.known else policies.rights.operations


def forbidden(verdict: Barred, request: OperationRequest) -> OperationForbiddenError | StepUpError:
    """Returns the error of a barred operation; names the sign-in that would let it pass."""
    name, what = request.operation.name, request.resource
    about = f" about {what.about.value} `{what.name}`" if what.name else ""
    by = f" by {', '.join(f'`{one}`' for one in verdict.policies)}" if verdict.policies else ""
    more = f": {'; '.join(verdict.details)}" if verdict.details else ""
    if verdict.steps and isinstance(request.principal.proof, TokenProof | AccountProof):
        return StepUpError(
            f"`{name}`{about} needs another sign-in{by}{more}",
            steps=verdict.steps,
            where=verdict.policies[0] if verdict.policies else "",
        )
    return OperationForbiddenError(
        f"`{name}`{about} is refused to {request.principal.kind.value} `{request.principal.name}`"
        f"{by} ({verdict.code}){more}",
        where=verdict.policies[0] if verdict.policies else "",
    )


def proof_kind(proof: Proof) -> str:
    match proof:
        case PeerProof():
            return "peer-uid"
        case WorkloadProof(kind=kind):
            return kind.value
        case AccountProof():
            return "account"
        case TokenProof():
            return "token"
        case _:
            assert_never(proof)


def _gathered(snapshot: Snapshot, asked: OperationCall, rules: OperationRules) -> OperationRequest:
    operation, principal = asked.operation, asked.principal
    told: dict[str, Fact] = {
        fact: _fact(fact, _member(asked.message, member)) for fact, member in operation.told.items()
    }
    told["proof_kind"] = proof_kind(principal.proof)
    name = _name(asked)
    if rules.reads(operation) is None:
        return _request(asked, (), Resource(about=operation.about, name=name), told)
    seen = look_up(snapshot, principal.namespace, operation.about, name)
    groups: tuple[str, ...] = ()
    if principal.kind is PrincipalKind.PERSON:
        groups = _groups(snapshot, principal.namespace, principal.name)
    resource = Resource(about=operation.about, name=seen.name, above=seen.above)
    facts = {**seen.facts, **told}
    members = {one: _groups(snapshot, principal.namespace, one) for one in _people(facts)}
    return replace(_request(asked, groups, resource, facts), members={k: v for k, v in members.items() if v})


def _request(
    asked: OperationCall, groups: tuple[str, ...], resource: Resource, facts: dict[str, Fact]
) -> OperationRequest:
    return OperationRequest(
        principal=asked.principal, groups=groups, operation=asked.operation, resource=resource, facts=facts
    )


def _releases(asked: OperationCall) -> bool:
    return asked.operation.name == "revocation:stop" and _member(asked.message, "stopped") is not True


def _people(facts: Mapping[str, Fact]) -> set[str]:
    found: set[str] = set()
    for name, value in facts.items():
        match OPERATION_FACTS[name], value:
            case FactKind.PERSON, str(one):
                found.add(one)
            case FactKind.PERSONS, tuple(several):
                found |= set(several)
            case _:
                pass
    return found - {""}


def _groups(snapshot: Snapshot, namespace: str, person: str) -> tuple[str, ...]:
    known = snapshot.identities.person(namespace, person)
    if known is None or known.state is not PersonState.PRESENT:
        return ()
    return tuple(sorted(one.name for one in snapshot.identities.groups(namespace) if person in one.everyone))


def _name(asked: OperationCall) -> str:
    if not asked.operation.member:
        return ""
    named = asked.operation.member
    value = _member(asked.message, f"{named}.question" if named == _STATEMENT else named)
    return value if isinstance(value, str) else ""


def _member(message: object, path: str) -> object:
    for name in path.split("."):
        if isinstance(message, str):
            message = _said(message)
        if message is None:
            return None
        message = getattr(message, name)
    return message.value if isinstance(message, AnswerKind) else message


def _said(text: str) -> Statement | None:
    try:
        return parse_statement(text.encode("utf-8", "surrogatepass"))
    except BadStatementError:
        return None


def _fact(name: str, value: object) -> Fact:
    match OPERATION_FACTS[name]:
        case FactKind.TRUTH:
            return value is True
        case FactKind.NUMBER:
            return value if isinstance(value, int) and not isinstance(value, bool) else 0
        case FactKind.TEXTS | FactKind.PERSONS:
            return tuple(map(str, value)) if isinstance(value, tuple | list) else ()
        case FactKind.TEXT | FactKind.PERSON:
            return value if isinstance(value, str) else ""


T = TypeVar("T")
_MOVES: Final = frozenset({"policy:activate", "policy:roll-back"})


@dataclass(slots=True)
class AuthorizationBasis:
    """What authorized an operation, until it takes effect."""

    namespace: str
    force: ActiveBundle
    moves: bool
    renew: Callable[[], ActiveBundle]
    """Authorizes it anew: what it was authorized by then. Raises where it is refused."""
    used: bool = False


_bases: ContextVar[tuple[AuthorizationBasis, ...]] = ContextVar("_bases", default=())


def bases() -> tuple[AuthorizationBasis, ...]:
    return _bases.get()


@contextmanager
def hold(*held: AuthorizationBasis) -> Iterator[None]:
    """Within this context, writes are held to these bases only."""
    before = _bases.set(held)
    try:
        yield
    finally:
        _bases.reset(before)


def authorized(adapters: Adapters, asked: OperationCall, refused: Refused) -> AuthorizationBasis:
    def conclude() -> ActiveBundle:
        verdict, request, force = authorize_at(adapters, asked)
        match verdict:
            case Allowed():
                return force
            case Barred():
                refused(verdict, request)
                raise forbidden(verdict, request)

    return AuthorizationBasis(
        namespace=asked.principal.namespace,
        force=conclude(),
        moves=asked.operation.name in _MOVES,
        renew=conclude,
    )


def with_held_store(adapters: Adapters) -> Adapters:
    """Returns means whose store holds operations to what authorized them."""
    return replace(adapters, store=HeldStore(adapters.store))


class HeldStore:
    """A store that writes an operation under the rules that authorized it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write(self, work: Callable[[Transaction], T], *, reserve: bool = False) -> T:
        """Raises OperationForbiddenError, or UnavailableError also if the bundle in force keeps changing."""
        held = [one for one in bases() if not one.used]
        if not held:
            return self._store.write(work, reserve=reserve)
        for _ in range(_TRIES):
            try:
                done = self._store.write(partial(_checked, held, work), reserve=reserve)
            except MovingError:
                with hold():
                    for one in held:
                        one.force = one.renew()
                continue
            for one in held:
                one.used = True
            return done
        raise MovingError("another bundle of policies was put in force meanwhile, again and again")

    def read(self) -> AbstractContextManager[Snapshot]:
        return self._store.read()

    def last_instant(self) -> Instant:
        return self._store.last_instant()

    def leads(self) -> bool:
        return self._store.leads()

    def describe(self) -> str:
        return self._store.describe()

    def reserve_state(self) -> str:
        return self._store.reserve_state()

    def attend(self, name: str) -> None:
        self._store.attend(name)

    def agree(self, what: str) -> None:
        self._store.agree(what)

    def others(self, names: Collection[str]) -> frozenset[str]:
        return self._store.others(names)

    def close(self) -> None:
        self._store.close()


def _checked(held: Sequence[AuthorizationBasis], work: Callable[[Transaction], T], tx: Transaction) -> T:
    alone = {one.namespace for one in held if one.moves}
    for namespace in sorted({one.namespace for one in held}):
        force = tx.policy.lock_in_force(namespace, moves=namespace in alone)
        if any(one.force != force for one in held if one.namespace == namespace):
            raise MovingError("another bundle of policies is in force")
    return work(tx)
