"""Authorizing operations of our own API: by the rules in force in the namespace, on what is known now.

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
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, assert_never

from taskbound.core.approval import AnswerKind, BadStatementError, parse_statement
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import UnavailableError
from taskbound.core.identity.person import PeerProof, PersonState
from taskbound.core.identity.proof import AccountProof, PrincipalKind, TokenProof, WorkloadProof
from taskbound.core.policy import DamagedBundleError, FactKind
from taskbound.core.policy.operation import (
    Allowed,
    Barred,
    OperationForbiddenError,
    OperationRequest,
    Resource,
    Right,
    conclude_operation,
    is_way_back,
    lift,
)
from taskbound.core.policy.operation_facts import OPERATION_FACTS
from taskbound.core.policy.step_up import StepUpError
from taskbound.flows.policy.about import look_up
from taskbound.flows.policy.sign_in import sign_in_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.approval import Statement
    from taskbound.core.identity.proof import Principal, Proof
    from taskbound.core.policy import Fact, InForce
    from taskbound.core.policy.operation import Operation, OperationVerdict
    from taskbound.flows.means import Means
    from taskbound.ports.policy import OperationRules
    from taskbound.ports.store import Snapshot


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
