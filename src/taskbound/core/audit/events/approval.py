"""What happens when people are asked about a held action, answer, and their answer is used."""

from __future__ import annotations

from typing import ClassVar

from taskbound.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsked:
    """People are asked about a held action; with the row that it names the digest can be computed again."""

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
    """How much people of the namespace may be asked was said anew."""

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
    """A person answered, and their signature was verified."""

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
    """An issuer's signed word about a question was verified and counts."""

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
    """An approval came to stand elsewhere; `consumed` is its one use."""

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
    """A person answered a held action with a narrower one, and their signature was verified."""

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
    """People are asked about an ordered list of held actions, to be answered together."""

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
    """Somebody proposed a plan about which nobody was asked; nothing else is kept of it."""

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
    """A person answered a plan, and with it every step, or denied those that they may; it was verified."""

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
    """A plan came to stand elsewhere: it was answered, a step of it was used, or the rest of it is over."""

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
