"""Operations of the API as policies see them, with facts and step-up authentication.

1. Operations are listed in `core.policy.operations`; others are refused.
2. Facts are in the context. Principal and resource have no attributes and are compared with entities.
3. Facts about something that does not exist are empty; the flow reports that it does not exist.
4. Only the caller's own sign-in can lift a refusal, where a `forbid` asks for a `step_up`. Other lifters
   refuse.
5. No policy can keep the account that owns the data directory from going back to an earlier bundle or from
   turning the kill switch on. Turning it off is not exempt.
6. If the bundle in force is damaged, only the base policies decide who may read, end and go back; all other
   operations are refused.

Step-up: `ACR` is the issuer's value, compared exactly, `SECONDS` the maximum age; either may be missing. An
unknown or future sign-in meets nothing. All required step-ups must be met; the error lists all values and the
shortest time. For an operation the caller signs in; for a call the approver does (`approval.quorum`).
"""

from __future__ import annotations

import re
from dataclasses import field, replace
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.clock import seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError
from taskbound.core.policy.answer import Fact, FactKind, Forbidden, Held, Permitted, conclude
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.identity.proof import Principal
    from taskbound.core.policy.answer import PolicyAnswer


class About(Enum):
    """What an operation is about; the values are entity types in policies."""

    NAMESPACE = "Namespace"
    AGENT = "Agent"
    AMENDMENT = "Amendment"
    APPROVAL = "Approval"
    BUNDLE = "Bundle"
    CALL = "Call"
    CLIENT = "Client"
    GROUP = "Group"
    ISSUER = "Issuer"
    PERSON = "Person"
    PERSON_KEY = "PersonKey"
    PLAN = "Plan"
    SERVER = "Server"
    SERVICE = "Service"
    TASK = "Task"
    TEMPLATE = "Template"
    TOOL = "Tool"


_OF_TASK: Final = ("agent", "approvers", "owner", "requester")

FOUND: Final[Mapping[About, tuple[str, ...]]] = MappingProxyType(
    {
        About.NAMESPACE: (),
        About.AGENT: ("agent", "approvers", "owner"),
        About.AMENDMENT: _OF_TASK,
        About.APPROVAL: (*_OF_TASK, "tool"),
        About.BUNDLE: ("author",),
        About.CALL: (*_OF_TASK, "tool"),
        About.CLIENT: (),
        About.GROUP: (),
        About.ISSUER: (),
        About.PERSON: (),
        About.PERSON_KEY: ("person",),
        About.PLAN: _OF_TASK,
        About.SERVER: (),
        About.SERVICE: ("owner",),
        About.TASK: (*_OF_TASK, "purpose"),
        About.TEMPLATE: (),
        About.TOOL: ("owner", "server", "tool"),
    }
)
"""The facts that are looked up for what an operation is about."""

ABOVE: Final[Mapping[About, tuple[About, ...]]] = MappingProxyType(
    dict.fromkeys(About, ())
    | {
        About.AMENDMENT: (About.AGENT, About.TASK),
        About.APPROVAL: (About.AGENT, About.SERVER, About.TASK, About.TOOL),
        About.CALL: (About.AGENT, About.SERVER, About.TASK, About.TOOL),
        About.PERSON: (About.GROUP,),
        About.PERSON_KEY: (About.GROUP, About.PERSON),
        About.PLAN: (About.AGENT, About.SERVER, About.TASK, About.TOOL),
        About.TASK: (About.AGENT,),
        About.TOOL: (About.SERVER,),
    }
)
"""What can stand above what an operation is about."""

OPERATION_FACTS: Final[Mapping[str, FactKind]] = MappingProxyType(
    {
        "action": FactKind.TEXT,
        "after": FactKind.NUMBER,
        "agent": FactKind.TEXT,
        "agents": FactKind.TEXTS,
        "anew": FactKind.TRUTH,
        "answer": FactKind.TEXT,
        "approvers": FactKind.PERSONS,
        "author": FactKind.PERSON,
        "client": FactKind.TEXT,
        "decision": FactKind.TEXT,
        "demo": FactKind.TRUTH,
        "deny": FactKind.TRUTH,
        "digest": FactKind.TEXT,
        "evidence": FactKind.TEXTS,
        "hourly": FactKind.NUMBER,
        "hours": FactKind.NUMBER,
        "how": FactKind.TEXT,
        "index": FactKind.NUMBER,
        "issuer": FactKind.TEXT,
        "last": FactKind.NUMBER,
        "learning": FactKind.TRUTH,
        "level": FactKind.TEXT,
        "limit": FactKind.NUMBER,
        "linked": FactKind.TRUTH,
        "member": FactKind.TRUTH,
        "new_approvers": FactKind.PERSONS,
        "new_owner": FactKind.PERSON,
        "of_task": FactKind.TEXT,
        "open": FactKind.NUMBER,
        "other": FactKind.PERSON,
        "outcome": FactKind.TEXT,
        "owner": FactKind.PERSON,
        "person": FactKind.PERSON,
        "proof_kind": FactKind.TEXT,
        "purpose": FactKind.TEXT,
        "relax": FactKind.TRUTH,
        "requester": FactKind.PERSON,
        "seconds": FactKind.NUMBER,
        "server": FactKind.TEXT,
        "slot": FactKind.TEXT,
        "speed": FactKind.NUMBER,
        "start": FactKind.NUMBER,
        "state": FactKind.TEXT,
        "states": FactKind.TEXTS,
        "step": FactKind.TEXT,
        "stopped": FactKind.TRUTH,
        "tasks": FactKind.TEXTS,
        "template": FactKind.TEXT,
        "to_agent": FactKind.TEXT,
        "tool": FactKind.TEXT,
        "uid": FactKind.NUMBER,
        "word": FactKind.TEXT,
    }
)
"""Every fact of an operation, by name. `proof_kind` is what kind of proof the principal was known by."""


STEP_UP: Final = "step-up:(?:[A-Za-z0-9][A-Za-z0-9._:/+-]{0,127})?(?:@[1-9][0-9]{0,5})?(?<!:)"
"""What such a lifter looks like."""
_LIFTER: Final = re.compile(STEP_UP, re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUp:
    """A required sign-in."""

    acr: str
    """Empty for any way."""
    within: int
    """Seconds; 0 for any time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """How and when a person signed in."""

    acr: str
    at: Instant


class StepUpError(DeniedError):
    """The person must sign in again, or in another way."""

    code = "step-up"
    remedy = "sign in as it says, and ask again with the token that you get by that"

    def __init__(self, message: str, *, steps: Sequence[StepUp], where: str = "", remedy: str = "") -> None:
        super().__init__(f"{message}: signed in {asked_words(steps)}", where=where, remedy=remedy)
        acr, within = _asked(steps)
        self.acr = acr
        """The ways to sign in, by a space between two; empty for any."""
        self.within = within
        """How long ago at most, seconds; 0 for any time."""


def asked_words(steps: Sequence[StepUp]) -> str:
    acr, within = _asked(steps)
    how = [f"as `{acr}`"] if acr else []
    how += [f"at most {within} seconds ago"] if within else []
    return ", ".join(how)


def _asked(steps: Sequence[StepUp]) -> tuple[str, int]:
    acr = " ".join(dict.fromkeys(one.acr for one in steps if one.acr))
    return acr, min((one.within for one in steps if one.within), default=0)


def parse_step_up(lifter: str) -> StepUp | None:
    """Returns the sign-in that a lifter requires; None for another lifter."""
    if _LIFTER.fullmatch(lifter) is None:
        return None
    acr, _, within = lifter.removeprefix("step-up:").partition("@")
    return StepUp(acr=acr, within=int(within or "0"))


def unmet(steps: Sequence[StepUp], signed: SignIn | None, now: Instant) -> tuple[StepUp, ...]:
    if signed is None:
        return tuple(steps)
    age = now - signed.at
    return tuple(
        one
        for one in steps
        if one.acr not in {"", signed.acr} or (one.within and not 0 <= age <= seconds(one.within))
    )


ALL_OPERATIONS: Final = "operation"
"""The group that every operation is in; each is in the group of its right as well."""


class Right(Enum):
    """Who may use an operation unless a policy forbids it; the values are groups of operations."""

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
    """An operation, as policies see it."""

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
        return tuple(sorted({"proof_kind", *self.told, *FOUND[self.about]}))

    @property
    def is_standing(self) -> bool:
        """Whether the answer depends only on the caller and the bundle in force."""
        return self.about is About.NAMESPACE and not self.told

    @property
    def groups(self) -> tuple[str, ...]:
        return (self.right.value, *((Right.SERVICE.value,) if self.serves else ()), ALL_OPERATIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What an operation is about, and its parents."""

    about: About
    name: str
    """Empty for the namespace itself, whose name is the request's."""
    above: tuple[tuple[About, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRequest:
    """A request to the engine: principal, operation and resource."""

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
    """Policy allows the operation; the flow may still refuse it."""

    policies: tuple[str, ...]
    bundle: str
    """Digest of the bundle that answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Barred(NoTruth):
    """Policy refuses the operation."""

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
    """The organization's policies do not allow this principal to use this operation."""

    code = "operation-forbidden"
    remedy = "ask the policy author; `taskbound policy show` shows them"


def conclude_operation(answer: PolicyAnswer, reasons: Mapping[str, str]) -> OperationVerdict:
    """Returns the conclusion (rule 4); `reasons` are the `@reason` annotations by policy name."""
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
    if isinstance(verdict, Allowed) or not verdict.steps:
        return verdict
    left = unmet(verdict.steps, signed, now)
    if not left:
        return Allowed(policies=verdict.policies, bundle=verdict.bundle)
    return replace(verdict, steps=left)


def is_way_back(request: OperationRequest) -> bool:
    """Returns whether no policy may keep the data directory's owner from this (rule 5)."""
    if request.operation.name == "revocation:stop":
        return request.facts.get("stopped") is True
    return request.operation.name == "policy:roll-back"
