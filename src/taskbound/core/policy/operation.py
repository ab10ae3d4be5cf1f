"""Operations of our own API as policies see them: who asks for what, about what, and with which facts.

1. An operation is no action: it stands in a table (`core.policy.operations`), and what is not there is
   refused.
2. Its facts stand in the context, each of one kind under one name; principal and resource have no attributes,
   and are compared with entities and with what is above them.
3. What is said of something that does not exist is empty; that it does not exist is the flow's to say.
4. Nothing lifts the refusal of an operation but the person's own sign-in, where a `forbid` asks for a better
   or a younger one (`step_up`): any other lifter refuses like none.
5. The account that owns the data directory can always go back to an earlier bundle, and stop everything: no
   rule of an organization bars its own way back. Releasing what is stopped is no such way.
6. Where what is in force is damaged, the rules that come with Taskbound alone say who may read, end and go
   back; all else refuses.
"""

from __future__ import annotations

from dataclasses import field, replace
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError
from taskbound.core.policy.answer import Fact, Forbidden, Held, Permitted, conclude
from taskbound.core.policy.operation_facts import FOUND, About
from taskbound.core.policy.step_up import StepUp, parse_step_up, unmet
from taskbound.core.truth import NoTruth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.identity.proof import Principal
    from taskbound.core.policy.answer import PolicyAnswer
    from taskbound.core.policy.step_up import SignIn


ALL_OPERATIONS: Final = "operation"
"""The group that every operation is in; each is in the group of its right as well."""


class Right(Enum):
    """Who may ask for an operation as long as no rule says less; the values are groups of operations."""

    ANYONE = "anyone"
    READ = "read"
    GATEWAY = "gateway"
    PERSON = "person"
    PERSON_OR_RUN = "person-or-run"
    GIVER = "giver"
    LOOKER = "looker"
    EGRESS = "egress"
    BROKER = "broker"
    SERVICE = "service"
    """A service that has proved itself (`core.identity.service`), and no process of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation, as policies see it."""

    name: str
    """`word:verb`."""
    right: Right
    about: About
    member: str = ""
    """The member of its message that names what it is about; with a `.` one beneath another."""
    told: Mapping[str, str] = field(default_factory=dict)
    """Facts that its message tells: the member of the message by the fact's name. What is beneath a statement
    is what was signed there."""
    changes: bool = True
    """Whether it changes anything when it is done: then its refusal is recorded."""
    ends: bool = False
    """Whether it only takes authority away (rule 6)."""

    serves: bool = False
    """Whether a service that shows its token may ask for it beside those who have its right."""

    @property
    def facts(self) -> tuple[str, ...]:
        """Names of its facts, in order."""
        return tuple(sorted({"proof_kind", *self.told, *FOUND[self.about]}))

    @property
    def is_standing(self) -> bool:
        """Whether its answer depends on who asks and on what is in force, and on nothing else."""
        return self.about is About.NAMESPACE and not self.told

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that it is in."""
        return (self.right.value, *((Right.SERVICE.value,) if self.serves else ()), ALL_OPERATIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What an operation is about, and what is above it."""

    about: About
    name: str
    """Empty for the namespace itself, whose name is the request's."""
    above: tuple[tuple[About, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRequest:
    """One question to the engine: who asks for which operation about what."""

    principal: Principal
    groups: tuple[str, ...]
    """Those that the principal is in, in order."""
    operation: Operation
    resource: Resource
    facts: Mapping[str, Fact]
    """At least those of the operation that the bundle's policies read."""
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The groups of the persons among the facts, by name; who is in none is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed(NoTruth):
    """The rules let the operation pass; what the flow refuses stays refused."""

    policies: tuple[str, ...]
    bundle: str
    """Digest of the bundle that answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Barred(NoTruth):
    """The rules refuse the operation."""

    code: str
    """`forbidden`, `not-permitted`, `policy-erred`, `damaged-bundle` or `step-up`."""
    policies: tuple[str, ...]
    details: tuple[str, ...]
    """A sentence for each, where there is more to say than its name."""
    bundle: str
    steps: tuple[StepUp, ...] = ()
    """Of `step-up` alone: how the person would have to have signed in."""


OperationVerdict: TypeAlias = Allowed | Barred


class OperationForbiddenError(DeniedError):
    """The organization's rules do not let this principal ask for this operation."""

    code = "operation-forbidden"
    remedy = "ask whoever is in charge of the policies; `taskbound policy show` shows them"


def conclude_operation(answer: PolicyAnswer, reasons: Mapping[str, str]) -> OperationVerdict:
    """What follows from the engine's answer (rule 4).

    Args:
        answer: What the engine said.
        reasons: The `@reason` of policies that have one, by name.
    """
    match conclude(answer):
        case Permitted(policies=policies):
            return Allowed(policies=policies, bundle=answer.bundle)
        case Held(policies=policies, lifters=lifters):
            steps = tuple(one for one in map(parse_step_up, lifters) if one is not None)
            if len(steps) < len(lifters):
                return _barred("forbidden", policies, (), reasons, answer.bundle)
            return replace(_barred("step-up", policies, (), reasons, answer.bundle), steps=steps)
        case Forbidden(code=code, policies=policies, details=details):
            return _barred(code, policies, details, reasons, answer.bundle)


def _barred(
    code: str, policies: tuple[str, ...], details: tuple[str, ...], reasons: Mapping[str, str], bundle: str
) -> Barred:
    words = details or tuple(reasons[one] for one in policies if reasons.get(one))
    return Barred(code=code, policies=policies, details=words, bundle=bundle)


def lift(verdict: OperationVerdict, signed: SignIn | None, now: Instant) -> OperationVerdict:
    """What follows where the person signed in so (rule 4)."""
    if isinstance(verdict, Allowed) or not verdict.steps:
        return verdict
    left = unmet(verdict.steps, signed, now)
    if not left:
        return Allowed(policies=verdict.policies, bundle=verdict.bundle)
    return replace(verdict, steps=left)


def is_way_back(request: OperationRequest) -> bool:
    """Whether no rule may bar the account that owns the data directory from this (rule 5)."""
    if request.operation.name == "revocation:stop":
        return request.facts.get("stopped") is True
    return request.operation.name == "policy:roll-back"
