"""Authorizes operations of our own API by the rules in force, and again when they take effect.

Of `operations`:

1. Rules and facts are those of one state of the store: where another bundle was put in force between the two,
   both are read again.
2. A bundle whose base doesn't know operations was examined before they were policy's: what comes with
   Taskbound decides beside it, and its own rules hold for calls as they did.
3. Of what is asked for, only what policies read is looked up. Where nobody wrote any about an operation,
   nothing is.
4. What flows refuse stays refused: this only takes away.
5. Where a policy asks for a sign-in, the one of the person's token is looked up, or of their account.
6. What a statement says is read from it as flows read it; of one that can't be read nothing is told, and
   flows refuse it.

Of `held`:

1. What is in force is locked in the first transaction that an operation writes, and compared with what it was
   authorized by. A bundle that another daemon puts in force meanwhile comes before, and is asked, or after.
2. Where it is another one by then nothing is written: the operation is authorized by that one, and written
   then, or refused.
3. What it writes after that belongs to what has begun: it is held to nothing more, as after a crash.
4. What changes what is in force locks it alone from its beginning: two that share a lock and both want more
   would wait for each other.
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
    from taskbound.core.policy import Fact, InForce
    from taskbound.core.policy.operation import Operation, OperationVerdict
    from taskbound.flows.means import Means
    from taskbound.ports.policy import OperationRules
    from taskbound.ports.store import Snapshot, Store, Transaction

    Refused = Callable[[Barred, OperationRequest], None]
    """Is told of a refusal before it is raised."""


_TRIES: Final = 8
_WAY_BACK: Final = "base:way-back"
_STATEMENT: Final = "statement"
_ON_DAMAGE: Final = frozenset(
    {Right.ANYONE, Right.READ, Right.GATEWAY, Right.EGRESS, Right.BROKER, Right.SERVICE}
)


class MovingError(UnavailableError):
    """What is in force was changed again and again while an operation was to be authorized."""

    code = "moving-in-force"
    remedy = "try again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asks for what, however it came."""

    principal: Principal
    operation: Operation
    message: object
    """What it is asked with; its members are named by the operation."""
    owns: bool = False
    """Whether the principal is the account that owns the data directory."""


def authorize(means: Means, asked: Asked) -> tuple[OperationVerdict, OperationRequest]:
    """What the rules in force say to this, and what they were asked.

    Raises:
        UnavailableError: The store can't tell.
    """
    verdict, request, _ = authorize_at(means, asked)
    return verdict, request


def authorize_at(means: Means, asked: Asked) -> tuple[OperationVerdict, OperationRequest, InForce]:
    """As `authorize`, and what was in force."""
    namespace = asked.principal.namespace
    for _ in range(_TRIES):
        with means.store.read() as snapshot:
            force = snapshot.policy.in_force(namespace)
        found = rules_of(means, namespace, force, asked.operation, gives=_releases(asked))
        if isinstance(found, Barred):
            return found, _request(asked, (), Resource(about=asked.operation.about, name=""), {}), force
        with means.store.read() as snapshot:
            request = _gathered(snapshot, asked, found)
            if snapshot.policy.in_force(namespace) == force:  # 1
                break
    else:
        raise MovingError("another bundle of policies was put in force meanwhile, again and again")
    verdict = conclude_operation(found.answer(request), found.words)
    if isinstance(verdict, Barred) and verdict.steps:
        verdict = lift(verdict, sign_in_of(means, asked.principal), means.clock.now())  # 5
    if isinstance(verdict, Barred) and asked.owns and is_way_back(request):
        verdict = Allowed(policies=(_WAY_BACK,), bundle=verdict.bundle)
    return verdict, request, force


def conclude_standing(
    means: Means, principal: Principal, operation: Operation, force: InForce
) -> OperationVerdict:
    """What the rules say to an operation that depends on nothing else (`Operation.is_standing`)."""
    rules = rules_of(means, principal.namespace, force, operation)
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
    means: Means, namespace: str, force: InForce, operation: Operation, *, gives: bool = False
) -> OperationRules | Barred:
    """What answers for this operation where this is in force (rule 2); a refusal where nothing may.

    Args:
        means: What flows are given.
        namespace: Where.
        force: What is in force there.
        operation: What is asked for.
        gives: Whether what is asked gives authority back, though the operation can take it away.
    """
    policies = means.policy
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
    """The error that says so; how to sign in where that would let it pass."""
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
    """What kind of proof it is, as policies read it."""
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


def _gathered(snapshot: Snapshot, asked: Asked, rules: OperationRules) -> OperationRequest:
    operation, principal = asked.operation, asked.principal
    told: dict[str, Fact] = {
        fact: _fact(fact, _member(asked.message, member)) for fact, member in operation.told.items()
    }
    told["proof_kind"] = proof_kind(principal.proof)
    name = _name(asked)
    if rules.reads(operation) is None:  # 3
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
    asked: Asked, groups: tuple[str, ...], resource: Resource, facts: dict[str, Fact]
) -> OperationRequest:
    return OperationRequest(
        principal=asked.principal, groups=groups, operation=asked.operation, resource=resource, facts=facts
    )


def _releases(asked: Asked) -> bool:
    """Whether it lets go on what was stopped: what ends everything ends nothing then."""
    return asked.operation.name == "revocation:stop" and _member(asked.message, "stopped") is not True


def _people(facts: Mapping[str, Fact]) -> set[str]:
    """The persons among facts."""
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
    """The groups that a person is in, as long as they are present."""
    known = snapshot.identities.person(namespace, person)
    if known is None or known.state is not PersonState.PRESENT:
        return ()
    return tuple(sorted(one.name for one in snapshot.identities.groups(namespace) if person in one.everyone))


def _name(asked: Asked) -> str:
    """What the message says that it is about."""
    if not asked.operation.member:
        return ""
    named = asked.operation.member
    value = _member(asked.message, f"{named}.question" if named == _STATEMENT else named)
    return value if isinstance(value, str) else ""


def _member(message: object, path: str) -> object:
    for name in path.split("."):
        if isinstance(message, str):
            message = _said(message)  # 6
        if message is None:
            return None
        message = getattr(message, name)
    return message.value if isinstance(message, AnswerKind) else message


def _said(text: str) -> Statement | None:
    """The statement that this text is (rule 6); none when it can't be read."""
    try:
        return parse_statement(text.encode("utf-8", "surrogatepass"))
    except BadStatementError:
        return None


def _fact(name: str, value: object) -> Fact:
    """A member of a message as the fact that it is; what was not said is empty."""
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
class Basis:
    """What an operation was authorized by, until it begins to take effect."""

    namespace: str
    force: InForce
    moves: bool
    renew: Callable[[], InForce]
    """Authorizes it anew: what it was authorized by then. Raises where it is refused."""
    used: bool = False


_bases: ContextVar[tuple[Basis, ...]] = ContextVar("_bases", default=())


def bases() -> tuple[Basis, ...]:
    """What is written here is held to, to be taken along to another thread."""
    return _bases.get()


@contextmanager
def hold(*held: Basis) -> Iterator[None]:
    """Hold what is written within this to these, and to nothing else."""
    before = _bases.set(held)
    try:
        yield
    finally:
        _bases.reset(before)


def authorized(means: Means, asked: Asked, refused: Refused) -> Basis:
    """What an operation is authorized by.

    Raises:
        OperationForbiddenError: The rules in force refuse it.
        UnavailableError: The store can't tell.
    """

    def conclude() -> InForce:
        verdict, request, force = authorize_at(means, asked)
        match verdict:
            case Allowed():
                return force
            case Barred():
                refused(verdict, request)
                raise forbidden(verdict, request)

    return Basis(
        namespace=asked.principal.namespace,
        force=conclude(),
        moves=asked.operation.name in _MOVES,
        renew=conclude,
    )


def with_held_store(means: Means) -> Means:
    """The same means, whose store holds operations to what they were authorized by."""
    return replace(means, store=HeldStore(means.store))


class HeldStore:
    """A store that writes what an operation does under the rules that it was authorized by."""

    def __init__(self, store: Store) -> None:
        """Go to this one."""
        self._store = store

    def write(self, work: Callable[[Transaction], T], *, reserve: bool = False) -> T:
        """As the store's own, within an operation under rules 1 to 3.

        Raises:
            OperationForbiddenError: The rules that are in force by now refuse the operation.
            UnavailableError: As the store's own; also where what is in force was changed again and again.
        """
        held = [one for one in bases() if not one.used]
        if not held:
            return self._store.write(work, reserve=reserve)
        for _ in range(_TRIES):
            try:
                done = self._store.write(partial(_checked, held, work), reserve=reserve)
            except MovingError:
                with hold():
                    for one in held:
                        one.force = one.renew()  # 2
                continue
            for one in held:
                one.used = True  # 3
            return done
        raise MovingError("another bundle of policies was put in force meanwhile, again and again")

    def read(self) -> AbstractContextManager[Snapshot]:
        """A snapshot, for the length of the context."""
        return self._store.read()

    def last_instant(self) -> Instant:
        """The latest instant that any record holds, 0 in an empty store."""
        return self._store.last_instant()

    def leads(self) -> bool:
        """Whether this process gives records their places now."""
        return self._store.leads()

    def describe(self) -> str:
        """Kind, library version and place, in words."""
        return self._store.describe()

    def reserve_state(self) -> str:
        """`whole`, or why the space that is kept for ending things is not there."""
        return self._store.reserve_state()

    def attend(self, name: str) -> None:
        """Be present under this name too."""
        self._store.attend(name)

    def agree(self, what: str) -> None:
        """Be present as one that goes by this."""
        self._store.agree(what)

    def others(self, names: Collection[str]) -> frozenset[str]:
        """Those of these names that another process is present under."""
        return self._store.others(names)

    def close(self) -> None:
        """Let go of everything."""
        self._store.close()


def _checked(held: Sequence[Basis], work: Callable[[Transaction], T], tx: Transaction) -> T:
    """What the work does, where each is still authorized by what is in force (rule 1)."""
    alone = {one.namespace for one in held if one.moves}
    for namespace in sorted({one.namespace for one in held}):
        force = tx.policy.lock_in_force(namespace, moves=namespace in alone)  # 4
        if any(one.force != force for one in held if one.namespace == namespace):
            raise MovingError("another bundle of policies is in force")
    return work(tx)
