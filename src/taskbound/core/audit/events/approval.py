"""Events of approvals, policies and refusals."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from taskbound.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsked:
    """Approval of a held action was requested; the digest can be recomputed from the named row."""

    kind: ClassVar[str] = "approval-asked"
    approval: str
    digest: str
    """What people sign."""
    action: str
    act: str
    """The action's digest."""
    task: str
    agent: str
    tool: str
    requester: str
    bundle: str
    scope: str
    edition: int
    """How often the task was given a scope until then."""
    lifters: tuple[str, ...]
    deadline: int
    connection: str
    operands: tuple[str, ...] = ()
    """Where probes looked: the arguments, by pointer."""
    narrows: str = ""
    """Approval digest of the question that was answered with this action; empty when it narrows none."""
    retries: str = ""
    """Approval digest of the question whose answer covers this retry; empty when none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalShown:
    """A question was shown to a person for the first time."""

    kind: ClassVar[str] = "approval-shown"
    approval: str
    action: str
    task: str
    person: str
    length: int
    """Characters of the sheet."""
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalLimitsChanged:
    """The namespace's limits on questions changed."""

    kind: ClassVar[str] = "approval-limits-changed"
    open: int
    """Questions of one task that are open at once."""
    hourly: int
    """Questions that one agent may have asked within an hour."""
    speed: int
    """Characters a second that anybody can read."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAnswered:
    """A person answered, and the signature verified."""

    kind: ClassVar[str] = "approval-answered"
    approval: str
    digest: str
    action: str
    task: str
    answer: str
    """`approve`, `deny` or `confirm`."""
    person: str
    key: str
    statement: str
    """SHA-256 of what was signed."""
    signature: str
    """SHA-256 of the signature."""
    proof: str
    taken: int = -1
    """µs from the first time that it was shown to them to their answer; -1 when it never was."""
    length: int = 0
    """Characters of the sheet that was shown."""
    hasty: bool = False
    """Whether it is a yes that came sooner than anybody can read."""
    acr: str = ""
    """How the person had signed in who brought it, in their issuer's words; empty where that is not known."""
    authenticated: int = 0
    """When they had, in µs; 0 where that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalProven:
    """An issuer's token about a question verified and counts."""

    kind: ClassVar[str] = "approval-proven"
    approval: str
    digest: str
    action: str
    task: str
    issuer: str
    """Its short name here."""
    token: str
    """SHA-256 of the token."""
    claims: str
    """SHA-256 of its payload."""
    key: str
    """Thumbprint of the key that signed it."""
    expires: int
    by: str
    """Who brought it."""
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalChanged:
    """An approval changed state; `consumed` is its single use."""

    kind: ClassVar[str] = "approval-changed"
    approval: str
    action: str
    task: str
    before: str
    after: str
    reason: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalNarrowed:
    """A person narrowed a held action, and the signature verified."""

    kind: ClassVar[str] = "approval-narrowed"
    approval: str
    digest: str
    """What was asked."""
    action: str
    """The held action, which never runs."""
    task: str
    narrowed: str
    """The action that may run instead."""
    narrowed_act: str
    """Its digest, which the signed statement names."""
    asked: str
    """The approval that is asked for it."""
    changed: tuple[str, ...]
    """Where it differs, as a scope writes it."""
    person: str
    key: str
    statement: str
    """SHA-256 of what was signed."""
    signature: str
    """SHA-256 of the signature."""
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAsked:
    """Approval of an ordered list of held actions was requested."""

    kind: ClassVar[str] = "plan-asked"
    plan: str
    digest: str
    """What people sign."""
    task: str
    agent: str
    requester: str
    approvals: tuple[str, ...]
    """Of its steps, in order; the record of each says what is asked."""
    questions: tuple[str, ...]
    """Their approval digests, which the plan digest is made of."""
    nonce: str
    asked: int
    deadline: int
    connection: str
    by: str
    """Who proposed it."""
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRefused:
    """A proposed plan was refused without a question; this record is all that is kept of it."""

    kind: ClassVar[str] = "plan-refused"
    task: str
    agent: str
    code: str
    step: str
    """Which step it was, where it was one."""
    steps: int
    """How many there were."""
    digest: str
    """SHA-256 of the tools and argument bytes of all steps."""
    connection: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAnswered:
    """A person approved a whole plan or denied the steps that they may deny; the signature verified."""

    kind: ClassVar[str] = "plan-answered"
    plan: str
    digest: str
    task: str
    approvals: tuple[str, ...]
    """Of the steps to which it is the answer."""
    answer: str
    """`approve`, `deny` or `confirm`."""
    person: str
    key: str
    statement: str
    """SHA-256 of what was signed."""
    signature: str
    """SHA-256 of the signature."""
    proof: str
    taken: int = -1
    """µs from the first time that it was shown to them to their answer; -1 when it never was."""
    length: int = 0
    """Characters of the sheet that was shown."""
    hasty: bool = False
    """Whether it is a yes that came sooner than anybody can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChanged:
    """A plan changed state: answered, a step used, or the rest ended."""

    kind: ClassVar[str] = "plan-changed"
    plan: str
    task: str
    before: str
    after: str
    used: int
    """How many of its steps were used by then."""
    reason: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyProposed:
    """A bundle was proposed; under a checkpoint this record is the proposer's signed statement."""

    kind: ClassVar[str] = "policy-proposed"
    bundle: str
    """Digest of all its files, those of the base included."""
    files: tuple[str, ...]
    note: str
    by: str
    """The author."""
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRefused:
    """A bundle cannot be proposed or activated."""

    kind: ClassVar[str] = "policy-refused"
    bundle: str
    """Its digest; empty when it could not even be packed."""
    code: str
    problems: int
    reason: str
    """The first problem, in words."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyActivated:
    """A bundle was activated."""

    kind: ClassVar[str] = "policy-activated"
    bundle: str
    before: str
    """Digest of what was in force until now; empty for the rules that come with Taskbound, alone."""
    epoch: int
    author: str
    by: str
    proof: str
    alone: bool = False
    """Whether the author did it themselves, being the only person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRolledBack:
    """The previous bundle was activated again."""

    kind: ClassVar[str] = "policy-rolled-back"
    bundle: str
    """Empty for the rules that come with Taskbound, alone."""
    before: str
    epoch: int
    by: str
    proof: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRebased:
    """The active bundle now builds on the rules of another Taskbound version."""

    kind: ClassVar[str] = "policy-rebased"
    bundle: str
    before: str
    epoch: int
    author: str
    software: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRefused:
    """The active rules refused an operation that would have changed something."""

    kind: ClassVar[str] = "operation-refused"
    operation: str
    about: str
    """What it was about: kind and name."""
    code: str
    policies: tuple[str, ...]
    bundle: str
    by: str
    """The principal: kind and name."""
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRefused:
    """A reported outcome of a permitted action is not credible; the action is unchanged."""

    kind: ClassVar[str] = "outcome-refused"
    action: str
    task: str
    agent: str
    outcome: str
    """The reported outcome."""
    code: str
    connection: str
    """Whose permit it is."""
    token: str = ""
    """The task token of the report; empty for a gateway's report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefused:
    """A network-facing process refused incomplete requests; they identify no caller."""

    kind: ClassVar[str] = "request-refused"
    surface: str
    """Which one: `api` or `front`."""
    code: str
    operation: str
    """What was asked for, such as `action:ask`; empty where that is not known."""
    times: int
    """How many: more than one where they came faster than they were told."""


ApprovalEvent: TypeAlias = (
    ApprovalAsked
    | ApprovalShown
    | ApprovalLimitsChanged
    | ApprovalAnswered
    | ApprovalProven
    | ApprovalChanged
    | ApprovalNarrowed
    | PlanAsked
    | PlanRefused
    | PlanAnswered
    | PlanChanged
    | PolicyProposed
    | PolicyRefused
    | PolicyActivated
    | PolicyRolledBack
    | PolicyRebased
    | OperationRefused
    | OutcomeRefused
    | RequestRefused
)
